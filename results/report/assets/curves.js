// `batchlab.curves(figure)`: a figure of curves with its controls, its legend and what is read from it.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const { make, view } = batchlab;
  const { counted, csv, explained } = batchlab.words;
  const KEYS = ["metric", "x", "y", "run", "stat", "base", "panel"];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => (dark.matches ? "dark" : "light");
  const figures = new Set();

  batchlab.save = function (name, blob) {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  batchlab.filed = (title) => title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);

  // ---- the figure ----

  function mount(figure, number) {
    const payload = JSON.parse(figure.querySelector("script.curves-data").textContent);
    const { names } = payload;
    const caption = make("figcaption");
    let scenes = [], stale = false; // a scene for each panel that is seen

    const bar = make("div", { class: "curves-bar", role: "group", "aria-label": `View of all plots, from ${payload.title}` });
    const label = make("span"), head = make("div", { class: "curves-head" }, label);
    const live = make("p", { class: "curves-live", "aria-live": "polite" });
    const legend = make("div", { class: "curves-legend", role: "group", "aria-label": "Lines: a click hides, a double click or Shift shows one alone" });
    const notes = make("ul", { class: "curves-notes" });
    const print = make("div", { class: "curves-print" });
    const panes = payload.panels.map(({ title }) => batchlab.pane(title, live, { zoom: () => draw() }));
    const grid = make("div", { class: `curves-panes${panes.length > 1 ? " several" : ""}${panes.length % 3 && panes.length < 5 ? "" : " three"}` }, ...panes.map(({ element }) => element));

    // -- controls --

    const id = (name) => `curves-${number}-${name}`;
    const selects = Object.fromEntries(KEYS.map((name) => [name, make("select", { id: id(name), onchange: ({ target }) => view.set(name, target.value || null) })]));
    const titles = { metric: "metric", x: "x", y: "y", run: "values", stat: "over seeds", base: "relative to", panel: payload.panel ? `panel: ${payload.panel}` : "panel" };
    const fields = Object.fromEntries(KEYS.map((name) => [name, make("span", {}, make("label", { for: id(name) }, titles[name]), selects[name])]));
    const button = (text, title, onclick) => make("button", { type: "button", title, onclick }, text);
    const file = () => batchlab.filed(scenes[0].scene.title) || "curves";
    const table = () => csv(scenes.map(({ scene, panel }) => ({ scene, title: payload.panels[panel].key, range: panes[panel].zoom })));
    head.append(button("CSV", "Download the numbers of this view", () => batchlab.save(`${file()}.csv`, new Blob([table()], { type: "text/csv" }))),
      button("PNG", "Download this view as a picture", async () => batchlab.save(`${file()}.png`, await batchlab.raster(picture("light")))),
      button("SVG", "Download this view as a drawing", () => batchlab.save(`${file()}.svg`, new Blob([picture("light")], { type: "image/svg+xml" }))));
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
      fill(selects.y, [["linear", "linear"], ["log", "logarithmic"]], how.log ? "log" : "linear");
      fields.y.firstChild.textContent = scenes.every(({ scene }) => scene.rows) ? "scale" : titles.y;
      fill(selects.panel, [["", "all"], ...new Map(payload.panels.map(({ key }) => [key, key]))], chosen() ?? "");
      fields.panel.hidden = panes.length < 2;
      fields.y.hidden = Boolean(payload.axes && payload.axes.every(({ y }) => y.linear)); // nothing there has a logarithm
      for (const key of ["metric", "x", "run", "stat", "base"]) fields[key].hidden = Boolean(how.points);
      if (how.points) return; // what else there is to choose was chosen in Python
      const others = [...names].sort((a, b) => (b === payload.baseline) - (a === payload.baseline));
      fill(selects.metric, payload.metrics.map(({ key, label }) => [key, label]), how.metric.key);
      fill(selects.x, payload.clocks.map(({ key, label }) => [key, label]), how.clock.key);
      fill(selects.run, [["plain", "as measured"], ["best", `running ${how.metric.best === "max" ? "maximum" : "minimum"}`]], how.best ? "best" : "plain");
      fill(selects.stat, [["mean", "mean, 95 % interval"], ["median", "median, quartiles"], ["seeds", "every seed"]], how.stat);
      fill(selects.base, [["", "nothing"], ...others.map((name) => [name, name])], names.includes(view.get("base")) ? view.get("base") : "");
      fields.metric.hidden = payload.metrics.length < 2;
      fields.x.hidden = payload.clocks.length < 2;
      fields.run.hidden = how.metric.best === null;
      fields.base.hidden = names.length < 2;
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
    if (list.classList.contains("long")) legend.append(unfolding());

    // Not all entries of a long legend are seen at once: one button shows them.
    function unfolding() {
      const said = (whole) => (whole ? "fewer lines here" : `all ${names.length} lines`);
      const all = make("button", { type: "button", class: "curves-all", "aria-expanded": "false", onclick: () => {
        const whole = list.classList.toggle("whole");
        all.setAttribute("aria-expanded", String(whole));
        all.textContent = said(whole);
      } }, said(false));
      return all;
    }

    function legends() {
      const drawn = merged(scenes.map(({ scene }) => scene));
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
        small.textContent = entry.said;
      }
    }

    // The entries of all panels: a line looks the same in each, and is counted over them.
    function merged(all) {
      const found = new Map(names.map((name) => [name, []]));
      for (const scene of all) for (const entry of scene.legend) found.get(entry.name).push(entry);
      const made = [...found].filter(([, own]) => own.length);
      return new Map(made.map(([name, own]) => [name, { ...own[0], said: counted(own.map(({ line }) => line), all[0].how) }]));
    }

    // -- drawing --

    // The panel that is shown alone; null: all are.
    function chosen() {
      const key = view.get("panel");
      return panes.length > 1 && payload.panels.some((one) => one.key === key) ? key : null;
    }

    function scenesOf(colors) {
      const state = Object.fromEntries(KEYS.map((key) => [key, view.get(key)])), only = chosen();
      const off = hidden(), seen = names.filter((name) => !off.has(name));
      const places = panes.map((_, panel) => panel).filter((panel) => only === null || payload.panels[panel].key === only);
      const made = places.map((panel) => [panel, (payload.axes ? batchlab.dots : batchlab.compute)(payload, state, panel)]);
      return made.map(([panel, computed]) => ({ panel, scene: batchlab.scene(payload, computed, seen, colors) }));
    }

    const below = ({ rows }) => rows && !batchlab.narrow(); // its label stands there

    function draw() {
      stale = false;
      scenes = scenesOf(theme());
      const [{ scene: first }] = scenes, labels = new Set(scenes.map(({ scene }) => scene.yLabel));
      controls(first.how);
      label.textContent = labels.size > 1 || below(first) ? "" : first.yLabel;
      caption.textContent = first.title;
      panes.forEach(({ element }, panel) => (element.hidden = !scenes.some((one) => one.panel === panel)));
      for (const { panel, scene } of scenes) panes[panel].draw(scene, labels.size > 1 && !below(scene) ? scene.yLabel : "");
      legends();
      notes.replaceChildren(...said().map((note) => make("li", {}, note)));
    }

    const said = () => explained(scenes.map(({ scene, panel }) => ({ scene, range: panes[panel].zoom, title: payload.panels[panel].title })), payload);

    function picture(colors, width) {
      const own = scenesOf(colors), all = own.map(({ scene }) => scene);
      const shown = [...merged(all).values()].filter(({ on }) => on).map((entry) => ({ ...entry, said: entry.said ? `${entry.name} (${entry.said})` : entry.name }));
      const parts = own.map(({ scene, panel }) => ({ scene, range: panes[panel].zoom, title: payload.panels[panel].title }));
      return batchlab.picture(parts, { width, notes: said(), entries: all[0].many ? [] : shown });
    }

    figure.querySelectorAll(".static").forEach((element) => element.remove());
    figure.classList.add("mounted");
    figure.append(caption, bar, head, grid, live, legend, notes, print);
    draw();
    panes.forEach((pane) => pane.watch());

    return {
      draw,
      spoil: () => (stale = true),
      freshen: () => stale && draw(),
      print: () => (print.innerHTML = picture("light", panes.length > 1 ? 1000 : 680)),
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
