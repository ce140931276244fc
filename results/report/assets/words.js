// What is said of a view: in the legend, beside the cursor, below the plot, to who cannot see it, and as a table to keep.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const { number, amount } = batchlab.words;
  const ranges = { mean: "95 % interval", median: "quartiles", seeds: "mean, least and greatest of the seeds" };
  const plural = (n, noun) => `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;

  // ---- words of a view ----

  const lost = ([diverged, unfinished], where) =>
    [[diverged, "diverged"], [unfinished, "not done"]].filter(([k]) => k).map(([k, word]) => `${k} ${word}${where}`);
  const rowless = ({ rowless: { diverged, unfinished } }) => lost([diverged, unfinished], " without a row");

  function counted({ line }, how) {
    const n = how.base !== null && !line.n && line.name !== how.base ? "no seed in common" : `n ${line.n}`;
    return [n, ...lost([line.diverged, line.unfinished], ""), ...rowless(line)].join(", ");
  }

  function explained(scene, payload) {
    const { how } = scene, over = payload.over;
    const kind = {
      mean: `${how.log ? "geometric mean" : "mean"} over ${over} with its 95 % t interval (from n = 3 on)`,
      median: `median over ${over} with its quartiles (linear between ${over}; from n = 3 on)`,
      seeds: `every ${over.slice(0, -1)} by itself, repeats averaged`,
    }[how.stat];
    const relative = how.base !== null ? `; ${how.log ? "ratio" : "difference"} to ${how.base} within seeds, n counts those that both have` : "";
    const said = [`${kind}${relative}`];
    if (scene.thin.length) said.push("thin lines did not finish, × diverged");
    if (scene.cut) said.push(payload.cut);
    if (scene.many) said.push(`${plural(scene.legend.filter(({ on }) => on).length, "line")} are too many to tell apart, and grey: keep at most ${payload.palette.length}, by the filter or a double click in the legend`);
    if (scene.empty) said.push(how.log ? "nothing above 0 to draw: choose a linear y" : "nothing to draw");
    const bare = how.bare.map((line) => `${line.name} (${rowless(line).join(", ")})`);
    return [said.join("; "), ...(bare.length ? [`no line: ${bare.join(", ")}`] : []), ...payload.notes];
  }

  function interval(row, scene) {
    if (row.low === undefined) return "";
    return `${number(row.low)} to ${number(row.high)}`;
  }

  function unitOf({ how }) {
    if (how.base !== null) return how.log ? "× " : how.metric.share ? " points" : "";
    return how.metric.unit ? ` ${how.metric.unit}` : "";
  }

  function valued(row, scene) {
    const unit = unitOf(scene);
    return unit === "× " ? `×${number(row.value)}` : `${number(row.value)}${unit}`;
  }

  function described(scene) {
    const rows = scene.empty ? [] : batchlab.readings(scene, scene.xRange[1]);
    const ends = rows.slice(0, 8).map((row) => `${row.name} ${valued(row, scene)}`).join(", ");
    const shown = plural(scene.legend.filter(({ on }) => on).length, "line");
    return `${scene.title}: ${scene.yLabel} against ${scene.xLabel}, ${shown}${ends ? `; at the end ${ends}` : ""}`;
  }

  // ---- data of a view ----

  const exact = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(8))) : "");

  function csv(scene, range) {
    const { how } = scene;
    const safe = (text) => (/^\s*[=+\-@]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text); // no formula
    const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const metric = how.best ? `${how.metric.best}:${how.metric.key}` : how.metric.key;
    const first = [metric, how.base === null ? "" : `${how.log ? "ratio" : "difference"} to ${how.base}`];
    const rows = [["metric", "relative_to", "line", "clock"]];
    const [from, to] = range || [-Infinity, Infinity];
    const seeds = how.stat === "seeds";
    rows[0].push(...(seeds ? ["seed", "state", "x", "value"] : ["x", how.stat, "low", "high", "n", "diverged", "unfinished"]));
    for (const { line } of scene.legend.filter(({ on }) => on)) {
      const tracks = seeds ? [...line.seeds.map((one) => ({ ...one, state: "done" })), ...line.lost] : [line];
      const lostOf = [line.diverged + line.rowless.diverged, line.unfinished + line.rowless.unfinished];
      if (!seeds && !line.x.length) rows.push([...first, safe(line.name), how.clock.key, "", "", "", "", String(line.n), ...lostOf.map(String)]);
      for (const one of tracks) {
        one.x.forEach((x, i) => {
          if (x < from || x > to) return;
          const start = [...first, safe(line.name), how.clock.key], at = String(Number(x.toPrecision(12)));
          if (seeds) rows.push([...start, one.seed, one.state, at, exact(one.y[i])]);
          else rows.push([...start, at, ...[one.mean[i], one.low[i], one.high[i]].map(exact), one.n, ...lostOf].map(String));
        });
      }
    }
    return rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  }

  batchlab.words = { number, amount, counted, csv, described, explained, interval, plural, ranges, valued };
})();
