// Shapes in the coordinates of a plot, as SVG paths: lines, bands, marks.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});

  // A line through points as an SVG path; steps hold their value until the next point.
  batchlab.outline = function (points, start = "M") {
    let text = "";
    for (const [x, y] of points) {
      if (Number.isNaN(y)) continue;
      text += `${text ? "L" : start}${Math.round(x * 10) / 10} ${Math.round(Math.min(1e5, Math.max(-1e5, y)) * 10) / 10}`;
    }
    return text;
  };
  batchlab.points = function (x, y, px, py, step) {
    const found = [];
    for (let i = 0; i < x.length; i++) {
      if (step && i) found.push([px(x[i]), py(y[i - 1])]);
      found.push([px(x[i]), py(y[i])]);
    }
    return found;
  };
  // The paths of a line: itself, and its band where it has one.
  batchlab.paths = function (line, px, py) {
    const last = line.x.length - 1;
    const along = (y) => [...batchlab.points(line.x, y, px, py, line.step), ...(line.held && last >= 0 ? [[px(line.x[last] + line.held), py(y[last])]] : [])];
    const path = batchlab.outline(along(line.y));
    if (!line.low) return { path, band: "" };
    const top = along(line.high), bottom = along(line.low).reverse();
    return { path, band: batchlab.outline(top) + batchlab.outline(bottom, "L") + "Z" };
  };
  // Where the x of a line stand: beside those of others, where intervals would hide each other.
  batchlab.beside = (scene, line, px, size) => {
    const aside = (scene.aside.get(line.name) || 0) * size;
    return aside ? (x) => px(x) + aside : px;
  };
  // A single point has no length: it is seen as a dot.
  batchlab.dot = (line, px, py) => (line.x.length === 1 ? [px(line.x[0]), py(line.y[0])] : null);

  const corners = (n, turn) => Array.from({ length: n }, (_, i) => [Math.sin(((i + turn) * 2 * Math.PI) / n), -Math.cos(((i + turn) * 2 * Math.PI) / n)]);

  // Marks on lines whose colour and dash are another's too, by their names in matplotlib; corners, of a size of 1.
  const MARKS = {
    "^": [[0, -1], [1, 0.8], [-1, 0.8]], v: [[0, 1], [1, -0.8], [-1, -0.8]],
    "*": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => [(i % 2 ? 0.5 : 1.2) * Math.sin((i * Math.PI) / 5), -(i % 2 ? 0.5 : 1.2) * Math.cos((i * Math.PI) / 5)]),
    h: corners(6, 0), H: corners(6, 0.5), p: corners(5, 0), 8: corners(8, 0.5),
    "<": [[-1, 0], [0.8, -1], [0.8, 1]], ">": [[1, 0], [-0.8, -1], [-0.8, 1]], d: [[0, -1.1], [0.6, 0], [0, 1.1], [-0.6, 0]],
    s: [[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]], D: [[0, -1.1], [1.1, 0], [0, 1.1], [-1.1, 0]],
    P: [[-0.4, -1], [0.4, -1], [0.4, -0.4], [1, -0.4], [1, 0.4], [0.4, 0.4], [0.4, 1], [-0.4, 1], [-0.4, 0.4], [-1, 0.4], [-1, -0.4], [-0.4, -0.4]],
    X: [[-1, -0.5], [-0.5, -1], [0, -0.5], [0.5, -1], [1, -0.5], [0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5], [-0.5, 1], [-1, 0.5], [-0.5, 0]],
  };
  batchlab.markAt = function (mark, x, y, size) {
    const at = ([dx, dy]) => `${Math.round((x + dx * size) * 10) / 10} ${Math.round((y + dy * size) * 10) / 10}`;
    if (mark === "o") return `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0Z`;
    return `M${MARKS[mark].map(at).join("L")}Z`;
  };
  // About eight of them, evenly along the line.
  batchlab.marks = function (line, px, py, size) {
    if (!line.mark || !line.x.length) return "";
    const every = Math.max(1, Math.floor(line.x.length / 8));
    let text = "";
    for (let i = 0; i < line.x.length; i += every) text += batchlab.markAt(line.mark, px(line.x[i]), py(line.y[i]), size);
    return text;
  };
})();
