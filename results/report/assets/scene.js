// From numbers to what is seen: colours, ranges, ticks and words, in the coordinates of the axes.
// The plot on the page (plot.js) and the picture to keep (picture.js) draw the same scene.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const THEMES = {
    light: { paper: "#ffffff", ink: "#24292f", soft: "#59636e", grid: "#e4e8ec", many: "#8c959f" },
    dark: { paper: "#0d1117", ink: "#e6edf3", soft: "#9198a1", grid: "#262c34", many: "#6e7681" },
  };
  const HELD = 0.02; // of the width: a running extreme keeps its last value so far, which else were a stroke at the edge
  const THIN = 50; // so many unfinished runs of a line are drawn: nobody could tell more apart

  const { number, amount } = batchlab.words;

  // ---- ranges ----

  function extent(parts) {
    let low = Infinity, high = -Infinity;
    for (const part of parts) {
      for (const value of part) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    return [low, high];
  }

  const within = ({ x }, y, [from, to]) => y.filter((value, i) => Number.isFinite(value) && x[i] >= from && x[i] <= to);

  // Lines that went so far above the middle one that a linear axis is not for them: `exploded` of results/show/extent.py.
  function exploded(lines, { log, base, metric }, farther) {
    const tops = lines.map(({ y }) => extent([y.filter(Number.isFinite)])[1]);
    const middle = [...tops].sort((a, b) => a - b)[(tops.length - 1) >> 1];
    const able = !log && base === null && metric.better === "down" && middle > 0;
    return lines.filter((_, i) => able && tops[i] > farther * middle);
  }

  const away = (scene) => [...scene.thin.filter(({ state }) => state === "diverged"), ...scene.far];

  // All lines, and of those that diverged or exploded so much that the others are not flat: `window` there.
  function framed(scene, window) {
    const gone = away(scene), kept = [...scene.lines, ...scene.thin].filter((line) => !gone.includes(line));
    let [low, high] = extent([...kept.map((line) => within(line, line.y, window)), ...dotted(scene, window)]);
    const [least, most] = extent(gone.map((line) => within(line, line.y, window)));
    if (low > high) [low, high] = [least, most];
    const size = high - low || Math.abs(high) || 1, reach = scene.log ? Infinity : scene.beyond * size;
    return { low: Math.min(low, Math.max(low - reach, least)), high: Math.max(high, Math.min(high + reach, most)), size };
  }

  const dotted = (scene, [from, to]) => {
    const inside = ({ points, single }) => [...points, ...single.map(([x, y]) => ({ x, y }))].filter(({ x }) => x >= from && x <= to).map(({ y }) => y);
    return [...scene.dots.map(inside), scene.dots.length && scene.neutral !== null ? [scene.neutral] : []];
  };

  // Of a line whose interval stands at its end, that end.
  const atEnd = ({ x, low, high }) => ({ x: x.slice(-1), low: low.slice(-1), high: high.slice(-1) });

  // Room for all the means and for bands, of what lies between the x of a window: `Extent.ends` there.
  function limits(scene, window) {
    let { low, high, size } = framed(scene, window);
    if (low > high) ({ low, high, size } = framed(scene, [-Infinity, Infinity]));
    if (low > high) return [0, 1];
    const { floor, ceiling } = scene.how.metric;
    if (scene.rows && floor !== null && ceiling !== null) [low, high] = [floor, ceiling]; // chances, of all that there are
    const bands = scene.lines.filter((line) => line.low && !scene.far.includes(line)).map((line) => (scene.ended ? atEnd(line) : line));
    const bars = scene.dots.flatMap(({ points }) => points.map((one) => [one.low, one.high].filter(Number.isFinite)));
    const [under, over] = extent([...bars, ...bands.flatMap((line) => [within(line, line.low, window), within(line, line.high, window)])]);
    const own = scene.dots.length ? scene.dots.filter(({ points }) => points.length) : scene.lines.filter(({ x }) => x.length);
    const seen = (line) => within(line, line.high, window).length;
    const intervals = bands.reduce((sum, line) => sum + seen(line), 0) + bars.filter(({ length }) => length).length;
    const whole = scene.rows || own.length <= 1 || intervals <= scene.few; // rows are their intervals
    const room = whole ? Infinity : scene.room * size;
    if (under <= over) [low, high] = [Math.min(low, Math.max(low - room, under)), Math.max(high, Math.min(high + room, over))];
    const pad = 0.04 * (high - low || Math.abs(high) || 1);
    return batchlab.strip(scene, [low - pad, high + pad]);
  }

  // How many lines and points have intervals that are seen and go on beyond the plot: `of_intervals` there.
  function leaving(scene, window) {
    const [low, high] = limits(scene, window);
    const beyond = (x, from, to) => x >= window[0] && x <= window[1] && to >= low && from <= high && (from < low || to > high);
    const own = scene.lines.filter(({ low: is }) => is).map((line) => (scene.ended ? atEnd(line) : line));
    const lines = own.filter((line) => line.x.some((x, i) => beyond(x, line.low[i], line.high[i])));
    const points = scene.dots.flatMap((line) => line.points.filter((one) => Number.isFinite(one.high) && beyond(one.x, Number.isFinite(one.low) ? one.low : -Infinity, one.high)));
    return lines.length + points.length;
  }

  // Whether an interval is seen to end where the quantity does.
  function cut(scene, window) {
    const [low, high] = limits(scene, window);
    const shown = ({ moved = [], x }) => (scene.ended ? moved.filter(([at]) => at === x[x.length - 1]) : moved);
    return scene.lines.some((line) => shown(line).some(([x, y]) => x >= window[0] && x <= window[1] && y >= low && y <= high));
  }

  // Where lines that exploded and runs that diverged leave the plot for the first time, and whether upwards.
  function exits(scene, window) {
    const [low, high] = limits(scene, window), found = [];
    for (const { x, y, color, state } of away(scene)) {
      const i = y.findIndex((value, k) => x[k] >= window[0] && x[k] <= window[1] && (value < low || value > high));
      if (i < 0) continue;
      const up = y[i] > high, edge = up ? high : low;
      found.push({ x: i && Number.isFinite(y[i]) ? x[i - 1] + ((x[i] - x[i - 1]) * (edge - y[i - 1])) / (y[i] - y[i - 1]) : x[i], up, color, state });
    }
    return found;
  }

  // ---- the scene ----

  function drawn(how) {
    const scale = how.base !== null && how.log ? 1 : how.metric.scale;
    return how.log ? (value) => Math.log10(scale * value) : (value) => scale * value;
  }

  // What an interval may not leave: a share lies from 0 to 1, and what spans orders of magnitude above 0.
  function inside(values, { floor, ceiling }, how) {
    if (how.base !== null || (floor === null && ceiling === null)) return values;
    return values.map((value) => Math.min(ceiling ?? Infinity, Math.max(floor ?? -Infinity, value)));
  }

  function yLabel(how) {
    const { metric } = how;
    const word = how.best ? `running ${metric.best === "min" ? "minimum" : "maximum"} of ` : "";
    const name = `${word}${metric.label}`;
    if (how.base === null) return metric.unit ? `${name} [${metric.unit}]` : name;
    if (how.log) return `${name}: ratio to ${how.base}`;
    const unit = metric.share ? " [percentage points]" : metric.unit ? ` [${metric.unit}]` : "";
    return `${name}: difference to ${how.base}${unit}`;
  }

  // `test accuracy [%] by optimizer` is said of the metric that is shown.
  function titled({ title, metrics }, metric) {
    const by = title.indexOf(" by ");
    const first = metrics.some(({ label }) => by > 0 && title.startsWith(label));
    return first ? metric.label + title.slice(by) : title;
  }

  // An axis of a clock, or of what Python drew points over.
  function across({ axis, clock }) {
    if (!axis) {
      const ticks = clock.unit ? (low, high, n) => batchlab.ticks(low, high, n, false) : batchlab.countTicks;
      return { xTicks: ticks, said: (x) => amount(x, clock), back: (x) => x, rowNames: [] };
    }
    const back = axis.log ? (x) => Number((10 ** x).toPrecision(12)) : (x) => x;
    const named = axis.ticks.map(([at, text]) => ({ at: axis.log ? Math.log10(at) : at, text }));
    const known = (low, high, n) => {
      const seen = [], room = (0.7 * (high - low)) / Math.max(2, n);
      for (const one of named) if (one.at >= low && one.at <= high && !(seen.length && one.at - seen[seen.length - 1].at < room)) seen.push(one);
      return seen.length ? seen : batchlab.ticks(low, high, n, axis.log);
    };
    const text = (x) => (named.find(({ at }) => Math.abs(at - x) < 1e-9) || { text: number(back(x), 5) }).text;
    return { xTicks: known, said: (x) => `${axis.label} ${text(x)}`, back, rowNames: named, cell: axis.words ? text : null };
  }

  // What the quantity can be of a range, as shown.
  function seated([low, high], { metric: { scale, floor, ceiling }, base }) {
    const free = base !== null;
    return [free || floor === null ? low : Math.max(low, floor * scale), free || ceiling === null ? high : Math.min(high, ceiling * scale)];
  }

  // The ticks of y, of what the quantity can be alone: an axis may go on, for words on what was lost.
  function possible(how) {
    const { log } = how, size = (value) => (log ? 10 ** value : value), [least, most] = seated([-Infinity, Infinity], how);
    return (low, high, n) => batchlab.ticks(low, high, n, log).filter(({ at }) => size(at) >= least - 1e-9 && size(at) <= most * (1 + 1e-9));
  }

  // `shown` are the names of the lines that are seen, in this panel or another; `theme` is light or dark.
  batchlab.scene = function (payload, computed, shown, theme) {
    const colors = THEMES[theme], forward = drawn(computed);
    const visible = computed.lines.filter(({ name }) => shown.includes(name));
    const free = payload.many; // too many lines for looks of their own
    const many = free && shown.length > payload.palette.length;
    const scene = {
      theme, colors, many, how: computed, title: titled(payload, computed.metric), ...across(computed),
      xLabel: computed.clock.label + (computed.clock.unit ? ` [${computed.clock.unit}]` : ""), yLabel: yLabel(computed),
      log: computed.log, yTicks: possible(computed), rows: Boolean(computed.rows), neutral: computed.neutral ?? null, lines: [], thin: [], crosses: [], legend: [], dots: [], bars: [], far: [], beyond: payload.beyond, few: payload.few, room: payload.room,
      // intervals at the same place stand side by side
      aside: new Map(computed.points && computed.points.bars ? visible.map(({ name }, i) => [name, Math.min(1.1, 8 / visible.length) * (i - (visible.length - 1) / 2)]) : []),
    };
    // of many lines the bands are one grey: intervals stand at their ends instead, as in the still picture
    scene.ended = !many && computed.stat !== "seeds" && visible.filter(({ x }) => x.length > 1).length > payload.bands;
    const looks = new Map(visible.map((line) => [line.name, free ? payload.palette[shown.indexOf(line.name)] : line.look]));
    for (const line of computed.lines) {
      const look = (!many && looks.get(line.name)) || { color: colors.many, dash: [], mark: "" };
      const style = { name: line.name, ...look, step: computed.step };
      scene.legend.push({ ...style, line, on: looks.has(line.name) });
      if (!looks.has(line.name)) continue;
      if (line.points) {
        scene.dots.push(batchlab.dotted(line, style, forward));
        if (!computed.points.joined || computed.rows) continue;
      }
      const seeds = line.seeds.map(({ x, y }) => ({ ...style, x, y: y.map(forward), width: 1.1, alpha: 0.75 }));
      if (computed.stat === "seeds") scene.lines.push(...seeds);
      else scene.lines.push({ ...style, x: line.x, y: line.mean.map(forward), width: many ? 1 : 1.8, alpha: 1, ...bandOf(line), ...(line.points && !computed.step ? { mark: "" } : {}) });
      const kept = line.lost.filter((_, i, all) => all.length <= THIN || (i * THIN) % all.length < THIN);
      const thin = kept.map(({ x, y, state }) => ({ ...style, x, y: y.map(forward), width: 0.8, alpha: 0.7, state }));
      scene.thin.push(...thin);
      for (const { x, y, color } of thin.filter(({ state }) => state === "diverged")) {
        scene.crosses.push({ x: x[x.length - 1], y: y[y.length - 1], color });
      }
    }

    function bandOf(line) {
      if (!line.band || many) return {};
      const low = inside(line.low, computed.metric, computed), high = inside(line.high, computed.metric, computed);
      const moved = [[low, line.low], [high, line.high]].flatMap(([ends, were]) => Array.from(ends, (end, i) => [line.x[i], end, end !== were[i]]));
      const ends = moved.filter(([, , is]) => is).map(([x, end]) => [x, forward(end)]);
      return { low: low.map(forward), high: high.map(forward), moved: ends, bandAlpha: visible.length < 6 ? 0.16 : 0.09 };
    }

    scene.far = exploded(scene.lines, computed, payload.farther);
    for (const line of scene.far) delete line.low, delete line.moved; // a band up to there would hide the others

    const stood = scene.dots.map(({ points, single, fallen }) => [...points.map(({ x }) => x), ...[...single, ...fallen].map(([x]) => x)].sort((a, b) => a - b));
    const everything = [...[...scene.lines, ...scene.thin].map(({ x }) => x), ...stood].filter((x) => x.length);
    const [from, to] = extent(everything.map((x) => [x[0], x[x.length - 1]]));
    const pad = stood.length && !computed.step ? 0.05 * (to - from || 1) : 0;
    scene.xRange = from <= to ? [from - pad, (to === from && !pad ? from + 1 : to) + pad] : [0, 1];
    if (scene.rows) scene.xRange = [from - 0.6, to + 0.6];
    const held = computed.step && !computed.points ? HELD * (to - from || 1) : 0;
    if (held && from <= to) scene.xRange[1] += held;
    for (const line of scene.lines) line.held = held;
    if (scene.ended) {
      const wide = to - from || 1, start = to + held + 0.02 * wide, owns = scene.lines.filter(({ low, high }) => low && Number.isFinite(high[high.length - 1]));
      scene.bars = owns.map((line, i) => ({ ...line, at: start + 0.012 * i * wide, ...atEnd(line), y: line.y[line.y.length - 1] }));
      if (owns.length) scene.xRange[1] = start + 0.012 * owns.length * wide;
      const every = scene.xTicks;
      scene.xTicks = (low, high, n) => every(low, high, n).filter(({ at }) => at <= to); // none where the clock has ended
    }
    scene.yRange = (window) => limits(scene, window || scene.xRange);
    scene.exits = (window) => exits(scene, window || scene.xRange);
    scene.leaving = (window) => leaving(scene, window || scene.xRange);
    scene.cut = (window) => cut(scene, window || scene.xRange);
    scene.empty = !everything.length;
    scene.places = Float64Array.from(new Set([...scene.lines.flatMap(({ x }) => Array.from(x)), ...scene.dots.flatMap(({ points }) => points.map(({ x }) => x))])).sort();
    return scene;
  };

  // ---- reading values ----

  function at(x, y, value, step) {
    if (!x.length || value < x[0] || value > x[x.length - 1]) return NaN;
    const i = batchlab.before(x, value);
    if (step || x[i] === value) return y[i];
    return y[i] + ((y[i + 1] - y[i]) * (value - x[i])) / (x[i + 1] - x[i]);
  }

  // Of points those that stand at an x: nothing is known between them.
  function standing(scene, x, back) {
    const rows = scene.dots.flatMap(({ name, color, dash, mark, points }) => points.filter((one) => Math.abs(one.x - x) < 1e-9).map((one) => {
      const open = one.mark.includes("open"), ended = open || Number.isFinite(one.high);
      const range = ended ? { low: Number.isFinite(one.low) ? back(one.low) : 0, high: open ? Infinity : back(one.high) } : {};
      return { name, color, dash, mark, y: one.y, value: back(one.y), ...range, n: one.n, note: one.note };
    }));
    return rows.sort((a, b) => b.y - a.y);
  }

  // What every line that is shown says at an x, from above to below.
  batchlab.readings = function (scene, x) {
    const back = scene.log ? (value) => 10 ** value : (value) => value;
    if (scene.dots.length && !scene.how.step) return standing(scene, x, back);
    const found = new Map();
    for (const line of scene.lines) {
      const y = at(line.x, line.y, x, line.step);
      if (Number.isNaN(y)) continue;
      if (!found.has(line.name)) found.set(line.name, { name: line.name, color: line.color, dash: line.dash, mark: line.mark, ys: [] });
      found.get(line.name).ys.push(y);
      found.get(line.name).shape = line;
    }
    const counts = new Map(scene.legend.map(({ name, line }) => [name, line.n]));
    const seeds = scene.how.stat === "seeds";
    const rows = [...found.values()].map(({ ys, shape, ...row }) => {
      const ends = seeds ? extent([ys]) : shape.low ? [at(shape.x, shape.low, x, shape.step), at(shape.x, shape.high, x, shape.step)] : [];
      const [low, high] = ends.map(back);
      const y = ys.reduce((sum, one) => sum + one, 0) / ys.length;
      return { ...row, y, value: back(y), low, high, n: seeds ? ys.length : counts.get(row.name) };
    });
    return rows.sort((a, b) => b.y - a.y);
  };

  // Values of one axis, with as many digits after the point as make four of what it spans, less the room around that.
  function alike(value, scene) {
    const [low, high] = seated(scene.yRange(null), scene.how), places = 4 - Math.ceil(Math.log10(0.8 * (high - low)));
    if (scene.log || (scene.how.points && scene.how.step) || !Number.isFinite(value) || !(places >= 0 && places < 6) || Math.abs(value) >= 1e6) return number(value);
    const fixed = { minimumFractionDigits: places, maximumFractionDigits: places };
    return value.toLocaleString("en-US", { ...fixed, signDisplay: "negative" });
  }

  batchlab.words.alike = alike;
  batchlab.THEMES = THEMES;
})();
