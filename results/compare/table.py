"""Rows x columns of axes: mean, spread and the tests that say which differences are real.

A cell holds the runs that agree on the axes of the table. n counts seeds: a seed's repeats, and whatever else varies
inside the cell, are averaged first (see `outcomes`). Runs that never reached a target count as their budget; those that
diverged or failed are counted and shown beside the mean, and in every test they are worse than any number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.load import load, parse_where
from batchlab.results.compare.metrics import Measured, Metric, columns_of
from batchlab.results.compare.outcomes import (
    LOST_STATES,
    Fate,
    Outcome,
    by_seed,
    compare_outcomes,
    of_run,
    restricted_mean,
)
from batchlab.results.compare.replicates import Key, mixed_keys, repeats_note
from batchlab.results.compare.stats import ALPHA, Summary, Test, holm, summarize
from batchlab.results.store.runs import RunStore, State


@dataclass(frozen=True, slots=True)
class Losses:
    """Runs of a cell that gave no number, by reason.

    Attributes:
        diverged: Their loss became infinite or NaN.
        failed: Or damaged.
        unfinished: Pending, running, interrupted or crashed.
        missed: Done, but never reached the target.
        unmeasured: Done, but without a number of this metric.
    """

    diverged: int = 0
    failed: int = 0
    unfinished: int = 0
    missed: int = 0
    unmeasured: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.diverged + self.failed + self.unfinished + self.missed + self.unmeasured


@dataclass(frozen=True)
class Cell:
    """One metric of the runs that agree on the table's axes.

    Attributes:
        row: Their values on the axes of the rows.
        col: And on those of the columns.
        metric: The metric.
        outcomes: By seed; a seed that lacks a run which another seed has is left out.
        losses: Runs that gave no number.
        best: Whether it is the best of its column, or not told apart from the best.
        test: Against the baseline; positive is better, or more where neither is.
        p_holm: The test's p-value, corrected over all cells of the metric.
    """

    row: Key
    col: Key
    metric: Metric
    outcomes: dict[Any, Outcome]
    losses: Losses
    best: bool = False
    test: Test | None = None
    p_holm: float = math.nan

    @property
    def values(self) -> dict[Any, float]:
        """By seed, in the unit in which the metric is stored; a target never reached counts as the budget."""
        return {seed: o.value for seed, o in self.outcomes.items() if o.fate is not Fate.LOST}

    @property
    def censored(self) -> bool:
        """Whether some seed never reached the target, so that the mean is a lower bound."""
        return any(outcome.fate is Fate.NEVER for outcome in self.outcomes.values())

    @property
    def log(self) -> bool:
        """Whether it is compared on logarithms."""
        return self.metric.quantity.log and all(value > 0 for value in self.values.values())

    @property
    def summary(self) -> Summary:
        """n, mean, std and interval over seeds; of a logarithmic metric the interval of the geometric mean."""
        values = list(self.values.values())
        plain = summarize(values)
        if not self.log or plain.n < 2:
            return plain
        logs = summarize(np.log(values))
        return replace(plain, low=math.exp(logs.low), high=math.exp(min(logs.high, 700.0)))


@dataclass(frozen=True)
class Table:
    """A comparison; `show.table_sheet` makes it printable.

    Attributes:
        title: What it compares.
        row_axes: The axes of the rows.
        col_axes: Those of the columns; may be empty.
        rows: Their values, one key per row, in order.
        cols: One key per column; a single empty one without axes.
        metrics: What is shown in each column.
        cells: By row, column and metric; only those that have runs.
        baseline: By axis the value that every other cell is tested against; empty: no tests.
        mixed: Keys beside the seed that vary inside a cell.
        unplaced: Runs that have no value on some axis of the table.
        notes: What to know before reading it.
    """

    title: str
    row_axes: tuple[str, ...]
    col_axes: tuple[str, ...]
    rows: list[Key]
    cols: list[Key]
    metrics: list[Metric]
    cells: dict[tuple[Key, Key, Metric], Cell]
    baseline: dict[str, Any]
    mixed: list[str]
    unplaced: int = 0
    notes: list[str] = field(default_factory=list)


def load_table(
    store: RunStore,
    *,
    rows: Sequence[str] = ("optimizer",),
    cols: Sequence[str] = (),
    metrics: Sequence[str] = ("test_accuracy",),
    where: Iterable[str] = (),
    baseline: str | None = None,
    sweep: str | None = None,
    title: str = "",
) -> Table:
    """Load what a table needs and build it: what `batchlab table` prints.

    Args:
        store: Where the runs are.
        rows: Axes, labels or dotted configuration keys.
        cols: The same for the columns.
        metrics: In the grammar of `metrics`.
        where: Conditions `AXIS=VALUE`, as for `load`.
        baseline: `AXIS=VALUE` (or several with commas between), which every other cell is tested against.
        sweep: Only the runs of this sweep.
        title: Instead of one made from metrics and axes.

    Raises:
        ValueError: With the way out, for an axis, metric or baseline that no run has.
    """
    parsed = [Metric.parse(metric) for metric in metrics]
    frame = load(store, sweep, where=where, columns=columns_of(parsed))
    return build_table(frame, rows=rows, cols=cols, metrics=parsed, baseline=baseline, title=title)


def build_table(
    frame: Frame,
    *,
    rows: Sequence[str],
    cols: Sequence[str] = (),
    metrics: Sequence[Metric],
    baseline: str | None = None,
    title: str = "",
) -> Table:
    """A table of runs that are loaded already.

    Args:
        frame: The runs, with the columns of the metrics.
        rows: Axes, labels or dotted configuration keys, as for `load_table`.
        cols: The same for the columns.
        metrics: What is shown of each cell.
        baseline: `AXIS=VALUE`, which every other cell is tested against.
        title: Instead of one made from metrics and axes.

    Raises:
        ValueError: With the way out, for an axis, metric or baseline that no run has.
    """
    row_axes, col_axes = tuple(rows), tuple(cols)
    metrics = [metric.of(frame) for metric in metrics]
    if any(run.config for run in frame.runs):
        for axis in row_axes + col_axes:
            frame.values(axis)  # says so when no run has it
    placed = [run for run in frame.runs if all(run.value(axis) != MISSING for axis in row_axes + col_axes)]
    groups: dict[tuple[Key, Key], list[int]] = {}
    for i, run in enumerate(placed):
        key = (tuple(map(run.value, row_axes)), tuple(map(run.value, col_axes)))
        groups.setdefault(key, []).append(i)
    members = [[placed[i] for i in group] for group in groups.values()]
    mixed = mixed_keys(members)
    inner = replace(frame, runs=placed)
    cells: dict[tuple[Key, Key, Metric], Cell] = {}
    for metric in metrics if placed else ():
        measured = metric.measure(inner)
        for (row, col), group in groups.items():
            cells[row, col, metric] = _cell(row, col, metric, placed, group, measured, mixed)
    named = _baseline(baseline, frame, row_axes + col_axes)
    made = Table(
        title or _title(metrics, row_axes, col_axes),
        row_axes,
        col_axes,
        _ordered(inner, row_axes, [row for row, _ in groups]),
        _ordered(inner, col_axes, [col for _, col in groups]),
        metrics,
        cells,
        named,
        mixed,
        len(frame.runs) - len(placed),
        [*repeats_note(members, mixed), *frame.problems],
    )
    for metric in metrics:
        _mark_best(made, metric)
        _test_baseline(made, metric)
    return made


def _cell(
    row: Key,
    col: Key,
    metric: Metric,
    runs: Sequence[RunRow],
    group: Sequence[int],
    measured: Measured,
    mixed: Sequence[str],
) -> Cell:
    lost = dict.fromkeys(Losses.__dataclass_fields__, 0)
    found: list[tuple[RunRow, Outcome | None]] = []
    for i in group:
        run = runs[i]
        found.append((run, of_run(run, i, measured, log=False)))
        if run.state is State.DIVERGED:
            lost["diverged"] += 1
        elif run.state in LOST_STATES:
            lost["failed"] += 1
        elif run.state is not State.DONE:
            lost["unfinished"] += 1
        elif measured.missed[i]:
            lost["missed"] += 1
        elif not math.isfinite(measured.values[i]):
            lost["unmeasured"] += 1
    return Cell(row, col, metric, by_seed(found, mixed, log=False), Losses(**lost))


def _mark_best(table: Table, metric: Metric) -> None:
    """Within a column: the best, and every cell down to the last that a test at 5 % does not tell apart from it.

    Bold says tested: a cell of one seed is never bold, nor is the best where no other cell was tested against it, nor
    what lies below a cell that could not be tested. In order a cell that lost runs comes last. The tests are not
    corrected for their number: with 3 seeds and a dozen rows nothing would be told apart. Bold guides the eye;
    `p_holm` is for claims.
    """
    better = metric.quantity.better
    if better is None:
        return
    for col in table.cols:
        cells = [table.cells[row, col, metric] for row in table.rows if (row, col, metric) in table.cells]
        ordered = sorted((cell for cell in cells if cell.outcomes), key=_order, reverse=True)
        if not ordered:
            continue
        best, *others = ordered
        if len(best.outcomes) < 2 or any(o.fate is Fate.LOST for o in best.outcomes.values()):
            continue
        tests: list[Test] = []
        for cell in others:
            test = _test(best, cell)
            if test is None or any(o.fate is Fate.LOST for o in cell.outcomes.values()):
                break
            tests.append(test)
        same = [i for i, test in enumerate(tests, 1) if test.p >= ALPHA]
        told = bool(tests) or any(_test(best, cell) for cell in others)
        for cell in ordered[: 1 + max(same, default=0)] if told else ():
            table.cells[cell.row, col, metric] = replace(cell, best=True)


def _order(cell: Cell) -> tuple[bool, float]:
    """More is better; a cell that lost runs comes after all others."""
    whole = all(outcome.fate is not Fate.LOST for outcome in cell.outcomes.values())
    mean = restricted_mean(cell.outcomes.values(), log=cell.log)
    sign = 1.0 if cell.metric.quantity.better == "up" else -1.0
    return whole, -math.inf if math.isnan(mean) else sign * mean


def _test_baseline(table: Table, metric: Metric) -> None:
    """Each cell against the cell that has the baseline's values on its axes and the same ones elsewhere."""
    if not table.baseline:
        return
    tests: dict[tuple[Key, Key, Metric], Test] = {}
    for (row, col, name), cell in table.cells.items():
        if name != metric:
            continue
        target = (_swap(table.row_axes, row, table.baseline), _swap(table.col_axes, col, table.baseline))
        base = table.cells.get((*target, metric))
        test = _test(cell, base) if base and target != (row, col) else None
        if test:
            tests[row, col, name] = test
    level = 1 - ALPHA / max(1, len(tests))  # all intervals at the same time
    for (key, test), p in zip(tests.items(), holm([t.p for t in tests.values()]), strict=True):
        table.cells[key] = replace(table.cells[key], test=test.at_level(level), p_holm=p)


