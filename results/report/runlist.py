"""The list of all runs in the report: what the browser sorts, filters and pages through, and its first rows as a table.

Thousands of runs are a few columns of texts here, each value once and the commands as the words they are made of: a
page of 5,000 runs stays small, and only the rows that are looked at are built.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import TUNING
from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.metrics import Metric, has_rows
from batchlab.results.compare.replicates import mixed_keys
from batchlab.results.report.assets import fill
from batchlab.results.report.commands import run_overrides
from batchlab.results.report.curves import encode
from batchlab.results.report.sweeplist import Listed
from batchlab.results.show.hypertext import breakable
from batchlab.results.show.runs_sheet import LOST
from batchlab.results.show.sheet import decimals, number
from batchlab.results.show.status import Status
from batchlab.results.store.runs import Sweep, places
from batchlab.results.words import duration, told, visible, written

STILL = 200
"""Rows that are there without a script."""
PAGE = 25
"""Rows at a time with one."""
PAPER = 500
"""Rows on paper, of those that a reader left: a dozen pages."""
AXES = 12
"""Columns of axes and labels: more than that nobody takes in."""
OFFERED = 30
"""Values of an axis that are offered in a menu; of more, text is searched for."""
METRICS = 2
SHORT = 16
"""So many letters of a value are never broken into lines."""
UNKNOWN = "–"


@dataclass(frozen=True)
class Values:
    """A column of the list.

    Attributes:
        key: What it is called in the address of a view.
        title: Its header.
        texts: One for each run.
        numeric: Whether it is in order by number.
        menu: Whether its values are offered to choose from.
        by: What it is in order by, where its texts are not read as numbers (`4 min 05 s`).
    """

    key: str
    title: str
    texts: list[str]
    numeric: bool = False
    menu: bool = False
    by: list[float | None] | None = None

    @property
    def header(self) -> Markup:
        """Its title, which may be broken into lines."""
        return Markup(breakable(self.title))

    @property
    def axis(self) -> bool:
        """Whether it tells runs apart, and not what came of them."""
        return self.menu and self.key != "state"

    @property
    def classes(self) -> str:
        """Of its cells."""
        return " ".join(
            filter(None, [self.key if self.key in ("run", "state") else "", "right" * self.numeric, "axis" * self.axis])
        )

    @property
    def offered(self) -> list[str]:
        """Its values, in order; none where there is nothing to choose from."""
        found = [*dict.fromkeys(self.texts)]
        if not self.menu or not 1 < len(found) <= OFFERED:
            return []
        return sorted(found, key=_order)

    def compact(self) -> dict[str, Any]:
        """For the browser: each value once, and which one a run has."""
        known = {text: i for i, text in enumerate(dict.fromkeys(self.texts))}
        own = {"key": self.key, "title": self.title, "numeric": self.numeric, "classes": self.classes}
        own |= {"by": self.by} if self.by else {}
        if 2 * len(known) > len(self.texts):
            return own | {"texts": self.texts}
        return own | {"known": [*known], "of": [known[text] for text in self.texts]}


@dataclass(frozen=True)
class RunList:
    """What is shown of every run.

    Attributes:
        columns: From left to right; the first is the run's identity.
        words: What commands are made of.
        commands: By run the words of what trains it again; None where it never began.
        sweeps: Those that asked for the runs.
    """

    columns: list[Values]
    words: list[str]
    commands: list[list[int] | None]
    sweeps: Sequence[Listed] = ()

    def html(self) -> Markup:
        """The section."""
        data = {
            "columns": [column.compact() for column in self.columns],
            "words": self.words,
            "commands": self.commands,
            "page": PAGE,
            "paper": PAPER,
            "short": SHORT,
        }
        rows = [*zip(*(column.texts[:STILL] for column in self.columns), strict=True)]
        total = len(self.columns[0].texts)
        found = Markup(encode(data))
        return fill("runs", list=self, data=found, rows=rows, total=total, still=STILL, page=PAGE, short=SHORT)


def run_list(
    status: Status,
    every: Frame,
    keys: Sequence[str],
    metrics: Iterable[str],
    sweeps: Sequence[Sweep],
    asked_for: Sequence[Listed] = (),
) -> RunList:
    """The list of a report's runs.

    Args:
        status: How they stand, those that never began too.
        every: Those that began, with the columns of the metrics.
        keys: Dotted keys that sweeps gave values to.
        metrics: What may be shown of each, the most telling first.
        sweeps: The latest last; their runs come first, in their order.
        asked_for: What is said of those below the runs.
    """
    order = places(sweeps)
    status = replace(status, runs=sorted(status.runs, key=lambda run: order.get(run.run_id, len(order))))
    rows = {run.run_id: run for run in every.runs}
    runs = [rows.get(run.run_id) for run in status.runs]
    columns = [
        Values("run", "run", [run.run_id for run in status.runs]),
        Values("state", "state", [run.state.value for run in status.runs], menu=True),
    ]
    labels = _labels(status)
    columns += _numbers(every, status, metrics)
    columns += [*labels, *_axes(status, runs, keys, AXES - len(labels))]
    words: dict[str, int] = {}
    commands = [
        [words.setdefault(shlex.quote(text), len(words)) for text in run_overrides(run.config)]
        if run and run.config
        else None
        for run in runs
    ]
    return RunList(columns, [*words], commands, asked_for)


def _labels(status: Status) -> list[Values]:
    """What sweeps call their runs, where that tells some apart."""
    names = dict.fromkeys(name for run in status.runs for name in run.labels)
    found = [
        Values(name, visible(name), [_text(run.labels.get(name, MISSING)) for run in status.runs]) for name in names
    ]
    return [_offered(column) for column in found if len({*column.texts}) > 1][: AXES // 2]


def _axes(status: Status, runs: Sequence[RunRow | None], keys: Sequence[str], most: int) -> list[Values]:
    """The choices and swept keys that differ, whatever else tells runs apart that have all of these alike, the seed."""
    asked = [*CHOICES, *(key for key in keys if key not in (*CHOICES, "seed", TUNING))]
    overrides = [dict(told(text).partition("=")[::2] for text in run.overrides) for run in status.runs]

    def column(key: str) -> Values:
        pairs = zip(runs, overrides, strict=True)
        return Values(
            key, visible(key), [_text(run.value(key) if run else own.get(key, MISSING)) for run, own in pairs]
        )

    found = [made for key in asked if len({*(made := column(key)).texts} - {UNKNOWN}) > 1]
    alike: dict[tuple[str, ...], list[RunRow]] = {}
    for i, run in enumerate(runs):
        if run:
            alike.setdefault((*(made.texts[i] for made in found), str(run.value("seed"))), []).append(run)
    mixed = [key for key in mixed_keys(alike.values()) if key not in asked]
    found += [made for key in mixed[:most] if len({*(made := column(key)).texts} - {UNKNOWN}) > 1]
    return [_offered(made) for made in (*found[: max(1, most)], column("seed"))]


def _numbers(every: Frame, status: Status, metrics: Iterable[str]) -> list[Values]:
    """The one or two metrics that most runs have, at their last row, and the time that they trained for."""
    place = {run.run_id: i for i, run in enumerate(every.runs)}
    found: list[Values] = []
    measured = np.array([has_rows(run) for run in every.runs], dtype=bool)
    left = measured.copy()
    for name in metrics:
        if len(found) == METRICS or not left.any() or not every.has(name):
            continue
        metric = Metric(name).of(every)
        values = metric.measure(every).values
        if not (left & np.isfinite(values)).any():
            continue
        left &= ~np.isfinite(values)
        scale = metric.quantity.scale
        told = {run.run_id for run in status.runs if run.state not in LOST}
        shown = [
            scale * values[place[run.run_id]] if run.run_id in place and run.run_id in told else np.nan
            for run in status.runs
        ]
        places = 2 if metric.quantity.share else None
        found.append(Values(name, metric.title, [_number(value, places) for value in shown], numeric=True))
    info = {run_id: state.info.get("train_seconds") for run_id, state in status.states.items()}
    seconds = [value if isinstance(value := info.get(run.run_id), (int, float)) else None for run in status.runs]
    times = [UNKNOWN if value is None else duration(value, fine=True) for value in seconds]
    by = [value if value is None else round(value, 3) for value in seconds]
    timed = Values("train_seconds", "training time", times, numeric=True, by=by)
    return [*found, *([timed] if {*times} != {UNKNOWN} else [])]


def _number(value: float, places: int | None) -> str:
    return UNKNOWN if np.isnan(value) else number(value, decimals(np.nan, value) if places is None else places)


def _offered(column: Values) -> Values:
    """With a menu, and in order of its numbers where it has nothing else."""
    numeric = all(_is_number(text) for text in {*column.texts} - {UNKNOWN})
    return Values(column.key, column.title, column.texts, numeric, menu=True)


def _text(value: Any) -> str:
    return UNKNOWN if value == MISSING else visible(written(value))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def _order(text: str) -> tuple[bool, float, str]:
    return (False, float(text.replace(",", "")), "") if _is_number(text) else (True, 0.0, text)
