// What the page itself does: copies, and the list of runs.
(function () {
  "use strict";
  const batchlab = window.batchlab;
  const say = (text) => { document.getElementById("said").textContent = text; };

  // --- copies -------------------------------------------------------------------------------------------------------

  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea"); // no clipboard for a page like this: as it was done before
      area.value = text;
      area.className = "unseen";
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function told(button, text) {
    const before = button.dataset.label || button.textContent;
    button.dataset.label = before;
    button.textContent = "Copied";
    say("Copied: " + text.split("\n")[0].slice(0, 120));
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = before; }, 1500);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-packed], button[data-copy]");
    if (!button) return;
    const focused = document.activeElement;
    const text = button.dataset.packed ? await unpacked(button.dataset.packed) : button.dataset.copy;
    await copy(text);
    if (focused) focused.focus({ preventScroll: true });
    told(button, text);
  });

  // --- paper holds what is folded away on a screen -------------------------------------------------------------------

  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open])")];
    unfolded.forEach((details) => { details.open = true; });
    draw(true);
  });
  window.addEventListener("afterprint", () => {
    unfolded.forEach((details) => { details.open = false; });
    draw();
  });

  // --- where in the page one is -------------------------------------------------------------------------------------

  const nav = document.querySelector("nav");
  const links = [...nav.querySelectorAll("a")];
  const sections = links.map((link) => document.getElementById(link.hash.slice(1)));
  let waits = false;

  function mark() {
    waits = false;
    const here = sections.findLastIndex((place) => place.getBoundingClientRect().top < 90);
    links.forEach((link, i) => {
      if (i !== here) return link.removeAttribute("aria-current");
      if (link.hasAttribute("aria-current")) return undefined;
      link.setAttribute("aria-current", "location");
      nav.scrollLeft = link.offsetLeft - nav.offsetLeft - 60; // of many the one is in sight
      return undefined;
    });
  }
  document.addEventListener("scroll", () => {
    if (!waits) requestAnimationFrame(mark);
    waits = true;
  }, { passive: true });
  mark();

  // --- the list of runs ---------------------------------------------------------------------------------------------

  const section = document.getElementById("runs");
  const data = JSON.parse(document.getElementById("runs-data").textContent);
  const view = batchlab.view;
  const table = section.querySelector("table");
  const form = section.querySelector("form");
  const order = section.querySelector(".order select"); // where there is no header to press
  const columns = data.columns.map((column) => {
    const texts = column.texts || column.of.map((i) => column.known[i]);
    const numbers = column.by ? column.by.map((value) => value ?? NaN) : column.numeric ? texts.map(asNumber) : null;
    return { ...column, texts, numbers };
  });
  const places = new Map(columns.map((column, i) => [column.key, i]));
  const total = columns[0].texts.length;
  const searched = Array.from({ length: total }, (_, i) => columns.map((c) => c.texts[i]).join("\n").toLowerCase());

  function asNumber(text) {
    const plain = text.replace(/,/g, "").replace("−", "-");
    return plain === "∞" ? Infinity : plain === "-∞" ? -Infinity : parseFloat(plain);
  }

  // What the address says of the list: r.text, r.sort (a key, with `-` before it the other way), r.page, r.is.KEY.
  const search = form.querySelector("input[type=search]"); // without a name: an axis may have any
  const filters = () => [...form.elements].filter((element) => element.name);

  // `lr=0.1` asks for a value of a column, whole, by its key or the end of it; anything else for a part of any value.
  function asked(text) {
    const [, named, value] = text.match(/^([^=]+)=(.+)$/) || [];
    const key = (named || "").replace(/"/g, ""), whole = (value || "").replace(/"/g, "");
    const own = whole ? columns.filter((c) => [c.key, c.title].some((name) => ("." + name.toLowerCase()).endsWith("." + key))) : [];
    if (/^[^="]+="?$/.test(text) && !own.length) return () => true; // about to be typed
    const part = text.replace(/"/g, "");
    if (!own.length) return (i) => searched[i].includes(part);
    const number = plain(whole) ? asNumber(whole) : NaN;
    return (i) => own.some((c) => {
      const found = c.texts[i].toLowerCase();
      return found === whole || (plain(found) && asNumber(found) === number);
    });
  }

  const plain = (text) => text !== "" && !Number.isNaN(Number(text.replace(/,/g, "")));

  function chosen() {
    const words = (view.get("r.text", "").toLowerCase().match(/(?:[^\s"]|"[^"]*"?)+/g) || []).map(asked);
    const wanted = filters()
      .map((element) => [places.get(element.name), view.get("r.is." + element.name, "")])
      .filter(([, value]) => value);
    const rows = [];
    for (let i = 0; i < total; i++) {
      if (wanted.every(([place, value]) => "=" + columns[place].texts[i] === value) &&
          words.every((fits) => fits(i))) rows.push(i);
    }
    return sorted(rows);
  }

  // Who has no value comes last, whichever way; equals stay in the order of the sweep.
  function sorted(rows) {
    const by = view.get("r.sort", "");
    const column = columns[places.get(by.replace(/^-/, ""))];
    if (!column) return rows;
    const way = by.startsWith("-") ? -1 : 1;
    const { numbers, texts } = column;
    const values = numbers || texts;
    const missing = (i) => (numbers ? Number.isNaN(numbers[i]) : texts[i] === "–");
    return rows.sort((a, b) =>
      missing(a) - missing(b) || way * (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0) || a - b);
  }

  const command = (i) => ["batchlab train", ...data.commands[i].map((k) => data.words[k])].join(" ");

  function row(i) {
    const line = document.createElement("tr");
    line.setAttribute("role", "row");
    const add = (className, text) => {
      const cell = document.createElement("td");
      cell.setAttribute("role", "cell"); // whatever a style makes of it
      cell.className = className;
      cell.textContent = text;
      line.append(cell);
      return cell;
    };
    for (const column of columns) {
      const text = column.texts[i];
      add(column.classes + (text === "–" ? " none" : text.length <= data.short ? " short" : ""), text).dataset.label = column.title;
    }
    const last = add("command", "");
    if (data.commands[i]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "tool";
      button.dataset.copy = command(i);
      button.title = button.dataset.copy;
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy the command of run " + columns[0].texts[i]);
      last.append(button);
    }
    return line;
  }

  // A page of what is chosen; on paper, where nobody turns pages, all of it up to some hundreds.
  function draw(paper = false) {
    const rows = chosen();
    const size = paper ? data.paper : data.page;
    const pages = Math.max(1, Math.ceil(rows.length / data.page));
    const page = Math.min(pages, Math.max(1, parseInt(view.get("r.page", "1"), 10) || 1));
    const from = paper ? 0 : (page - 1) * size;
    const here = rows.slice(from, from + size);
    table.tBodies[0].replaceChildren(...here.map(row));
    const told = (n) => n.toLocaleString("en");
    const span = rows.length ? `${told(from + 1)} to ${told(from + here.length)} of ` : "";
    const left = paper ? rows.length - here.length : 0;
    section.querySelector(".shown").textContent =
      span + told(rows.length) + (rows.length === 1 ? " run" : " runs") +
      (rows.length < total ? ` (of ${told(total)} in all)` : "") +
      (left ? `; ${told(left)} are not printed: a filter leaves fewer, and batchlab runs list has all` : "");
    section.querySelector(".onpaper").textContent = rows.length <= data.page ? ""
      : rows.length <= data.paper ? `; print has all ${told(rows.length)}` : `; print has the first ${told(data.paper)}`;
    const [back, on] = section.querySelectorAll(".pages button");
    back.disabled = page === 1;
    on.disabled = page === pages;
    back.dataset.page = page - 1;
    on.dataset.page = page + 1;
    const by = view.get("r.sort", "");
    for (const head of table.tHead.querySelectorAll("th[data-key]")) {
      const here = by.replace(/^-/, "") === head.dataset.key;
      if (here) head.setAttribute("aria-sort", by.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    order.value = by;
    if (document.activeElement !== search) search.value = view.get("r.text", "");
    for (const element of filters()) element.value = view.get("r.is." + element.name, "");
  }

  // Any change but of the page begins at the first one.
  function set(key, value) {
    quiet = true;
    if (key !== "r.page") view.set("r.page", null);
    view.set(key, value || null);
    quiet = false;
    draw();
  }
  let quiet = false;

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    const { name, value } = event.target;
    set(event.target === search ? "r.text" : "r.is." + name, value);
  });
  form.addEventListener("reset", () => {
    quiet = true;
    for (const element of filters()) view.set("r.is." + element.name, null);
    view.set("r.text", null);
    quiet = false;
    setTimeout(() => set("r.page", null)); // when the browser has emptied the form
  });
  section.querySelector(".pages").addEventListener("click", (event) => {
    const page = event.target.dataset.page;
    if (page) set("r.page", page === "1" ? null : page);
  });
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th[data-key]");
    if (!head) return;
    const key = head.dataset.key;
    const by = view.get("r.sort", "");
    set("r.sort", by === key ? "-" + key : by === "-" + key ? null : key);
  });
  order.addEventListener("change", () => set("r.sort", order.value));
  view.on((key) => { if (!quiet && (key === null || key === undefined || key.startsWith("r."))) draw(); });
  draw();

  // --- curves -------------------------------------------------------------------------------------------------------

  document.querySelectorAll("figure.curves").forEach(batchlab.curves);
  document.querySelectorAll("figure.cells").forEach(batchlab.cells);
})();
