// A scene on the page: uPlot keeps axes, cursor and zoom; the lines are drawn here, for each has an x of its own.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
  const LETTER = 6.8; // how wide a digit of it is, about

  batchlab.narrow = () => window.innerWidth < 600; // a phone: no room for a long label below a plot
  const ruler = document.createElement("canvas").getContext("2d");
  ruler.font = FONT;

  batchlab.cross = (x, y, size) =>
    `M${x - size} ${y - size}L${x + size} ${y + size}M${x - size} ${y + size}L${x + size} ${y - size}`;

  function paint(u, scene, range) {
    const { ctx } = u, ratio = window.devicePixelRatio || 1;
    const px = (x) => u.valToPos(x, "x", true), py = (y) => u.valToPos(y, "y", true);
    const { left, top, width, height } = u.bbox;

    function stroke(line, path) {
      ctx.globalAlpha = line.alpha;
      ctx.strokeStyle = ctx.fillStyle = line.color;
      ctx.lineWidth = line.width * ratio;
      ctx.setLineDash(line.dash.map((length) => length * line.width * ratio));
      const dot = batchlab.dot(line, px, py);
      if (!dot) return ctx.stroke(new Path2D(path));
      ctx.beginPath();
      ctx.arc(...dot, 3 * ratio, 0, 7);
      return ctx.fill();
    }

    ctx.save();
    ctx.beginPath();
    ctx.rect(left - ratio, top - 4 * ratio, width + 6 * ratio, height + 8 * ratio); // a line at the edge is whole
    ctx.clip();
    ctx.lineJoin = "round";
    const beside = (line) => batchlab.beside(scene, line, px, 3.4 * ratio);
    const made = scene.lines.map((line) => [line, batchlab.paths(line, beside(line), py)]);
    for (const [line, { band }] of made) {
      if (!band || scene.ended) continue;
      ctx.globalAlpha = line.bandAlpha;
      ctx.fillStyle = line.color;
      ctx.fill(new Path2D(band));
    }
    for (const line of scene.thin) stroke(line, batchlab.paths(line, px, py).path);
    for (const [line, { path }] of made) stroke(line, path);
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
    for (const line of scene.lines.filter(({ mark }) => mark)) {
      ctx.fillStyle = line.color;
      ctx.fill(new Path2D(batchlab.marks(line, px, py, 3.4 * ratio)));
    }
    ctx.lineWidth = 1.8 * ratio;
    for (const { x, y, color } of scene.crosses) {
      ctx.strokeStyle = color;
      ctx.stroke(new Path2D(batchlab.cross(px(x), py(y), 4 * ratio)));
    }
    const { shapes, texts } = batchlab.extras(scene, px, py, u.bbox, 3.4 * ratio, range);
    for (const { d, fill, stroke: line, width: wide, alpha = 1, dash = [] } of shapes) {
      const path = new Path2D(d);
      ctx.setLineDash(dash.map((length) => length * wide * ratio));
      ctx.globalAlpha = alpha;
      ctx.fillStyle = fill || "transparent";
      if (fill) ctx.fill(path);
      ctx.strokeStyle = line || "transparent";
      ctx.lineWidth = (wide || 0) * ratio;
      if (line) ctx.stroke(path);
    }
    ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (const { x, y, said, color } of texts) {
      ctx.fillStyle = color;
      ctx.fillText(said, x, y);
    }
    ctx.restore();
  }

  // `on.move(x, top)` is told where the cursor stands (x null: nowhere), `on.zoom(range)` what was dragged (null: all).
  batchlab.plot = function (element, on) {
    let u = null, scene = null, zoom = null;
    const texts = {};

    function axis(side, ticks, more) {
      return {
        scale: side, font: FONT, labelFont: FONT,
        stroke: () => scene.colors.ink,
        grid: { stroke: () => scene.colors.grid, width: 1 },
        ticks: { stroke: () => scene.colors.grid, width: 1, size: 4 },
        splits: (self, _, low, high) => {
          const found = ticks(self, low, high);
          texts[side] = found.map(({ text }) => text);
          return found.map(({ at }) => at);
        },
        values: () => texts[side],
        ...more,
      };
    }

    // Names of rows, in two lines where they are long.
    function rowTicks(self) {
      const letters = Math.max(12, Math.floor((0.42 * self.width) / 6.4));
      return scene.rowNames.map(({ at, text }) => {
        const [one, ...more] = batchlab.wrapped(text, letters).map((line) => (line.length > letters ? `${line.slice(0, letters - 1)}…` : line));
        return { at, text: more.length ? `${one}\n${more.length > 1 ? `${more[0]}…` : more[0]}` : one };
      });
    }

    function xTicks(self, low, high) {
      return scene.xTicks(low, high, Math.max(2, Math.floor((self.width - 60) / 66)));
    }

    function nearest(x) {
      const { places } = scene, i = batchlab.before(places, x);
      if (i < 0) return places[0];
      return i + 1 < places.length && places[i + 1] - x < x - places[i] ? places[i + 1] : places[i];
    }

    const at = (self) => (self.cursor.left < 0 || !scene.places.length ? null : nearest(self.posToVal(scene.rows ? self.cursor.top : self.cursor.left, "x")));

    function selected(self) {
      const { left, width } = self.select;
      if (width < 6) return;
      const range = [self.posToVal(left, "x"), self.posToVal(left + width, "x")];
      self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      on.zoom(range);
    }

    const wide = { size: 30, labelSize: 20, labelGap: 0 };
    const high = { size: () => 14 + LETTER * Math.max(2, ...(texts.y || []).map(({ length }) => length)) };
    const named = { size: () => 16 + Math.max(20, ...(texts.x || []).flatMap((text) => text.split("\n")).map((line) => ruler.measureText(line).width)) };
    const yTicks = (length) => (self, low, up) => scene.yTicks(low, up, Math.max(3, Math.floor(self[length] / (length === "width" ? 80 : 50))));
    const axes = () => (scene.rows
      ? [axis("x", rowTicks, { side: 3, ...named }), axis("y", yTicks("width"), { side: 2, ...wide, label: () => (batchlab.narrow() ? "" : scene.yLabel) })]
      : [axis("x", xTicks, { ...wide, label: () => scene.xLabel }), axis("y", yTicks("height"), high)]);

    const options = () => ({
      width: element.clientWidth, height: element.clientHeight,
      legend: { show: false },
      padding: [12, 16, 0, 0],
      scales: {
        x: { time: false, range: () => zoom || scene.xRange, ...(scene.rows ? { ori: 1, dir: -1 } : {}) },
        y: { range: () => scene.yRange(zoom), ...(scene.rows ? { ori: 0 } : {}) },
      },
      series: [{}, { stroke: "transparent", points: { show: false } }],
      axes: axes(),
      cursor: {
        x: false, y: false, points: { show: false },
        drag: { x: !scene.rows, y: false, setScale: false, dist: 6 },
        bind: { dblclick: () => () => void on.zoom(null) },
      },
      hooks: {
        draw: [(self) => paint(self, scene, zoom)],
        setCursor: [(self) => on.move(at(self), scene.rows ? self.cursor.left : self.cursor.top)],
        setSelect: [selected],
      },
    });

    return {
      nearest,
      get over() {
        return u.over;
      },
      // Where a reading stands, in CSS pixels of the area inside the axes.
      position(x, y) {
        const place = [u.valToPos(x, "x"), y === undefined ? 0 : u.valToPos(y, "y")];
        return scene.rows ? place.reverse() : place;
      },
      draw(next, range) {
        scene = next;
        zoom = range;
        const data = [scene.xRange, [null, null]];
        if (u) u.setData(data, true);
        else u = new uPlot(options(), data, element);
      },
      resize() {
        const width = element.clientWidth, height = element.clientHeight;
        if (width && (width !== u.width || height !== u.height)) u.setSize({ width, height });
      },
      cursor(x) {
        const { clientWidth: wide, clientHeight: high } = u.over, at = x === null ? -10 : u.valToPos(x, "x");
        u.setCursor(x === null ? { left: -10, top: -10 } : scene.rows ? { left: wide / 2, top: at } : { left: at, top: high / 2 });
      },
      canvas: () => u.root.querySelector("canvas"),
    };
  };
})();
