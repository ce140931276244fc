// The state of view of the whole page, kept in the URL's hash: #x=steps&y=log&hide=adamw
// A hash without `=` is an anchor: it is followed, and the state stays as it is.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const listeners = [];
  let state = {};

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text; // somebody's own `%`
    }
  }

  function parse(hash) {
    const found = {};
    for (const part of hash.replace(/^#/, "").split("&")) {
      const at = part.indexOf("=");
      if (at > 0) found[decoded(part.slice(0, at))] = decoded(part.slice(at + 1));
    }
    return found;
  }

  function format(values) {
    const escaped = (text) => encodeURIComponent(text).replace(/%(2C|3A|2F|20)/g, (code) => ({
      "%2C": ",", "%3A": ":", "%2F": "/", "%20": "%20",
    })[code]);
    return Object.keys(values).map((key) => escaped(key) + "=" + escaped(values[key])).join("&");
  }

  function read() {
    if (location.hash.includes("=")) state = parse(location.hash);
    else if (location.hash.length < 2) state = {};
  }

  function tell(key) {
    for (const listener of listeners) listener(key);
  }

  read();
  window.addEventListener("hashchange", () => {
    const before = format(state);
    read();
    if (format(state) !== before) tell(null);
  });

  // A link within the page keeps the state: the address can still be sent on.
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[href^='#']");
    const place = link && document.getElementById(decoded(link.hash.slice(1)));
    if (!place || !Object.keys(state).length || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    place.scrollIntoView();
    if (!place.hasAttribute("tabindex")) place.setAttribute("tabindex", "-1");
    place.focus({ preventScroll: true });
  });

  batchlab.view = {
    get: (key, fallback) => (Object.hasOwn(state, key) ? state[key] : fallback),

    // null takes a key away. Nothing is added to the history: a reader goes back to where they came from.
    set(key, value) {
      if (value === null || value === undefined) delete state[key];
      else state[key] = String(value);
      const hash = format(state);
      try {
        history.replaceState(history.state, "", hash ? "#" + hash : location.pathname + location.search);
      } catch {
        // a page in a sandbox keeps its state to itself
      }
      tell(key);
    },

    // Called after each change with the key that changed, or null for many.
    on: (listener) => void listeners.push(listener),

    // Lists as one value: `a,b`, with commas of the names escaped.
    list: (key) => (state[key] ? state[key].split(",").map(decoded) : []),
    setList(key, names) {
      const one = (name) => name.replace(/[%,]/g, encodeURIComponent);
      batchlab.view.set(key, names.length ? names.map(one).join(",") : null);
    },
  };
})();
