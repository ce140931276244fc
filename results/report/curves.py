"""The interactive curves of the report: what a browser needs to draw them as `compare.curves` would.

A figure holds every seed's rows, and the browser puts them together, for clock, scale, statistic and baseline are the
reader's to choose. It does so by the rules of `compare.curves`: the same grid, the same interpolation, the same t
interval. What those rules take from Python (quantiles, which lines may have a band, which seeds are one) is written
into the payload, so that they are decided in one place.

Rows travel as base64 of 32-bit floats: of 500 runs of 200 rows that is half of what numbers of 6 digits take as JSON,
holds 7 digits, and is read faster. What 32 bits cannot hold (whole numbers above 2^24, a gap below 1e-37) takes 64.

Why uPlot: it is made for many points on a canvas, has the MIT licence, and its script and style take 53 kB in the page
(51,081 and 1,857 bytes). The scripts of plotly.js, Vega and Bokeh are told to be from one to nearly five megabytes
(not measured here), which each report would carry. What it lacks is added in `assets/`: lines with an x of their own,
a legend of buttons with dashes, words and keys for who does not see a canvas, and SVG for print and for papers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from batchlab.results.compare.caveats import timed, together, together_note
from batchlab.results.compare.curves import GRID, by_hue
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.load import with_flops
from batchlab.results.compare.metrics import CLOCK_LABELS, CLOCKS, Metric, has_rows
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.replicates import mixed_keys, mixed_note, repeats_note
from batchlab.results.compare.stats import Array, t_quantile
from batchlab.results.show.drawing import COLORS, DASHES
from batchlab.results.show.ends import BANDS
from batchlab.results.show.extent import BEYOND, CUT, FARTHER, FEW, FREE, ROOM
from batchlab.results.show.looks import POINTED, looks
from batchlab.results.show.numbers import named, panel_names
from batchlab.results.store.run import State
from batchlab.results.words import count, visible, written

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "uPlot.iife.min.js",
    "view.js",
    "compute.js",
    "ticks.js",
    "scene.js",
    "shapes.js",
    "dots.js",
    "words.js",
    "picture.js",
    "plot.js",
    "pane.js",
    "curves.js",
    "cells.js",
)
"""In the order in which a page holds them."""
STYLES = ("uPlot.min.css", "curves.css")
ROWS = 150_000
"""So many rows a figure has at most: of more runs each has fewer, so that a page of thousands stays small."""
FEWEST = 25
"""Rows that a run keeps however many runs there are."""
DECIMALS = 2**24
"""Up to here 32 bits hold every whole number."""
NONE_LOST = {"diverged": 0, "unfinished": 0}


def payload(
    frame: Frame,
    metrics: Sequence[str],
    hue: str,
    *,
    title: str,
    baseline: str | None = None,
    clock: str = "samples",
    panel: str | None = None,
    scale: str = "",
) -> dict[str, Any]:
    """What one interactive figure is drawn from: JSON-ready.

    Args:
        frame: Runs in any state, with the columns of the metrics and of every clock that shall be a choice.
        metrics: `NAME`, `min:NAME` or `max:NAME`; a running extreme is what is shown at first then. Those that no run
            has measured are left out.
        hue: An axis, label or dotted configuration key, or two with a comma between: one line per value.
        title: What the figure is called.
        baseline: The line that others are most likely compared to: the first that is offered.
        clock: One of `CLOCKS`, shown at first where the runs have it.
        panel: Another axis, label or key: a plot of its own for each of its values.
        scale: `linear` or `log`, at first; empty: as each metric and its values ask for.

    Raises:
        ValueError: When no run has a row of any of the metrics, or for an axis that no run has.
    """
    frame = with_flops(frame)
    asked = [Metric.parse(name).of(frame) for name in metrics]
    if strange := [str(metric) for metric in asked if metric.reduce not in ("last", "min", "max") or metric.budget]:
        raise ValueError(f"{strange[0]} is one number per run: a curve is NAME, min:NAME or max:NAME")
    known = list({metric.name: metric for metric in reversed(asked) if frame.has(metric.name)}.values())[::-1]
    if not known:
        raise ValueError(f"no run has a row of {' or '.join(metrics) or 'a metric'} yet: see `batchlab status`")
    parts = [frame.where(**{panel: value}) for value in frame.values(panel)] if panel else [frame]
    members = [by_hue(part, hue) for part in parts]
    mixed = mixed_keys(runs for own in members for runs in own.values())
    clocks = _clocks(frame, clock)
    rows = _Rows(frame, known, clocks, most=_most(frame, known))
    seeds: dict[Any, int] = {}
    names = _names(frame, hue)
    known_looks = _looks(frame, hue, len({value for own in members for value, runs in own.items() if runs}))
    lines: list[dict[str, Any]] = []
    for place, (part, own) in enumerate(zip(parts, members, strict=True)):
        lost = _without_rows(part, hue)
        for value, runs in own.items():
            drawn = [_run(run, rows, seeds.setdefault(run.value("seed"), len(seeds))) for run in runs]
            if any(drawn) or value in lost:
                line = {"name": names[value], "panel": place, "look": known_looks.get(value)}
                line |= {"together": bool(together(runs)), "runs": list(filter(None, drawn))}
                lines.append(line | {"rowless": lost.get(value, NONE_LOST)})
    there = {line["name"] for line in lines}
    return {
        "title": visible(title),
        "hue": visible(hue),
        "panel": visible((panel or "").replace(",", ", ")),
        "panels": _panels(frame, panel) if panel else [{"key": "", "title": ""}],
        "names": [name for name in names.values() if name in there],
        "baseline": None if baseline is None else visible(written(baseline)),
        "grid": GRID,
        "clocks": [{"key": key, "label": CLOCK_LABELS[key], "unit": "s" if key == "seconds" else ""} for key in clocks],
        "metrics": [_metric(metric, frame, scale) for metric in known],
        "seeds": [visible(str(seed)) for seed in seeds],
        "t": [float(f"{t_quantile(df):.9g}") for df in range(1, max(2, len(seeds)))],
        "many": not known_looks,
        "palette": PALETTE,
        "bands": BANDS,
        "cut": CUT,
        "beyond": BEYOND,
        "farther": FARTHER,
        "few": FEW,
        "room": ROOM,
        "lines": lines,
        "rows": rows.pool,
        "notes": [*_notes(frame, [runs for own in members for runs in own.values()], mixed), *rows.notes],
    }


def encode(payload: dict[str, Any]) -> str:
    r"""As JSON that is safe inside `<script type="application/json">`.

    >>> encode({"title": "</script>&"})
    '{"title":"\\u003c/script\\u003e\\u0026"}'
    """
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _without_rows(frame: Frame, hue: str) -> dict[Any, dict[str, int]]:
    """By hue how many runs ended before they recorded a row: a line does not show them, so that words must."""
    found: dict[Any, dict[str, int]] = {}
    for run in frame.runs:
        if not has_rows(run) and run.state not in (State.DONE, State.PENDING):
            own = found.setdefault(run.value(hue), dict(NONE_LOST))
            own["diverged" if run.state is State.DIVERGED else "unfinished"] += 1
    return found


def _unused(name: str, names: Collection[str]) -> str:
    """A name that no other line has: 1 and "1" are two values."""
    return name if name not in names else _unused(f"{name} again", names)


def _names(frame: Frame, hue: str) -> dict[Any, str]:
    """What each line is called, the same in every panel."""
    found: dict[Any, str] = {}
    spelled = named(frame, hue)
    for value in frame.values(hue):
        found[value] = _unused(visible(spelled[value]), found.values())
    return found


def _panels(frame: Frame, panel: str) -> list[dict[str, str]]:
    """By panel what it is called in the address, and over its plot."""
    return [{"key": visible(key), "title": visible(title)} for key, title in panel_names(frame, panel).values()]


def _looks(frame: Frame, hue: str, lines: int) -> dict[Any, dict[str, Any]]:
    """Colour, dash and mark of each line, as in `show.plot`; none where there are more than the eye can tell apart.

    The browser draws those grey, until few enough are left for looks of the palette.
    """
    try:
        found = looks(frame, hue, limit=POINTED) if lines <= POINTED else {}
    except ValueError:
        return {}
    return {value: sent_look(look["color"], look["ls"], look["marker"]) for value, look in found.items()}


def sent_look(color: str, dash: Any, mark: str = "") -> dict[str, Any]:
    """Lengths of lines and gaps are in widths of the line."""
    return {"color": color, "dash": [] if dash == "-" else list(dash[1]), "mark": mark}


PALETTE = [sent_look(color, dash) for dash in DASHES for color in COLORS]
"""For lines that have no looks of their own, until few enough are seen."""


def _clocks(frame: Frame, first: str) -> list[str]:
    """Those that the runs have, the one that is asked for first."""
    known = [clock for clock, column in CLOCKS.items() if frame.has(column)]
    return sorted(known, key=lambda clock: clock != first)


def _metric(metric: Metric, frame: Frame, scale: str) -> dict[str, Any]:
    quantity = metric.column
    plain = Metric(metric.name, declared=quantity)
    values = _values(frame, metric)
    least, most = bounds(metric.name, quantity, values)
    return {
        "key": metric.name,
        "label": visible(plain.label),
        "unit": visible(quantity.unit),
        "scale": quantity.scale,
        "share": quantity.share,
        "floor": least if np.isfinite(least) else None,
        "ceiling": most if np.isfinite(most) else None,
        "better": quantity.better,
        "log": scale == "log" if scale else FREE.log(metric, values),
        "run": "plain" if metric.reduce == "last" else "best",
        "best": _best(metric),
        "timed": timed(plain),
    }


def _values(frame: Frame, metric: Metric) -> Array:
    """All finite values of a metric."""
    values, _ = frame.column(metric.name)
    known = np.concatenate([values[run.rows] for run in frame.runs])
    return np.asarray(known[np.isfinite(known)])


def _best(metric: Metric) -> str | None:
    """Which running extreme is offered; None where nothing is called best."""
    return metric.reduce if metric.reduce != "last" else {"up": "max", "down": "min", None: None}[metric.column.better]


def _most(frame: Frame, metrics: Sequence[Metric]) -> int:
    """Rows that a run may have in the page."""
    return min(GRID, max(FEWEST, ROWS // (len(metrics) * len(frame.runs))))


def _notes(frame: Frame, groups: list[list[RunRow]], mixed: Sequence[str]) -> list[str]:
    said = [*mixed_note("lines", mixed), *repeats_note(groups, mixed), *frame.problems]
    said += [f"{note}; no interval by time" for note in together_note(run for group in groups for run in group)]
    return [visible(line) for line in said]


@dataclass
class _Rows:
    """The rows of every run, each array once, however many runs and clocks share it.

    Attributes:
        frame: The runs.
        metrics: What was measured.
        clocks: What is counted.
        most: Rows that are kept of a run.
        pool: The arrays, see `_packed`.
    """

    frame: Frame
    metrics: Sequence[Metric]
    clocks: Sequence[str]
    most: int
    pool: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _longest: int = 0

    def __post_init__(self) -> None:
        self._values = [self.frame.column(metric.name) for metric in self.metrics]
        self._ticks = [self.frame.column(CLOCKS[clock])[0] for clock in self.clocks]

    @property
    def notes(self) -> list[str]:
        """That rows were left out, where they were."""
        if not self._longest:
            return []
        return [f"drawn from {self.most:,} rows a run, of up to {count(self._longest, 'row')} that were recorded"]

    def of(self, run: RunRow, i: int) -> list[Any] | None:
        """Where a metric of a run lies in the pool: its values, its running extreme, and each clock.

        The running extreme is there only where rows were left out: it would be another one without them.

        Returns:
            None where nothing was measured.
        """
        metric, (values, valid) = self.metrics[i], self._values[i]
        keep = valid[run.rows] & np.isfinite(values[run.rows])
        if not keep.any():
            return None
        y = values[run.rows][keep]
        chosen: Any = slice(None)
        extreme = None
        if len(y) > self.most:
            self._longest = max(self._longest, len(y))
            chosen = np.unique(np.linspace(0, len(y) - 1, self.most).round().astype(int))
            if best := _best(metric):
                extreme = self._place((np.minimum if best == "min" else np.maximum).accumulate(y)[chosen])
        return [self._place(y[chosen]), extreme, [self._place(tick[run.rows][keep][chosen]) for tick in self._ticks]]

    def _place(self, values: Array) -> int:
        packed = _packed(values)
        place = self._places.setdefault(packed, len(self.pool))
        if place == len(self.pool):
            self.pool.append(packed)
        return place


def _run(run: RunRow, rows: _Rows, seed: int) -> dict[str, Any] | None:
    """A run; None where it has measured nothing."""
    measured = [rows.of(run, i) for i in range(len(rows.metrics))]
    return {"state": run.state.value, "seed": seed, "rows": measured} if any(measured) else None


def _packed(values: Array) -> str:
    """Base64 of little-endian floats, after `s` (32 bits) or `d` (64 bits)."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype("<f4")
    whole = bool((np.floor(values) == values).all()) and bool((np.abs(values) > DECIMALS).any())
    lost = ~np.isfinite(single) & np.isfinite(values) | (np.abs(single) < 1e-37) & (values != 0)
    if whole or lost.any():
        return "d" + base64.b64encode(values.astype("<f8").tobytes()).decode()
    return "s" + base64.b64encode(single.tobytes()).decode()
