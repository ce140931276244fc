// What is drawn, as numbers: the rules of results/compare/curves.py once more, for the view that a reader chose.
// Pure functions of a payload and a view; nothing here knows of a page.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});

  // ---- rows ----

  function unpacked(text) {
    const bytes = Uint8Array.from(atob(text.slice(1)), (letter) => letter.charCodeAt(0));
    return text[0] === "d" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  }

  const pools = new WeakMap();

  function rowsOf(payload, place) {
    if (!pools.has(payload.rows)) pools.set(payload.rows, new Map());
    const pool = pools.get(payload.rows);
    if (!pool.has(place)) pool.set(place, unpacked(payload.rows[place]));
    return pool.get(place);
  }

  // One run's rows as drawn: x increasing, of rows at the same place the last one, above 0 where y is logarithmic.
  function track(payload, run, how) {
    const places = run.rows[how.metricAt];
    if (!places) return null;
    const [plain, extreme, clocks] = places;
    const xs = rowsOf(payload, clocks[how.clockAt]);
    const ys = rowsOf(payload, how.best && extreme !== null ? extreme : plain);
    const pick = how.metric.best === "max" ? Math.max : Math.min;
    const x = new Float64Array(xs.length), y = new Float64Array(xs.length);
    let n = 0, best = NaN, last = NaN;
    for (let i = 0; i < xs.length; i++) {
      if (!Number.isFinite(xs[i])) continue;
      best = Number.isNaN(best) ? ys[i] : pick(best, ys[i]);
      const value = how.best ? best : ys[i];
      if (xs[i] <= last && n && x[n - 1] === last) n--; // of rows at the same place the last one counts
      last = xs[i];
      if (how.log && !(value > 0)) continue;
      x[n] = xs[i];
      y[n++] = how.log ? Math.log(value) : value;
    }
    if (!n) return null;
    return { x: x.subarray(0, n), y: y.subarray(0, n), state: run.state, seed: run.seed };
  }

  // ---- one grid ----

  // numpy rounds halves to the even neighbour, and the grid must be numpy's
  function rint(value) {
    const floor = Math.floor(value);
    if (value - floor !== 0.5) return Math.round(value);
    return floor % 2 ? floor + 1 : floor;
  }

  // Where every track has rows: their own places, thinned evenly where there are too many.
  function grid(tracks, most) {
    const [{ x: first }] = tracks;
    const same = ({ x }) => x.length === first.length && x.every((value, i) => value === first[i]);
    return thinned(tracks.every(same) ? first : union(tracks), most);
  }

  function union(tracks) {
    const start = Math.max(...tracks.map((one) => one.x[0]));
    const stop = Math.min(...tracks.map((one) => one.x[one.x.length - 1]));
    const all = new Float64Array(tracks.reduce((n, one) => n + one.x.length, 0));
    let n = 0;
    for (const one of tracks) {
      all.set(one.x, n);
      n += one.x.length;
    }
    return all.sort().filter((value, i) => value >= start && value <= stop && (i === 0 || value !== all[i - 1]));
  }

  function thinned(x, most) {
    if (x.length <= most) return x;
    const step = (x.length - 1) / (most - 1);
    return Float64Array.from({ length: most }, (_, i) => x[i === most - 1 ? x.length - 1 : rint(i * step)]);
  }

  // The last index with x[index] <= value; -1 where there is none.
  function before(x, value) {
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  function interpolate(x, one, step) {
    if (x === one.x) return one.y;
    const y = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) {
      const at = Math.max(0, before(one.x, x[i]));
      const last = at + 1 >= one.x.length;
      if (step || last || one.x[at] === x[i]) y[i] = one.y[at];
      else y[i] = one.y[at] + ((one.y[at + 1] - one.y[at]) * (x[i] - one.x[at])) / (one.x[at + 1] - one.x[at]);
    }
    return y;
  }

  // Repeats of a seed are averaged: one array on x for each seed.
  function averaged(x, tracks, step) {
    const groups = new Map();
    for (const one of tracks) {
      if (!groups.has(one.seed)) groups.set(one.seed, []);
      groups.get(one.seed).push(interpolate(x, one, step));
    }
    for (const [key, own] of groups) groups.set(key, own.length > 1 ? own[0].map((_, i) => mean(own.map((y) => y[i]))) : own[0]);
    return groups;
  }

  // ---- statistics ----

  function mean(values) {
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }

  // Mean and 95 % t interval; NaN at both ends for a single value.
  function interval(values, t) {
    const n = values.length, middle = mean(values);
    if (n < 2) return [middle, NaN, NaN];
    const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
    const half = (t[n - 2] * Math.sqrt(squares / (n - 1))) / Math.sqrt(n);
    return [middle, middle - half, middle + half];
  }

  // Linear between order statistics (numpy's and R's default, type 7).
  function quantile(sorted, share) {
    const at = share * (sorted.length - 1), floor = Math.floor(at);
    const next = sorted[Math.min(floor + 1, sorted.length - 1)];
    return sorted[floor] + (next - sorted[floor]) * (at - floor);
  }

  function quartiles(values) {
    const sorted = values.slice().sort();
    if (sorted.length < 2) return [sorted[0], NaN, NaN];
    return [quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75)];
  }

  // ---- lines ----

  batchlab.logarithmic = ({ y }, first) => y === "log" || (y !== "linear" && first);

  // What a view asks of a figure, less what the figure does not have.
  function resolve(payload, view, lines) {
    const twin = { passes: "epochs", epochs: "passes" };
    const clockAt = Math.max(0, payload.clocks.findIndex(({ key }) => key === view.x || key === twin[view.x]));
    const metricAt = Math.max(0, payload.metrics.findIndex(({ key }) => key === view.metric));
    const metric = payload.metrics[metricAt];
    const run = ["plain", "best"].includes(view.run) ? view.run : metric.run;
    const base = lines.find(({ name }) => name === view.base) || null;
    return {
      metricAt, metric, clockAt, base,
      clock: payload.clocks[clockAt],
      best: run === "best" && metric.best !== null,
      log: batchlab.logarithmic(view, metric.log),
      stat: ["median", "seeds"].includes(view.stat) ? view.stat : "mean",
    };
  }

  // Values of a line over its seeds, each on x; of a baseline, differences within seeds.
  function stack(done, base, how, most) {
    if (!base) {
      if (!done.length) return { x: new Float64Array(0), own: new Map() };
      const x = grid(done, most);
      return { x, own: averaged(x, done, how.best) };
    }
    const paired = done.filter((one) => base.some((other) => other.seed === one.seed));
    const against = base.filter((one) => paired.some((other) => other.seed === one.seed));
    if (!paired.length) return { x: new Float64Array(0), own: new Map() };
    const x = grid([...paired, ...against], most);
    const theirs = averaged(x, against, how.best);
    const own = averaged(x, paired, how.best);
    for (const [key, y] of own) own.set(key, y.map((value, i) => value - theirs.get(key)[i]));
    return { x, own };
  }

  function summarize(payload, line, base, how) {
    const made = line.runs.map((run) => track(payload, run, how)), tracks = made.filter(Boolean);
    const rowless = { ...line.rowless };
    line.runs.forEach(({ state }, i) => {
      if (!made[i] && state !== "done") rowless[state === "diverged" ? "diverged" : "unfinished"]++;
    });
    if (!tracks.length) return { name: line.name, bare: true, rowless };
    const back = how.log ? Math.exp : (value) => value;
    const done = tracks.filter(({ state }) => state === "done");
    const lost = tracks.filter(({ state }) => state !== "done");
    const { x, own } = stack(done, base, how, payload.grid);
    const values = [...own.values()], here = new Float64Array(values.length);
    const middle = new Float64Array(x.length), low = new Float64Array(x.length), high = new Float64Array(x.length);
    const over = how.stat === "median" ? quartiles : (all) => interval(all, payload.t);
    const bare = line.together && (how.metric.timed || how.clock.key === "seconds"); // seeds share one time
    for (let i = 0; i < x.length; i++) {
      for (let k = 0; k < here.length; k++) here[k] = values[k][i];
      const [m, l, h] = over(here);
      middle[i] = back(m);
      low[i] = bare ? NaN : back(l);
      high[i] = bare ? NaN : back(h);
    }
    const diverged = lost.filter(({ state }) => state === "diverged").length;
    return {
      name: line.name, look: line.look, x, mean: middle, low, high, n: values.length,
      band: values.length > 2 && !bare, // two seeds have an interval of 13 standard errors: it would hide the rest
      seeds: how.stat === "seeds" ? each(done, base, how, payload, back) : [],
      lost: lost.map((one) => against(one, base, how, payload, back)).filter(Boolean),
      diverged, unfinished: lost.length - diverged, rowless,
    };
  }

  // Every seed by itself, on its own rows.
  function each(done, base, how, payload, back) {
    return [...new Set(done.map(({ seed }) => seed))].map((seed) => {
      const own = stack(done.filter((one) => one.seed === seed), base, how, payload.grid);
      const [y] = own.own.values();
      return y && { seed: payload.seeds[seed], x: own.x, y: y.map(back) };
    }).filter(Boolean);
  }

  // A run that is not done; of a baseline as far as the same seed of the baseline goes.
  function against(one, base, how, payload, back) {
    const { x, own } = base ? stack([one], base, how, payload.grid) : { x: one.x, own: new Map([[0, one.y]]) };
    const [y] = own.values();
    return y && y.length ? { x, y: y.map(back), state: one.state, seed: payload.seeds[one.seed] } : null;
  }

  // Everything that a view shows of a figure; `bare` are lines of which every run ended before a row. Values are as stored: times `metric.scale` they are as shown.
  // Of a figure with panels those of one of them, by its place.
  batchlab.compute = function (payload, view, panel) {
    const lines = payload.lines.filter((line) => panel === undefined || line.panel === panel);
    const how = resolve(payload, view || {}, lines);
    const tracks = how.base && how.base.runs.map((run) => track(payload, run, how));
    const base = tracks && tracks.filter((one) => one && one.state === "done");
    const made = lines.map((line) => summarize(payload, line, base, how));
    const bare = made.filter((line) => line.bare && line.rowless.diverged + line.rowless.unfinished);
    return { ...how, base: how.base ? how.base.name : null, step: how.best, lines: made.filter((line) => !line.bare), bare };
  };
  batchlab.before = before;
})();
