// One plot of a figure: what a pointer, a finger or keys read of it, and which part of x is seen.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const { words } = batchlab;
  const { described, interval, noted, plural, ranges, valued } = words;

  const ROW = 32; // how high a row is

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  function shape(name, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  // `title` is that of a panel, `live` where values are read out; `on.zoom` is told that another part of x is seen.
  batchlab.pane = function (title, live, on) {
    let scene = null, zoom = null, cursor = null;
    const head = make("p", { class: "curves-panel" }, make("b", {}, title), make("span"));
    const area = make("div", { class: "curves-area" });
    const box = make("div", { class: "curves-box", hidden: "", "aria-hidden": "true" });
    const reset = make("button", { type: "button", class: "curves-reset", title: "All of x (or a double click in the plot)", onclick: () => seen(null) }, "Reset zoom");
    const plotted = make("div", { class: "curves-plot", tabindex: "0", role: "group", onkeydown: key, onblur: () => point(null) }, area, box, reset);
    const element = make("div", { class: "curves-pane" }, head, plotted);
    const overlay = shape("svg", { class: "curves-over", "aria-hidden": "true" });
    const plot = batchlab.plot(area, { move: (x, top) => show(x, top), zoom: seen });

    const read = () => (batchlab.narrow() ? 6 : title ? 9 : 14); // so many lines are read at a time

    function seen(range) {
      zoom = range;
      on.zoom();
    }

    function point(x) {
      cursor = x;
      plot.cursor(x);
    }

    function show(x, top) {
      box.hidden = x === null;
      overlay.replaceChildren();
      if (x === null) return;
      cursor = x;
      const rows = batchlab.readings(scene, x), far = (row) => Math.abs(plot.position(x, row.y)[scene.rows ? 0 : 1] - top);
      const near = rows.length <= read() ? rows : [...rows].sort((a, b) => far(a) - far(b)).slice(0, read()).sort((a, b) => b.y - a.y);
      const table = near.map((row) => {
        const key = make("td");
        key.innerHTML = batchlab.svgKey(row);
        return make("tr", {}, key, make("td", {}, row.name), make("td", {}, valued(row, scene)), make("td", {}, interval(row, scene)), make("td", {}, noted(row)));
      });
      const more = rows.length - near.length;
      box.replaceChildren(make("b", {}, scene.said(x)), " ", make("small", {}, ranges[scene.how.stat]), make("table", {}, ...table), more ? `and ${plural(more, "line")} more` : "");
      const [left, down] = plot.position(x, scene.rows && rows.length ? rows[0].y : undefined);
      overlay.append(shape("path", { d: scene.rows ? `M0 ${down}H${plot.over.clientWidth}` : `M${left} 0V${plot.over.clientHeight}` }));
      if ((scene.many || scene.ended) && rows.length) highlight([...rows].sort((a, b) => far(a) - far(b))[0].name);
      if (!scene.many) near.forEach((row) => {
        const [cx, cy] = plot.position(x, row.y);
        overlay.append(shape("circle", { cx, cy, r: 3.5, fill: row.color }));
      });
      if (scene.rows) { // beside the row that is read
        const high = box.offsetHeight, place = plot.over.offsetTop + down;
        box.style.top = `${place - high - 12 > 0 ? place - high - 12 : place + 14}px`;
      }
      const edge = plot.over.offsetLeft + left, wide = box.offsetWidth, whole = plotted.clientWidth;
      box.style.left = `${Math.max(4, Math.min(whole - wide - 4, edge > whole / 2 ? edge - wide - 14 : edge + 14))}px`;
    }

    // Of many lines the nearest one is seen: in grey ones as a line, in others with its band.
    function highlight(name) {
      const line = scene.lines.find((one) => one.name === name);
      const { path, band } = batchlab.paths(line, (x) => plot.position(x)[0], (y) => plot.position(0, y)[1]);
      if (scene.many) overlay.append(shape("path", { d: path, class: "nearest" }));
      else if (band) overlay.append(shape("path", { d: band, class: "band", style: `fill: ${line.color}` }));
    }

    function key(event) {
      const { places } = scene, now = cursor === null ? -1 : batchlab.before(places, cursor), step = event.shiftKey ? 10 : 1;
      const inside = zoom ? places.filter((x) => x >= zoom[0] && x <= zoom[1]) : places;
      if (!inside.length) return;
      const to = { ArrowRight: places[now + step], ArrowLeft: places[now - step], Home: inside[0], End: inside[inside.length - 1] };
      if (scene.rows) Object.assign(to, { ArrowDown: to.ArrowRight, ArrowUp: to.ArrowLeft });
      if (event.key === "Escape") return void point(null);
      if (!(event.key in to)) return;
      event.preventDefault();
      const last = inside[inside.length - 1];
      let x = now < 0 && event.key !== "End" ? inside[0] : to[event.key] ?? (["ArrowRight", "ArrowDown"].includes(event.key) ? last : inside[0]);
      x = Math.min(last, Math.max(inside[0], x));
      point(x);
      show(x, (scene.rows ? plot.over.clientWidth : plot.over.clientHeight) / 2);
      const rows = batchlab.readings(scene, x).slice(0, 14);
      live.textContent = `${scene.said(x)}: ${rows.map((row) => {
        const range = interval(row, scene);
        return [`${row.name} ${valued(row, scene)}${range ? ` (${range})` : ""}`, noted(row)].filter(Boolean).join(", ");
      }).join("; ")}`;
    }

    area.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch" || !scene) return; // a finger reads as a mouse does
      const rect = plot.over.getBoundingClientRect();
      const [from, to] = zoom || scene.xRange;
      const share = scene.rows ? (event.clientY - rect.top) / rect.height : (event.clientX - rect.left) / rect.width;
      point(plot.nearest(from + share * (to - from)));
    });

    return {
      element,
      get zoom() {
        return zoom;
      },
      // `label` is what is on the y-axis, where panels differ in that.
      draw(next, label) {
        scene = next;
        if (zoom && (zoom[1] <= scene.xRange[0] || zoom[0] >= scene.xRange[1])) zoom = null; // of another clock
        reset.hidden = zoom === null;
        head.hidden = !title && !label;
        head.lastChild.textContent = label === title ? "" : label;
        if (scene.rows) area.style.height = `${64 + ROW * scene.rowNames.length}px`;
        plot.draw(scene, zoom);
        const name = [scene.title, title].filter(Boolean).join(", "), canvas = plot.canvas();
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", described(scene, title));
        plotted.setAttribute("aria-label", `${name}: arrow keys read values`);
        if (!overlay.isConnected) plot.over.append(overlay);
        point(null);
      },
      resize: () => plot.resize(),
      watch: () => new ResizeObserver(() => scene && plot.resize()).observe(area),
    };
  };
  batchlab.make = make;
})();
