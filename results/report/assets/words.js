// What is said of a view: in the legend, beside the cursor, below the plot, to who cannot see it, and as a table to keep.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const { alike, number, amount } = batchlab.words;
  const ranges = { mean: "95 % interval", median: "quartiles", seeds: "mean, least and greatest of the seeds", points: "" };
  const plural = (n, noun) => `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;

  // ---- words of a view ----

  const lost = ([diverged, unfinished], where) =>
    [[diverged, "diverged"], [unfinished, "not done"]].filter(([k]) => k).map(([k, word]) => `${k} ${word}${where}`);
  const rowless = ({ rowless: { diverged, unfinished } }) => lost([diverged, unfinished], " without a row");

  // `n 3`, `n 2 to 3`: of a line in each panel that has it.
  function counted(lines, how) {
    if (how.points) return [...new Set(lines.map(({ said }) => said))].filter(Boolean).join("; ");
    const sizes = lines.map(({ n }) => n), least = Math.min(...sizes), most = Math.max(...sizes);
    const alone = how.base !== null && !most && lines[0].name !== how.base;
    const n = alone ? "no seed in common" : `n ${least === most ? least : `${least} to ${most}`}`;
    const sum = (of) => lines.reduce((total, line) => total + of(line), 0);
    const ended = [sum((line) => line.diverged), sum((line) => line.unfinished)];
    const bare = [sum((line) => line.rowless.diverged), sum((line) => line.rowless.unfinished)];
    return [n, ...lost(ended, ""), ...lost(bare, " without a row")].join(", ");
  }

  // Of parts { scene, range, title }, one for each panel that is seen.
  function explained(parts, payload) {
    const [{ scene: first }] = parts, { how } = first, any = (test) => parts.some(({ scene }) => test(scene));
    const ranged = any((scene) => scene.lines.some(({ low }) => low)), only = (said) => (ranged ? said : "");
    const kind = {
      mean: `${how.log ? "geometric mean" : "mean"} over seeds${only(" with its 95 % t interval (from n = 3 on)")}`,
      median: `median over seeds${only(" with its quartiles (linear between seeds; from n = 3 on)")}`,
      seeds: "every seed by itself, repeats averaged",
    }[how.stat];
    const relative = how.base !== null ? `; ${how.log ? "ratio" : "difference"} to ${how.base} within seeds, n counts those that both have` : "";
    const said = kind ? [`${kind}${relative}`] : [];
    if (any((scene) => scene.bars.length)) said.push("of so many lines it stands at the right, for each line's end, and as a band where one is pointed at");
    if (any(({ how }) => how.log && how.arithmetic)) said.push("means are arithmetic ones on this logarithmic axis too (those of curves are geometric there)");
    if (any((scene) => scene.thin.length)) said.push(`thin lines did not finish${any((scene) => scene.crosses.length) ? ", × diverged" : ""}`);
    if (parts.some(({ scene, range }) => scene.cut(range))) said.push(payload.cut);
    if (first.many) said.push(`${plural(payload.names.length, "line")} are too many to tell apart, and grey: keep at most ${payload.palette.length}, by the filter or a double click in the legend`);
    if (!any((scene) => !scene.empty)) said.push(how.log ? "nothing above 0 to draw: choose a linear y" : "nothing to draw");
    const bare = parts.flatMap(({ scene, title }) => scene.how.bare.map((line) => `${line.name}${title ? ` in ${title}` : ""} (${rowless(line).join(", ")})`));
    return [...(said.length ? [said.join("; ")] : []), ...left(parts), ...(bare.length ? [`no line: ${bare.join(", ")}`] : []), ...payload.notes];
  }

  // That runs and intervals go on beyond the plot: nobody shall think that they end at its edge.
  function left(parts) {
    const exits = parts.flatMap(({ scene, range }) => scene.exits(range));
    const runs = exits.filter(({ state }) => state === "diverged").length, lines = exits.length - runs;
    const who = [...(lines ? [`${plural(lines, "line")} that went far above the others`] : []), ...(runs ? [`${plural(runs, "run")} that diverged`] : [])];
    const way = parts[0].scene.log ? "" : ": a logarithmic y shows all that is above 0";
    const whole = parts.reduce((sum, { scene, range }) => sum + scene.leaving(range), 0);
    const bands = whole ? [`${plural(whole, "interval")} ${whole === 1 ? "goes" : "go"} on beyond the plot`] : [];
    return [...(who.length ? [`${who.join(" and ")} ${exits.length === 1 ? "leaves" : "leave"} the plot (▲▼)${way}`] : []), ...bands];
  }

  // What is said of a value beside it.
  const noted = ({ n, note }) => [n === undefined || n === null ? "" : `n ${n}`, note].filter(Boolean).join(", ");

  function interval(row, scene) {
    if (row.low === undefined) return "";
    return `${alike(row.low, scene)} to ${row.high === Infinity ? "∞" : alike(row.high, scene)}`;
  }

  function unitOf({ how }) {
    if (how.base !== null) return how.log ? "× " : how.metric.share ? " points" : "";
    return how.metric.unit ? ` ${how.metric.unit}` : "";
  }

  function valued(row, scene) {
    const unit = unitOf(scene);
    return unit === "× " ? `×${number(row.value)}` : `${alike(row.value, scene)}${unit}`;
  }

  function described(scene, panel) {
    const last = scene.places[scene.places.length - 1];
    const rows = scene.empty ? [] : batchlab.readings(scene, last);
    const ends = rows.slice(0, 8).map((row) => `${row.name} ${valued(row, scene)}`).join(", ");
    const shown = plural(scene.legend.filter(({ on }) => on).length, "line");
    return `${[scene.title, panel].filter(Boolean).join(", ")}: ${scene.yLabel} against ${scene.xLabel}, ${shown}${ends ? `; at the end ${ends}` : ""}`;
  }

  // ---- data of a view ----

  const exact = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(8))) : "");

  const safe = (text) => (/^\s*[=+\-@]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text); // no formula
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  // Of parts { scene, title, range }: the titles of panels are a column where there are several.
  function csv(parts) {
    const { how } = parts[0].scene, several = parts.length > 1 || parts[0].title;
    const head = how.points ? ["value", "unit", "line", "at", "x", "y", "low", "high", "n", "note"] : ["metric", "relative_to", "line", "clock",
      ...(how.stat === "seeds" ? ["seed", "state", "x", "value"] : ["x", how.stat, "low", "high", "n", "diverged", "unfinished"])];
    const rows = parts.flatMap(({ scene, title, range }) => (how.points ? pointed : lined)(scene, range).map((row) => (several ? [safe(title), ...row] : row)));
    return [several ? ["panel", ...head] : head, ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  }

  function pointed(scene, range) {
    const { how } = scene, [from, to] = range || [-Infinity, Infinity];
    const back = (value) => exact(Number.isFinite(value) && scene.log ? 10 ** value : value);
    const at = (name, x) => [how.metric.label, how.metric.unit, safe(name), how.axis.label, scene.cell ? safe(scene.cell(x)) : exact(scene.back(x))];
    const seen = (x) => x >= from && x <= to;
    return scene.dots.flatMap(({ name, points, fallen }) => [
      ...points.filter(({ x }) => seen(x)).map((one) => [...at(name, one.x), back(one.y), back(one.low), one.mark.includes("open") ? "inf" : back(one.high), String(one.n ?? ""), safe(one.note)]),
      ...fallen.filter(([x]) => seen(x)).map(([x, text]) => [...at(name, x), "", "", "", "", `lost: ${text}`]), // never left out
    ]);
  }

  function lined(scene, range) {
    const { how } = scene, rows = [];
    const metric = how.best ? `${how.metric.best}:${how.metric.key}` : how.metric.key;
    const first = [metric, how.base === null ? "" : `${how.log ? "ratio" : "difference"} to ${how.base}`];
    const [from, to] = range || [-Infinity, Infinity];
    const seeds = how.stat === "seeds";
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
    return rows;
  }

  batchlab.words = { exact, number, quoted, safe, amount, counted, csv, described, explained, interval, noted, plural, ranges, valued };
})();