def _test(a: Cell, b: Cell) -> Test | None:
    """By how much a is better than b, on logarithms where both are."""
    up = a.metric.quantity.better != "down"
    return compare_outcomes(a.outcomes, b.outcomes, up=up, log=a.log and b.log)


def _swap(axes: Sequence[str], key: Key, baseline: dict[str, Any]) -> Key:
    return tuple(baseline.get(axis, value) for axis, value in zip(axes, key, strict=True))


def _baseline(text: str | None, frame: Frame, axes: Sequence[str]) -> dict[str, Any]:
    """`optimizer=shb,batch_schedule=constant` as the values the runs have."""
    if text is None:
        return {}
    named: dict[str, Any] = {}
    for part in text.split(","):
        ((key, values),) = parse_where([part], "--baseline").items()
        if key not in axes:
            raise ValueError(f"the baseline names {key}: it must be an axis of the table ({', '.join(axes)})")
        run = next((run for run in frame.runs if run.matches({key: values})), None)
        if run is None:
            known = ", ".join(str(value) for value in frame.values(key))
            raise ValueError(f"no run has the baseline {part.strip()}; {key} is one of {known}")
        named[key] = run.value(key)
    return named


def _ordered(frame: Frame, axes: Sequence[str], keys: Iterable[Key]) -> list[Key]:
    orders = [{value: i for i, value in enumerate(frame.values(axis))} for axis in axes]
    return sorted(set(keys), key=lambda key: [order[v] for order, v in zip(orders, key, strict=True)])


def _title(metrics: Sequence[Metric], rows: Sequence[str], cols: Sequence[str]) -> str:
    axes = " × ".join(", ".join(axes) for axes in (rows, cols) if axes)
    return f"{', '.join(metric.title for metric in metrics)} by {axes}"
