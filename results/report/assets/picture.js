// A scene to keep: a small SVG of its own, for download, for print, and for the PNG that is made of it.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif';
  const LETTER = 0.56; // how wide a letter is, about, of its height

  const escaped = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
  const tag = (name, attributes, inner = "") =>
    `<${name}${Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`).join("")}>${inner}</${name}>`;
  const text = (x, y, said, more = {}) => tag("text", { x: Math.round(x * 10) / 10, y: Math.round(y * 10) / 10, ...more }, escaped(said));

  // Words on lines of so many letters.
  function wrapped(said, letters) {
    const lines = [""];
    for (const word of said.split(" ")) {
      const last = lines[lines.length - 1];
      if (last && last.length + 1 + word.length > letters) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines;
  }

  batchlab.wrapped = wrapped;

  const stroked = ({ color, width, alpha, dash }) => ({
    fill: "none", stroke: color, "stroke-width": width, "stroke-linejoin": "round",
    ...(alpha < 1 ? { "stroke-opacity": alpha } : {}),
    ...(dash.length ? { "stroke-dasharray": dash.map((length) => Math.round(length * width * 10) / 10).join(" ") } : {}),
  });

  function shapes(scene, px, py, area, range) {
    const made = scene.lines.map((line) => [line, batchlab.paths(line, batchlab.beside(scene, line, px, 3.4), py)]);
    const extra = batchlab.extras(scene, px, py, area, 3.4, range);
    const one = (line, path) => {
      const dot = batchlab.dot(line, px, py);
      return dot ? tag("circle", { cx: dot[0], cy: dot[1], r: 3, fill: line.color }) : tag("path", { d: path, ...stroked(line) });
    };
    return [
      ...made.filter(([, { band }]) => band && !scene.ended).map(([line, { band }]) => tag("path", { d: band, fill: line.color, "fill-opacity": line.bandAlpha })),
      ...scene.thin.map((line) => one(line, batchlab.paths(line, px, py).path)),
      ...made.map(([line, { path }]) => one(line, path)),
      ...scene.lines.filter(({ mark }) => mark).map((line) => tag("path", { d: batchlab.marks(line, px, py, 3.4), fill: line.color })),
      ...scene.crosses.map(({ x, y, color }) => tag("path", { d: batchlab.cross(px(x), py(y), 4), stroke: color, "stroke-width": 1.8 })),
      ...extra.shapes.map(({ d, fill = "none", stroke, width, alpha = 1, dash = [] }) => tag("path", { d, fill, ...(stroke ? { stroke, "stroke-width": width } : {}), ...(dash.length ? { "stroke-dasharray": dash.map((length) => Math.round(10 * length * width) / 10).join(" ") } : {}), ...(alpha < 1 ? { "fill-opacity": alpha } : {}) })),
      ...extra.texts.map(({ x, y, said, color }) => text(x, y + 4, said, { fill: color, "font-size": 11, "font-weight": 600, "text-anchor": "middle" })),
    ].join("");
  }

  // Entries of the legend in as many columns as fit, and how high they are.
  function legend(scene, entries, left, top, width) {
    const longest = Math.max(1, ...entries.map(({ said }) => said.length));
    const wide = Math.min(width, 44 + longest * 11.5 * LETTER + 16), columns = Math.max(1, Math.floor(width / wide));
    const most = Math.floor((wide - 60) / (11.5 * LETTER));
    const parts = entries.map(({ said, color, dash, mark }, i) => {
      const x = left + (i % columns) * (width / columns), y = top + Math.floor(i / columns) * 18;
      const key = tag("path", { d: `M${x} ${y - 4}h30`, ...stroked({ color, dash, width: 2, alpha: 1 }) });
      return key + (mark ? tag("path", { d: batchlab.markAt(mark, x + 15, y - 4, 3.4), fill: color }) : "") + text(x + 38, y, said.length > most && columns === 1 ? `${said.slice(0, most)}…` : said, { fill: scene.colors.ink, "font-size": 11.5 });
    });
    return { svg: parts.join(""), height: Math.ceil(entries.length / columns) * 18 };
  }

  let drawn = 0; // several pictures may stand in one page

  // One panel with its axes, from `top` down and between two x; what is in it, and where it ends.
  function panel({ scene, range, title }, top, start, end, tall, labelled) {
    const { colors, rows } = scene, [from, to] = range || scene.xRange, [low, high] = scene.yRange(range);
    const label = labelled && !rows && scene.yLabel !== title, height = rows ? 24 * scene.rowNames.length + 16 : tall;
    const small = { fill: colors.ink, "font-size": 11.5 }, above = top + (title ? 18 : 0) + (label ? 18 : 0), bottom = above + height;
    const values = scene.yTicks(low, high, Math.max(3, Math.floor(rows ? (end - start) / 110 : height / 50)));
    const most = Math.max(10, Math.floor((0.45 * (end - start)) / 6.4)), cut = (said) => (said.length > most ? `${said.slice(0, most - 1)}…` : said);
    const side = rows ? scene.rowNames.map(({ at, text: said }) => ({ at, text: cut(said) })) : values;
    const left = start + 4 + 6.8 * Math.max(2, ...side.map(({ text: said }) => said.length)), right = end - 4;
    const across = (share) => left + share * (right - left), down = (share) => above + share * height;
    const px = (x) => (rows ? down : across)((x - from) / (to - from));
    const py = (y) => (rows ? across((y - low) / (high - low)) : down(1 - (y - low) / (high - low)));
    const line = (d) => tag("path", { d, stroke: colors.grid, "stroke-width": 1 });
    const foot = rows ? values : scene.xTicks(from, to, (right - left) / 90), [along, beside] = rows ? [py, px] : [px, py];
    const parts = [
      title ? text(start, top + 6, title, { ...small, "font-weight": 600 }) : "",
      label ? text(start, above - 10, scene.yLabel, small) : "",
      ...side.map(({ at, text: said }) => line(`M${left} ${beside(at)}H${right}`) + text(left - 6, beside(at) + 4, said, { ...small, "text-anchor": "end" })),
      ...foot.map(({ at, text: said }) => line(`M${along(at)} ${above}V${bottom}`) + text(along(at), bottom + 16, said, { ...small, "text-anchor": "middle" })),
      tag("clipPath", { id: `curves-area-${++drawn}` }, tag("rect", { x: left, y: above - 3, width: right - left + 4, height: height + 6 })),
      tag("g", { "clip-path": `url(#curves-area-${drawn})` }, shapes(scene, px, py, { left, top: above, width: right - left, height }, range)),
      text((left + right) / 2, bottom + 34, rows ? scene.yLabel : scene.xLabel, { ...small, "text-anchor": "middle" }),
    ];
    return { svg: parts.join(""), bottom: bottom + 34 };
  }

  // So many panels stand side by side: a wide picture is for a page of paper, which it must not be longer than.
  function columns(panels, width) {
    if (panels < 3 || width < 900) return Math.min(2, panels);
    return panels % 3 === 0 && panels < 7 || panels === 5 ? 3 : 4;
  }

  // `parts` are panels { scene, range, title }, `entries` those of the legend, `notes` what stands below.
  batchlab.picture = function (parts, { width = 720, entries, notes }) {
    const [{ scene: first }] = parts, { colors } = first, across = columns(parts.length, width);
    const title = wrapped(first.title, Math.floor(width / (14 * LETTER))), own = (width - 24 - 16 * (across - 1)) / across;
    const same = parts.some(({ scene }) => !scene.rows) && new Set(parts.map(({ scene }) => scene.yLabel)).size === 1, height = Math.round(Math.min(360, own * (across > 1 ? 0.6 : 0.55)));
    let top = 20 + 18 * title.length + 16, end = top;
    const made = [...title.map((said, i) => text(12, 22 + 18 * i, said, { fill: colors.ink, "font-size": 14, "font-weight": 600 }))];
    if (same) made.push(text(12, top - 10, first.yLabel, { fill: colors.ink, "font-size": 11.5 }));
    if (same && across > 1) top += 14;
    parts.forEach((part, i) => {
      const start = 12 + (i % across) * (own + 16), one = panel(part, top, start, start + own, height, !same);
      made.push(one.svg);
      end = Math.max(i % across ? end : 0, one.bottom);
      if (i % across === across - 1) top = end + 26;
    });
    const keys = legend(first, entries, 12, end + 26, width - 24);
    const below = notes.flatMap((note) => wrapped(note, Math.floor((width - 24) / (10.5 * LETTER))));
    const last = end + 22 + keys.height;
    made.push(keys.svg, ...below.map((said, i) => text(12, last + 10 + 15 * i, said, { fill: colors.soft, "font-size": 10.5 })));
    const tall = last + 10 + 15 * below.length;
    const head = { xmlns: "http://www.w3.org/2000/svg", width, height: tall, viewBox: `0 0 ${width} ${tall}`, "font-family": FONT, role: "img" };
    return tag("svg", head, tag("title", {}, escaped(first.title)) + tag("rect", { width, height: tall, fill: colors.paper }) + made.join(""));
  };

  // An SVG as a PNG of twice its size.
  batchlab.raster = function (svg) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onerror = () => reject(new Error("the picture could not be drawn"));
      image.onload = () => {
        const canvas = document.createElement("canvas");
        canvas.width = 2 * image.width;
        canvas.height = 2 * image.height;
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob(resolve, "image/png");
      };
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    });
  };
  // A line of the legend, as it is drawn.
  batchlab.svgKey = ({ color, dash, mark }) => {
    const line = tag("path", { d: "M1 5h32", ...stroked({ color, dash, width: 2.2, alpha: 1 }) });
    const dot = mark ? tag("path", { d: batchlab.markAt(mark, 17, 5, 4), fill: color }) : "";
    return tag("svg", { class: "key", width: 34, height: 10, viewBox: "0 0 34 10", "aria-hidden": "true" }, line + dot);
  };
})();
