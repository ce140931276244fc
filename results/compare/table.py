"""Rows x columns of axes: mean, spread and the tests that say which differences are real.

A cell holds the runs that agree on the axes of the table; seeds are its replicates, and repeats of a seed are averaged
(see `replicates`). Only runs that are done enter a mean; those that diverged, failed or are not over are counted and
shown beside it, and a cell that lost some is never called best, because a mean over survivors flatters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.load import load, parse_where
from batchlab.results.compare.metrics import Metric, columns_of
from batchlab.results.compare.replicates import Key, mixed_keys, repeats_note, replicate
from batchlab.results.compare.stats import ALPHA, Summary, Test, compare, holm, summarize
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
        values: By what is paired (`replicate`): the seed, and whatever else varies inside cells. Means over repeats,
            in the unit in which the metric is stored.
        losses: Runs that gave no number.
        best: Whether it is the best of its column, or not told apart from the best.
        test: Against the baseline.
        p_holm: The test's p-value, corrected over all cells of the metric.
    """

    row: Key
    col: Key
    metric: Metric
    values: dict[Key, float]
    losses: Losses
    best: bool = False
    test: Test | None = None
    p_holm: float = math.nan

    @property
    def summary(self) -> Summary:
        """n, mean, std and interval of the runs that are done, repeats counted once."""
        return summarize(list(self.values.values()))


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
            cells[row, col, metric] = _cell(row, col, metric, placed, group, measured.values, measured.missed, mixed)
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
    values: Any,
    missed: Any,
    mixed: Sequence[str],
) -> Cell:
    kept: dict[Key, list[float]] = {}
    lost = dict.fromkeys(Losses.__dataclass_fields__, 0)
    for i in group:
        run = runs[i]
        if run.state is State.DIVERGED:
            lost["diverged"] += 1
        elif run.state in (State.FAILED, State.DAMAGED):
            lost["failed"] += 1
        elif run.state is not State.DONE:
            lost["unfinished"] += 1
        elif missed[i]:
            lost["missed"] += 1
        elif np.isnan(values[i]):
            lost["unmeasured"] += 1
        else:
            kept.setdefault(replicate(run, mixed), []).append(float(values[i]))
    return Cell(row, col, metric, {key: fmean(own) for key, own in kept.items()}, Losses(**lost))


def _mark_best(table: Table, metric: Metric) -> None:
    """Within a column: the best mean, and every cell that a t-test at 5 % does not tell apart from it.

    One number alone in bold would say more than a few seeds know. The tests are not corrected for their number:
    with 3 seeds and a dozen rows nothing would be told apart. Bold guides the eye; `p_holm` is for claims.
    """
    better = metric.quantity.better
    if better is None:
        return
    for col in table.cols:
        cells = [table.cells[row, col, metric] for row in table.rows if (row, col, metric) in table.cells]
        whole = [cell for cell in cells if cell.values and not cell.losses.total]
        if len(whole) < 2:
            continue
        sign = 1 if better == "up" else -1
        best = max(whole, key=lambda cell: sign * cell.summary.mean)
        others = [cell for cell in whole if cell is not best]
        tests = [_test(best, cell) for cell in others]
        equal = [test is not None and test.p >= ALPHA for test in tests]
        for cell in [best, *(cell for cell, same in zip(others, equal, strict=True) if same)]:
            table.cells[cell.row, col, metric] = replace(cell, best=True)


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
    for (key, test), p in zip(tests.items(), holm([t.p for t in tests.values()]), strict=True):
        table.cells[key] = replace(table.cells[key], test=test, p_holm=p)


def _test(a: Cell, b: Cell) -> Test | None:
    """On logarithms where the metric spans orders of magnitude: seeds then scatter alike at every level."""
    values = [*a.values.values(), *b.values.values()]
    if not a.metric.quantity.log or min(values, default=0.0) <= 0 or not np.isfinite(values).all():
        return compare(a.values, b.values)
    first, second = ({k: math.log(v) for k, v in cell.values.items()} for cell in (a, b))
    return compare(first, second)


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
