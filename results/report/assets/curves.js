// `batchlab.curves(figure)`: a figure of curves with its controls, its legend and what is read from it.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const { view, words } = batchlab;
  const { counted, csv, described, explained, interval, plural, ranges, valued } = words;
  const KEYS = ["metric", "x", "y", "run", "stat", "base"];
  const read = () => (window.innerWidth < 600 ? 6 : 14); // so many lines are read at a time
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => (dark.matches ? "dark" : "light");
  const figures = new Set();

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

  function save(name, blob) {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // ---- the figure ----

  function mount(figure, number) {
    const payload = JSON.parse(figure.querySelector("script.curves-data").textContent);
    const names = payload.lines.map(({ name }) => name);
    const caption = make("figcaption");
    let scene = null, zoom = null, cursor = null, stale = false;

    const bar = make("div", { class: "curves-bar", role: "group", "aria-label": `View of all plots, from ${payload.title}` });
    const label = make("span"), head = make("div", { class: "curves-head" }, label);
    const area = make("div", { class: "curves-area" });
    const box = make("div", { class: "curves-box", hidden: "", "aria-hidden": "true" });
    const live = make("p", { class: "curves-live", "aria-live": "polite" });
    const plotted = make("div", { class: "curves-plot", tabindex: "0", role: "group", onkeydown: key, onblur: () => point(null) }, area, box);
    const legend = make("div", { class: "curves-legend", role: "group", "aria-label": "Lines: a click hides, a double click or Shift shows one alone" });
    const notes = make("ul", { class: "curves-notes" });
    const print = make("div", { class: "curves-print" });
    const plot = batchlab.plot(area, {
      move: (x, top) => show(x, top),
      zoom: (range) => {
        zoom = range;
        draw();
      },
    });
    const overlay = shape("svg", { class: "curves-over", "aria-hidden": "true" });

    // -- controls --

    const id = (name) => `curves-${number}-${name}`;
    const selects = Object.fromEntries(KEYS.map((name) => [name, make("select", { id: id(name), onchange: ({ target }) => view.set(name, target.value || null) })]));
    const titles = { metric: "metric", x: "x", y: "y", run: "values", stat: "over seeds", base: "relative to" };
    const fields = Object.fromEntries(KEYS.map((name) => [name, make("span", {}, make("label", { for: id(name) }, titles[name]), selects[name])]));
    const button = (text, title, onclick) => make("button", { type: "button", title, onclick }, text);
    const reset = button("Reset zoom", "All of x (or a double click in the plot)", () => {
      zoom = null;
      draw();
    });
    const file = () => scene.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "curves";
    reset.className = "curves-reset";
    plotted.append(reset);
    head.append(button("CSV", "Download the numbers of this view", () => save(`${file()}.csv`, new Blob([csv(scene, zoom)], { type: "text/csv" }))),
      button("PNG", "Download this view as a picture", async () => save(`${file()}.png`, await batchlab.raster(picture("light")))),
      button("SVG", "Download this view as a drawing", () => save(`${file()}.svg`, new Blob([picture("light")], { type: "image/svg+xml" }))));
    bar.append(...Object.values(fields));

    function fill(select, options, value) {
      const now = JSON.stringify(options);
      if (select.dataset.options !== now) {
        select.dataset.options = now;
        select.replaceChildren(...options.map(([key, text]) => make("option", { value: key }, text)));
      }
      select.value = value;
    }

    function controls(how) {
      const others = [...names].sort((a, b) => (b === payload.baseline) - (a === payload.baseline));
      fill(selects.metric, payload.metrics.map(({ key, label }) => [key, label]), how.metric.key);
      fill(selects.x, payload.clocks.map(({ key, label }) => [key, label]), how.clock.key);
      fill(selects.y, [["linear", "linear"], ["log", "logarithmic"]], how.log ? "log" : "linear");
      fill(selects.run, [["plain", "as measured"], ["best", `running ${how.metric.best === "max" ? "maximum" : "minimum"}`]], how.best ? "best" : "plain");
      fill(selects.stat, [["mean", "mean, 95 % interval"], ["median", "median, quartiles"], ["seeds", "every seed"]], how.stat);
      fill(selects.base, [["", "nothing"], ...others.map((name) => [name, name])], how.base ?? "");
      fields.metric.hidden = payload.metrics.length < 2;
      fields.x.hidden = payload.clocks.length < 2;
      fields.run.hidden = how.metric.best === null;
      fields.base.hidden = names.length < 2;
      reset.hidden = zoom === null;
    }

    // -- legend --

    const hidden = () => new Set(view.list("hide").filter((name) => names.includes(name)));

    function hide(own) {
      const others = view.list("hide").filter((name) => !names.includes(name));
      view.setList("hide", [...others, ...names.filter((name) => own.has(name))]);
    }

    function alone(name) {
      const own = hidden();
      const only = !own.has(name) && own.size === names.length - 1;
      hide(new Set(only ? [] : names.filter((other) => other !== name)));
    }

    function toggle(name, event) {
      if (event.shiftKey) return alone(name);
      const own = hidden();
      if (!own.delete(name)) own.add(name);
      return hide(own);
    }

    const filter = make("input", { id: id("filter"), type: "search", placeholder: "part of a name", onchange: ({ target }) => {
      const part = target.value.toLowerCase();
      hide(new Set(names.filter((name) => !name.toLowerCase().includes(part))));
    } });
    const narrow = make("p", { class: "curves-filter" }, make("label", { for: id("filter") }, "only lines with"), filter);
    const entries = new Map(names.map((name) => {
      const text = make("span"), key = make("span", { class: "curves-key" }), small = make("small");
      text.textContent = name;
      const one = make("button", {
        type: "button", title: "Click hides or shows, double click or Shift and click shows it alone",
        onclick: (event) => toggle(name, event), ondblclick: () => alone(name),
      }, key, text, small);
      return [name, { one, key, small }];
    }));
    const list = make("div", { class: "curves-lines" }, ...[...entries.values()].map(({ one }) => one));
    if (names.length > payload.palette.length) {
      legend.append(narrow);
      list.classList.add("long");
    }
    legend.append(list);

    function legends() {
      const drawn = new Map(scene.legend.map((entry) => [entry.name, entry]));
      for (const [name, { one, key, small }] of entries) {
        const entry = drawn.get(name);
        one.hidden = !entry;
        if (!entry) continue;
        one.setAttribute("aria-pressed", String(entry.on));
        const look = `${entry.color} ${entry.dash} ${entry.mark}`;
        if (key.dataset.look !== look) {
          key.dataset.look = look;
          key.innerHTML = batchlab.svgKey(entry);
        }
        small.textContent = counted(entry, scene.how);
      }
    }

    // -- drawing --

    function state() {
      return Object.fromEntries(KEYS.map((key) => [key, view.get(key)]));
    }

    function sceneOf(colors) {
      return batchlab.scene(payload, batchlab.compute(payload, state()), hidden(), colors);
    }

    function draw() {
      stale = false;
      scene = sceneOf(theme());
      if (zoom && (zoom[1] <= scene.xRange[0] || zoom[0] >= scene.xRange[1])) zoom = null; // of another clock
      controls(scene.how);
      label.textContent = scene.yLabel;
      caption.textContent = scene.title;
      plot.draw(scene, zoom);
      legends();
      notes.replaceChildren(...explained(scene, payload).map((note) => make("li", {}, note)));
      const said = described(scene), canvas = plot.canvas();
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", said);
      plotted.setAttribute("aria-label", `${scene.title}: arrow keys read values`);
      if (!overlay.isConnected) plot.over.append(overlay);
      point(null);
    }

    function picture(colors, width) {
      const own = sceneOf(colors);
      const shown = own.legend.filter(({ on }) => on).map((entry) => ({ ...entry, said: `${entry.name} (${counted(entry, own.how)})` }));
      return batchlab.picture(own, { width, range: zoom, notes: explained(own, payload), entries: own.many ? [] : shown });
    }

    // -- reading --

    function point(x) {
      cursor = x;
      plot.cursor(x);
    }

    function show(x, top) {
      box.hidden = x === null;
      overlay.replaceChildren();
      if (x === null) return;
      cursor = x;
      const rows = batchlab.readings(scene, x), far = (row) => Math.abs(plot.position(x, row.y)[1] - top);
      const near = rows.length <= read() ? rows : [...rows].sort((a, b) => far(a) - far(b)).slice(0, read()).sort((a, b) => b.y - a.y);
      const table = near.map((row) => {
        const key = make("td");
        key.innerHTML = batchlab.svgKey(row);
        return make("tr", {}, key, make("td", {}, row.name), make("td", {}, valued(row, scene)), make("td", {}, interval(row, scene)), make("td", {}, `n ${row.n}`));
      });
      const more = rows.length - near.length;
      box.replaceChildren(make("b", {}, words.amount(x, scene.how.clock)), " ", make("small", {}, ranges[scene.how.stat]), make("table", {}, ...table), more ? `and ${plural(more, "line")} more` : "");
      const [left] = plot.position(x);
      overlay.append(shape("path", { d: `M${left} 0V${plot.over.clientHeight}` }));
      if (scene.many && rows.length) highlight([...rows].sort((a, b) => far(a) - far(b))[0].name);
      else near.forEach((row) => overlay.append(shape("circle", { cx: left, cy: plot.position(x, row.y)[1], r: 3.5, fill: row.color })));
      const edge = plot.over.offsetLeft + left, wide = box.offsetWidth, whole = plotted.clientWidth;
      box.style.left = `${Math.max(4, Math.min(whole - wide - 4, edge > whole / 2 ? edge - wide - 14 : edge + 14))}px`;
    }

    // Of many grey lines the nearest one is seen.
    function highlight(name) {
      const line = scene.lines.find((one) => one.name === name);
      const { path } = batchlab.paths(line, (x) => plot.position(x)[0], (y) => plot.position(0, y)[1]);
      overlay.append(shape("path", { d: path, class: "nearest" }));
    }

    function key(event) {
      const { places } = scene, now = cursor === null ? -1 : batchlab.before(places, cursor), step = event.shiftKey ? 10 : 1;
      const inside = zoom ? places.filter((x) => x >= zoom[0] && x <= zoom[1]) : places;
      if (!inside.length) return;
      const to = { ArrowRight: places[now + step], ArrowLeft: places[now - step], Home: inside[0], End: inside[inside.length - 1] };
      if (event.key === "Escape") return void point(null);
      if (!(event.key in to)) return;
      event.preventDefault();
      const last = inside[inside.length - 1];
      let x = now < 0 ? inside[0] : to[event.key] ?? (event.key === "ArrowRight" ? last : inside[0]);
      x = Math.min(last, Math.max(inside[0], x));
      point(x);
      show(x, plot.over.clientHeight / 2);
      const rows = batchlab.readings(scene, x).slice(0, 14);
      live.textContent = `${words.amount(x, scene.how.clock)}: ${rows.map((row) => {
        const range = interval(row, scene);
        return `${row.name} ${valued(row, scene)}${range ? ` (${range})` : ""}, n ${row.n}`;
      }).join("; ")}`;
    }

    area.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch" || !scene) return; // a finger reads as a mouse does
      const rect = plot.over.getBoundingClientRect();
      const [from, to] = zoom || scene.xRange;
      point(plot.nearest(from + ((event.clientX - rect.left) / rect.width) * (to - from)));
    });

    figure.querySelectorAll(".static").forEach((element) => element.remove());
    figure.classList.add("mounted");
    figure.append(caption, bar, head, plotted, live, legend, notes, print);
    draw();
    new ResizeObserver(() => plot.resize()).observe(area);

    return {
      draw,
      spoil: () => (stale = true),
      freshen: () => stale && draw(),
      print: () => (print.innerHTML = picture("light", 680)),
      printed: () => print.replaceChildren(),
    };
  }

  // ---- all figures of a page ----

  const FEW = 4;

  // Whether a figure is drawn now: near what is seen, or one of a few; others when the reader comes near.
  const near = (element) => {
    const { top, bottom } = element.getBoundingClientRect();
    if (document.querySelectorAll("figure.curves").length <= FEW) return true;
    return bottom > -window.innerHeight && top < 2 * window.innerHeight;
  };

  // Mounts a figure, so that nothing moves when it is seen.
  batchlab.curves = function (figure) {
    const own = { figure, made: null }, number = figures.size;
    own.mount = () => (own.made ??= mount(figure, number));
    figures.add(own);
    if (near(figure)) own.mount();
    new IntersectionObserver((seen) => {
      if (seen.some(({ isIntersecting }) => isIntersecting)) own.mount().freshen();
    }, { rootMargin: "100% 0px" }).observe(figure);
  };
  batchlab.curves.compute = batchlab.compute;

  function redraw() {
    for (const { figure, made } of figures) {
      if (!made) continue;
      if (near(figure)) made.draw();
      else made.spoil();
    }
  }

  view.on((key) => {
    if (key === null || key === "hide" || KEYS.includes(key)) redraw();
  });
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => figures.forEach((own) => own.mount().print()));
  window.addEventListener("afterprint", () => figures.forEach(({ made }) => made && made.printed()));
})();
