// Numbers in words, and where they stand on an axis.
(function () {
  "use strict";
  const batchlab = (window.batchlab = window.batchlab || {});
  const SHORT = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

  const shortened = (value, digits) => (value ? value.toExponential(Math.max(0, digits - 2)).replace(/\.?0*e\+?/, "e") : "0");

  function number(value, digits = 4) {
    if (!Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return shortened(value, digits);
    return Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 8 });
  }

  function amount(value, clock) {
    if (clock.unit === "s") return `${number(value)} s`;
    const whole = Number.isInteger(value) ? value.toLocaleString("en-US") : number(value, 5);
    return `${whole} ${clock.label}`;
  }

  function short(value) {
    const [unit, letter] = SHORT.find(([least]) => Math.abs(value) >= least) || [1, ""];
    return `${Number((value / unit).toPrecision(6))}${letter}`;
  }

  // About n round numbers from low to high.
  function round(low, high, n) {
    const raw = (high - low) / Math.max(1, n);
    if (!(raw > 0)) return [low];
    const size = 10 ** Math.floor(Math.log10(raw));
    const step = size * [1, 2, 5, 10].find((factor) => factor * size >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
      found.push(Number((i * step).toPrecision(12)));
    }
    return found;
  }

  // Where numbers stand on a logarithmic axis; low, high and the result are exponents of 10.
  function decades(low, high, n) {
    const first = Math.ceil(low - 1e-9), last = Math.floor(high + 1e-9);
    const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(2, n)));
    for (const factors of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
      const found = [];
      for (let decade = Math.floor(low); decade <= last; decade++) {
        for (const factor of factors) {
          const at = decade + Math.log10(factor);
          if (at >= low - 1e-9 && at <= high + 1e-9 && (factor > 1 || (decade - first) % every === 0)) found.push(at);
        }
      }
      if (found.length > 2) return found;
    }
    return round(10 ** low, 10 ** high, n).filter((value) => value > 0).map(Math.log10);
  }

  // The ticks of an axis: where, and what they say.
  batchlab.ticks = function (low, high, n, log) {
    const [places, size, digits] = log ? [decades(low, high, n), (at) => 10 ** at, 3] : [round(low, high, n), (at) => at, 6];
    const texts = places.map((at) => number(size(at), digits)), exponents = texts.some((text) => text.includes("e"));
    return places.map((at, i) => ({ at, text: exponents ? shortened(size(at), digits) : texts[i] })); // all in one style
  };
  batchlab.countTicks = (low, high, n) => round(low, high, n).map((at) => ({ at, text: short(at) }));
  batchlab.words = { number, amount };
})();
