// Points that Python has computed (results/show/points.py), as `compute` gives lines; and what is drawn of points alone:
// dots, intervals, rings, crosses for what was lost, and arrows where a line leaves the plot.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const ROW = 0.075, MOST = 0.3; // of the height, for a line of words on what was lost and for all, as in the still picture

  const whole = (point) => ({ note: "", mark: "", ...(Array.isArray(point) ? { x: point[0], y: point[1] } : point) });

  // What a view shows of a panel: y as stored, x already as it is drawn. Nothing is computed but logarithms.
  batchlab.dots = function (payload, view, panel) {
    const { x, y, rows } = payload.axes[panel];
    const log = !y.linear && batchlab.logarithmic(view || {}, y.log); // a share is of all: nothing of it has a logarithm
    const place = x.log ? Math.log10 : (value) => value;
    const usable = (value) => Number.isFinite(value) && (!log || value > 0);
    const lines = payload.lines.filter((line) => line.panel === panel).map((line) => {
      const points = line.points.map(whole).filter(({ y: value }) => usable(value));
      const column = (key) => Float64Array.from(points, (one) => one[key] ?? NaN);
      const drawn = points.filter(({ beside }) => !beside);
      return {
        name: line.name, look: line.look, said: line.said, points: points.map((one) => ({ ...one, x: place(one.x) })),
        x: Float64Array.from(drawn, (one) => place(one.x)), mean: Float64Array.from(drawn, (one) => one.y),
        low: column("low"), high: column("high"), n: null, band: false, seeds: [], lost: [], diverged: 0, unfinished: 0,
        single: line.single.filter(([, value]) => usable(value)).map(([at, value]) => [place(at), value]),
        fallen: line.fallen.map(([at, text]) => [place(at), text]), rowless: { diverged: 0, unfinished: 0 },
      };
    });
    const metric = { key: "value", label: y.label, unit: y.unit, scale: 1, share: false, floor: y.least ?? null, ceiling: y.most ?? null, best: null, log: y.log };
    const neutral = y.neutral === undefined || !usable(y.neutral) ? null : log ? Math.log10(y.neutral) : y.neutral;
    return { points: payload, axis: x, metric, clock: { key: "x", label: x.label, unit: "" }, base: null, log, best: false, stat: "points", step: payload.step, lines, bare: [], rows, neutral, arithmetic: y.arithmetic };
  };

  // What a scene knows of its points, all through `forward`.
  batchlab.dotted = function (line, style, forward) {
    const end = (value, other) => (Number.isFinite(value) ? forward(value) : other);
    return {
      ...style, joined: line.points.some(({ beside }) => !beside),
      points: line.points.map((one) => ({ ...one, y: forward(one.y), low: end(one.low, NaN), high: end(one.high, NaN) })),
      single: line.single.map(([x, y]) => [x, forward(y)]), fallen: line.fallen,
    };
  };

  const strip = (rows) => Math.min(ROW, MOST / (rows + 0.5));

  // By how much a range grows for the words on what was lost.
  batchlab.strip = ({ dots, how }, [low, high]) => {
    const rows = dots.filter(({ fallen }) => fallen.length).length;
    if (!rows) return [low, high];
    const more = ((high - low) * strip(rows) * (rows + 0.5)) / (1 - strip(rows) * (rows + 0.5));
    return how.rows || how.points.edge === "top" ? [low, high + more] : [low - more, high];
  };

  // Shapes and words in the coordinates of an area { left, top, width, height }; `size` is that of a mark. Where places
  // are rows, px goes down and py to the right.
  batchlab.extras = function (scene, px, py, area, size, range) {
    const { rows, how } = scene, shapes = [], texts = [], circle = (x, y, r) => batchlab.markAt("o", x, y, r);
    const first = rows ? area.left : area.top + area.height, last = rows ? area.left + area.width : area.top;
    const across = (at, from, to) => (rows ? `M${from} ${at}H${to}` : `M${at} ${from}V${to}`);
    const xy = (at, value) => (rows ? [value, at] : [at, value]);
    if (scene.neutral !== null) {
      const at = py(scene.neutral), d = rows ? `M${at} ${area.top}v${area.height}` : `M${area.left} ${at}h${area.width}`;
      shapes.push({ d, stroke: scene.colors.soft, width: 1, dash: [4, 3] });
    }
    for (const { at, y, low, high, color, dash, mark } of scene.bars) {
      const x = px(at), end = Number.isFinite(low[0]) ? py(low[0]) : first; // of a logarithm of 0
      shapes.push({ d: `M${x} ${end}V${py(high[0])}`, stroke: color, width: 1.4, dash });
      shapes.push(mark ? { d: batchlab.markAt(mark, x, py(y), 0.8 * size), fill: color } : { d: `M${x - 0.8 * size} ${py(y)}h${1.6 * size}`, stroke: color, width: 1.6 });
    }
    for (const { name, color, mark, points, single } of scene.dots) {
      const aside = (scene.aside.get(name) || 0) * size;
      for (const [x, y] of single) shapes.push({ d: circle(...xy(px(x) + aside, py(y)), 0.6 * size), fill: color, alpha: 0.5 });
      for (const one of points) {
        const x = px(one.x) + aside, y = py(one.y), as = one.mark.split(" "), open = as.includes("open");
        const low = Number.isFinite(one.low) ? py(one.low) : first;
        if (open || Number.isFinite(one.high)) shapes.push({ d: across(x, low, open ? last : py(one.high)), stroke: color, width: as.includes("diamond") ? 2.4 : rows ? 1.8 : 1.1 });
        if (open) shapes.push({ d: batchlab.markAt(rows ? ">" : "^", ...xy(x, last + (rows ? -size : size)), size), fill: color });
        if (how.step || !mark) continue;
        const dot = { d: batchlab.markAt(as.includes("diamond") ? "D" : mark, ...xy(x, y), as.includes("diamond") ? 1.4 * size : size) };
        shapes.push(as.includes("hollow") ? { ...dot, fill: scene.colors.paper, stroke: color, width: 1.4 } : { ...dot, fill: color });
        if (as.includes("ring")) shapes.push({ d: circle(...xy(x, y), 2.1 * size), stroke: color, width: 1.5 });
      }
    }
    const fallen = scene.dots.filter((one) => one.fallen.length), top = rows || (how.points && how.points.edge === "top");
    fallen.forEach(({ color, fallen: own }, row) => {
      const share = strip(fallen.length) * (row + 0.6), place = rows ? last - area.width * share : area.top + area.height * (top ? share : 1 - share);
      for (const [at, said] of own) {
        const [x, y] = xy(px(at), place);
        texts.push({ x, y, said, color });
      }
    });
    for (const { x, up, color } of scene.exits(range)) {
      const y = up ? area.top + size : area.top + area.height - size;
      shapes.push({ d: batchlab.markAt(up ? "^" : "v", px(x), y, 1.2 * size), fill: color });
    }
    return { shapes, texts };
  };
})();
