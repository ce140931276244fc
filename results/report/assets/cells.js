// `batchlab.cells(figure)`: a still picture of which each cell says its numbers, to a pointer and to keys. Nothing is drawn
// here but a frame: where the cells lie, and what they say, is what Python has written.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const { make } = batchlab;
  const { exact, number, quoted, safe } = batchlab.words;

  const shown = (value) => (value === null || value === "" ? "" : typeof value === "number" ? number(value, 5) : value);

  // The picture by itself, in the colours of paper.
  function picture(svg) {
    const own = svg.cloneNode(true), { width, height } = svg.viewBox.baseVal;
    own.setAttribute("width", width);
    own.setAttribute("height", height);
    own.setAttribute("color", batchlab.THEMES.light.ink);
    own.style.background = batchlab.THEMES.light.paper;
    return new XMLSerializer().serializeToString(own);
  }

  batchlab.cells = function (figure) {
    const { title, panels } = JSON.parse(figure.querySelector("script.cells-data").textContent);
    const sheet = figure.querySelector(".cells-sheet"), svg = sheet.querySelector("svg");
    const frame = make("div", { class: "cells-frame", hidden: "", "aria-hidden": "true" });
    const box = make("div", { class: "curves-box", hidden: "", "aria-hidden": "true" });
    const live = make("p", { class: "curves-live", "aria-live": "polite" });
    let here = null; // [panel, row, column]

    const said = ([p, row, column]) => {
      const { fields, values } = panels[p];
      return fields.map((name, i) => [name, shown(values[i][row][column])]).filter(([, text]) => text);
    };

    function show(place) {
      here = place;
      frame.hidden = box.hidden = place === null;
      if (place === null) return;
      const [p, row, column] = place, one = panels[p];
      const [left, right] = one.x.slice(column, column + 2), [top, bottom] = one.y.slice(row, row + 2);
      Object.assign(frame.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` });
      const lines = said(place).map(([name, text]) => make("tr", {}, make("td"), make("td", {}, name), make("td", {}, text)));
      box.replaceChildren(make("b", {}, one.rows[row]), " ", make("small", {}, over(place)), make("table", {}, ...lines));
      const wide = sheet.clientWidth, high = sheet.clientHeight, under = bottom * high + 8;
      box.style.left = `${Math.max(4, Math.min(wide - box.offsetWidth - 4, ((left + right) / 2) * wide - box.offsetWidth / 2))}px`;
      box.style.top = `${top * high - box.offsetHeight - 8 > 0 ? top * high - box.offsetHeight - 8 : under}px`;
    }

    const over = ([p, , column]) => [panels[p].title, [panels[p].column, panels[p].columns[column]].filter(Boolean).join(" ")].filter(Boolean).join(", ");

    // The cell at a place in the picture, of parts of its width and height.
    function at(x, y) {
      for (const [p, one] of panels.entries()) {
        const column = one.x.findIndex((edge, i) => x >= edge && x < one.x[i + 1]), row = one.y.findIndex((edge, i) => y >= edge && y < one.y[i + 1]);
        if (column >= 0 && row >= 0) return [p, row, column];
      }
      return null;
    }

    // The next cell that way; from the last one of a panel into the next panel.
    function step([p, row, column], down, right) {
      const { rows, columns } = panels[p], next = [row + down, column + right];
      if (next[0] >= 0 && next[0] < rows.length && next[1] >= 0 && next[1] < columns.length) return [p, ...next];
      const other = p + down + right;
      if (!panels[other]) return [p, row, column];
      const [high, wide] = [panels[other].rows.length - 1, panels[other].columns.length - 1];
      const into = (move, now, last) => (move > 0 ? 0 : move < 0 ? last : Math.min(now, last));
      return [other, into(down, row, high), into(right, column, wide)];
    }

    function key(event) {
      const [p, row] = here || [0, 0];
      const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
      if (event.key === "Escape") return void show(null);
      if (!(event.key in moves) && !["Home", "End"].includes(event.key)) return;
      event.preventDefault();
      if (event.key in moves) show(here ? step(here, ...moves[event.key]) : [0, 0, 0]);
      else show([p, row, event.key === "Home" ? 0 : panels[p].columns.length - 1]);
      live.textContent = `${panels[here[0]].rows[here[1]]}, ${over(here)}: ${said(here).map(([name, text]) => `${name} ${text}`).join(", ")}`;
    }

    function table() {
      const several = panels.length > 1, [{ row: down, column: right }] = panels;
      const fields = [...new Set(panels.flatMap((one) => one.fields))];
      const cell = (one, name, i, k) => {
        const value = one.fields.includes(name) ? one.values[one.fields.indexOf(name)][i][k] : "";
        return typeof value === "number" ? exact(value) : safe(value ?? "");
      };
      const rows = panels.flatMap((one) => one.rows.flatMap((name, i) => one.columns.map((column, k) =>
        [...(several ? [safe(one.title)] : []), safe(name), safe(column), ...fields.map((field) => cell(one, field, i, k))])));
      return [[...(several ? ["panel"] : []), down, right, ...fields], ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
    }

    const file = batchlab.filed(title) || "figure";
    const saved = {
      csv: () => new Blob([table()], { type: "text/csv" }),
      png: () => batchlab.raster(picture(svg)),
      svg: () => new Blob([picture(svg)], { type: "image/svg+xml" }),
    };
    for (const button of figure.querySelectorAll("button[data-file]")) {
      const kind = button.dataset.file;
      button.addEventListener("click", async () => batchlab.save(`${file}.${kind}`, await saved[kind]()));
    }
    sheet.append(frame, box);
    figure.append(live);
    sheet.setAttribute("aria-label", `${title}: arrow keys read cells`);
    const point = ({ clientX, clientY }) => {
      const { left, top, width, height } = svg.getBoundingClientRect();
      show(at((clientX - left) / width, (clientY - top) / height));
    };
    sheet.addEventListener("pointermove", point);
    sheet.addEventListener("pointerdown", point);
    sheet.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && show(null)); // a finger is lifted to read
    sheet.addEventListener("blur", () => show(null));
    sheet.addEventListener("keydown", key);
  };
})();
