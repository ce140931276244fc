"""Rows x columns of axes: mean, spread and the tests that say which differences are real.

A cell holds the runs that agree on the axes of the table. n counts seeds: a seed's repeats, and whatever else varies
inside the cell, are averaged first (see `outcomes`). Runs that never reached a target count as their budget; those that
diverged or failed are counted and shown beside the mean, and in every test they are worse than any number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batchlab.results.compare.caveats import batchnorm_note, batchnorm_parts, selection_note, timed, together_note
from batchlab.results.compare.cells import Cell, compare_cells, effect_of, least_step, make_cell, order
from batchlab.results.compare.choice import CHOOSERS, TUNING, choose, chooser, shown
from batchlab.results.compare.examples import OverExamples, load_correct, over_examples, side_of
from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CANDIDATES, Metric, columns_of
from batchlab.results.compare.replicates import Key, mixed_keys, repeats_note, untied
from batchlab.results.compare.stats import ALPHA, Test, holm
from batchlab.results.compare.swept import filled, lengths_apart, usual_metrics, usual_rows
from batchlab.results.compare.where import Where, conditions
from batchlab.results.store.fingerprint import stale, stale_lines
from batchlab.results.store.runs import RunStore
from batchlab.results.words import as_typed, count, listing, quoted


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
        tied: Keys that vary inside a cell together with the seed, and nowhere else.
        unplaced: Runs that have no value on some axis of the table.
        notes: What to know before reading it.
        examples: Of the last test accuracy, by row and column: how sure the difference from the baseline is over the
            test examples, where the runs kept which of them were right.
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
    tied: list[str] = field(default_factory=list)
    unplaced: int = 0
    notes: list[str] = field(default_factory=list)
    examples: dict[tuple[Key, Key], OverExamples] = field(default_factory=dict)

    def rival(self, row: Key, col: Key) -> tuple[Key, Key]:
        """The baseline's cell for a cell: the baseline's values on its axes and the same ones elsewhere.

        Args:
            row: The cell's values on the axes of the rows.
            col: And on those of the columns.
        """
        return _swap(self.row_axes, row, self.baseline), _swap(self.col_axes, col, self.baseline)


def load_table(
    store: RunStore,
    *,
    rows: Sequence[str] = (),
    cols: Sequence[str] = (),
    metrics: Sequence[str] = (),
    where: Where | Iterable[str] = (),
    baseline: str | None = None,
    tuned: str | None = None,
    sweep: str | None = None,
    title: str = "",
) -> Table:
    """Load what a table needs and build it: what `batchlab table` prints.

    Args:
        store: Where the runs are.
        rows: Axes, labels or dotted configuration keys; none: what the runs differ in (`swept`).
        cols: The same for the columns.
        metrics: In the grammar of `metrics`; none: what was measured.
        where: Conditions `AXIS=VALUE`, as for `load`.
        baseline: `AXIS=VALUE` (or several with commas between), which every other cell is tested against.
        tuned: A key whose value is chosen for each cell on the first half of the seeds, which are not judged
            (`choice`): by the first metric, or instead of a test metric by validation where it was recorded.
        sweep: Only the runs of this sweep, in its order; of a store that is one sweep that need not be said.
        title: Instead of one made from metrics and axes.

    Raises:
        ValueError: With the way out, for an axis, metric or baseline that no run has.
    """
    sweep = sweep or store.only_sweep()
    where = Where.of(where)
    asked = [*rows, *cols, *where.keys, *([TUNING] if tuned else [])]
    columns = {*(columns_of([Metric.parse(metric) for metric in metrics]) if metrics else CANDIDATES)}
    columns |= {*CHOOSERS} if tuned else set()
    frame, notes = shown(load(store, sweep, where=where, columns=columns), asked)
    if not rows:
        rows = usual_rows(store, frame, sweep, [*cols, *([tuned] if tuned else [])])
        frame = filled(frame, rows)
        if apart := lengths_apart(frame, [*rows, *cols]):
            notes = [*notes, f"rows differ in {listing(apart)} too: add it to --rows, or take one by --where"]
    parsed = [Metric.parse(metric) for metric in metrics or usual_metrics(frame)]
    made = build_table(frame, rows=rows, cols=cols, metrics=parsed, baseline=baseline, tuned=tuned, title=title)
    return replace(made, notes=[*made.notes, *notes])


def build_table(
    frame: Frame,
    *,
    rows: Sequence[str],
    cols: Sequence[str] = (),
    metrics: Sequence[Metric],
    baseline: str | Mapping[str, Any] | None = None,
    tuned: str | None = None,
    title: str = "",
) -> Table:
    """A table of runs that are loaded already.

    Args:
        frame: The runs, with the columns of the metrics.
        rows: Axes, labels or dotted configuration keys, as for `load_table`.
        cols: The same for the columns.
        metrics: What is shown of each cell.
        baseline: `AXIS=VALUE`, or values by axis, which every other cell is tested against.
        tuned: A key whose value is chosen for each cell, as for `load_table`.
        title: Instead of one made from metrics and axes.

    Raises:
        ValueError: With the way out, for an axis, metric or baseline that no run has.
    """
    row_axes, col_axes = tuple(rows), tuple(cols)
    asked = ",".join(row_axes + col_axes).split(",")
    if twice := [axis for i, axis in enumerate(asked) if axis in asked[:i]]:
        raise ValueError(f"{twice[0]} is named twice by --rows and --cols: a table has an axis once")
    metrics = [metric.of(frame) for metric in metrics]
    if any(run.config for run in frame.runs):
        for axis in row_axes + col_axes:
            frame.values(axis)  # says so when no run has it
    placed = [run for run in frame.runs if all(run.value(axis) != MISSING for axis in row_axes + col_axes)]
    unplaced, notes = len(frame.runs) - len(placed), list(frame.problems)
    if tuned and placed:
        tuning = choose(replace(frame, runs=placed), tuned, chooser(frame, metrics[0]), row_axes + col_axes)
        placed, notes = tuning.frame.runs, [*tuning.notes, *notes]
    groups: dict[tuple[Key, Key], list[int]] = {}
    for i, run in enumerate(placed):
        key = (tuple(map(run.value, row_axes)), tuple(map(run.value, col_axes)))
        groups.setdefault(key, []).append(i)
    members = [[placed[i] for i in group] for group in groups.values()]
    varying = mixed_keys(members)
    apart = {key: untied(varying, [placed[i] for i in group]) for key, group in groups.items()}
    mixed = [key for key in varying if any(key in keys for keys in apart.values())]
    inner = replace(frame, runs=placed)
    cells: dict[tuple[Key, Key, Metric], Cell] = {}
    for metric in metrics if placed else ():
        measured = metric.measure(inner)
        for (row, col), group in groups.items():
            cells[row, col, metric] = make_cell(row, col, metric, placed, group, measured, apart[row, col])
    if baseline is None or isinstance(baseline, str):
        baseline = _baseline(baseline, frame, row_axes + col_axes)
    made = Table(
        title or _title(metrics, row_axes, col_axes),
        row_axes,
        col_axes,
        _ordered(inner, row_axes, [row for row, _ in groups]),
        _ordered(inner, col_axes, [col for _, col in groups]),
        metrics,
        cells,
        dict(baseline),
        mixed,
        [key for key in varying if key not in mixed],
        unplaced,
        [
            *repeats_note(members, mixed),
            *selection_note(metrics),
            *(together_note(placed) if any(map(timed, metrics)) else []),
            *batchnorm_note(batchnorm_parts(placed)),
            *stale_lines(stale((run.state, run.info) for run in placed)),
            *notes,
        ],
    )
    for metric in metrics:
        _mark_best(made, metric)
        _test_baseline(made, metric)
    if baseline and any(metric == Metric("test_accuracy") for metric in metrics):
        runs = {key: [placed[i] for i in group] for key, group in groups.items() if not apart[key]}
        made.examples.update(_over_examples(made, inner, runs))
    return made


def _mark_best(table: Table, metric: Metric) -> None:
    """Within a column: the best, and those after it down to the first that a test at 5 % tells apart from it.

    What lies beneath that one is not bold, told apart or not: its values scatter, and are worse on average than what
    is known to be worse. Bold says tested: a cell of one seed is never bold, nor one that lost runs, missed the target
    or mixes methods, nor is the best where no other cell was tested against it. In a column of times none is bold where
    runs trained together. The tests are not corrected for their number: with 3 seeds and a dozen rows nothing would be
    told apart. Bold guides the eye; `p_holm` is for claims.
    """
    better = metric.quantity.better
    if better is None:
        return
    for col in table.cols:
        cells = [table.cells[row, col, metric] for row in table.rows if (row, col, metric) in table.cells]
        ordered = sorted((cell for cell in cells if cell.outcomes), key=order, reverse=True)
        if not ordered or not ordered[0].whole or any(cell.shared for cell in ordered):
            continue
        best, *others = ordered
        step = least_step(ordered)
        tests = [(cell, test) for cell in others if (test := compare_cells(best, cell, step)) is not None]
        marked = {best.row: True} if tests else {}
        beneath = False
        for cell, test in tests:
            if test.p < ALPHA:
                beneath = True
            elif cell.whole:
                marked[cell.row] = not beneath
        for row, is_best in marked.items():
            table.cells[row, col, metric] = replace(table.cells[row, col, metric], best=is_best, noisy=not is_best)


def _test_baseline(table: Table, metric: Metric) -> None:
    """Each cell against its rival."""
    if not table.baseline:
        return
    tests: dict[tuple[Key, Key, Metric], Test] = {}
    for (row, col, name), cell in table.cells.items():
        if name != metric:
            continue
        target = table.rival(row, col)
        base = table.cells.get((*target, metric))
        test = compare_cells(cell, base) if base and target != (row, col) else None
        if test:
            tests[row, col, name] = test
    level = 1 - ALPHA / max(1, len(tests))  # all intervals at the same time
    for (key, test), p in zip(tests.items(), holm([t.p for t in tests.values()]), strict=True):
        cell, base = table.cells[key], table.cells[(*table.rival(*key[:2]), metric)]
        test = test.at_level(level)
        table.cells[key] = replace(cell, test=test, p_holm=p, effect=effect_of(test, cell, base))


def _over_examples(
    table: Table, frame: Frame, groups: Mapping[tuple[Key, Key], Sequence[RunRow]]
) -> dict[tuple[Key, Key], OverExamples]:
    """Each cell against its rival on the test examples, where both kept which were right."""
    found = load_correct(frame)
    sides = {key: side for key, runs in groups.items() if (side := side_of(runs, found))} if found else {}
    compared = {}
    for row, col in [(row, col) for row in table.rows for col in table.cols]:
        rival = table.rival(row, col)
        if rival != (row, col) and (row, col) in sides and rival in sides:
            compared[row, col] = over_examples(sides[row, col], sides[rival])
    return {key: made for key, made in compared.items() if made}


def _swap(axes: Sequence[str], key: Key, baseline: dict[str, Any]) -> Key:
    return tuple(baseline.get(axis, value) for axis, value in zip(axes, key, strict=True))


def _baseline(text: str | None, frame: Frame, axes: Sequence[str]) -> dict[str, Any]:
    """`optimizer=shb,batch_schedule=constant` as the values the runs have."""
    if text is None:
        return {}
    named: dict[str, Any] = {}
    asked = conditions(text, "--baseline")
    whole = {axis: keys for axis in axes if set(keys := axis.split(",")) <= asked.keys()}
    joint = {key: axis for axis, keys in whole.items() for key in keys}
    for key, values in asked.items():
        if len(values) > 1:
            raise ValueError(
                f"--baseline {text}: the baseline is one value of {key}, not {count(len(values), 'value')}"
            )
        if key not in axes and key not in joint:
            within = next((axis for axis in axes if key in axis.split(",")), "")
            way = f"; name all of {within}, or write {_each(within)} for an axis of each" if within else ""
            raise ValueError(f"the baseline names {key}: it must be an axis of the table ({' and '.join(axes)}){way}")
        known = (run for run in frame.runs if run.value(key) != MISSING)
        run = next((run for run in known if run.matches({key: values})), None)
        if run is None:
            there = ", ".join(as_typed(value) for value in frame.values(key))
            raise ValueError(f"no run has the baseline {key}={quoted(values[0])}; {key} is one of {there}")
        named[key] = run.value(key)
    for axis, keys in whole.items():
        together = {key: asked[key] for key in keys}
        run = next((run for run in frame.runs if run.value(axis) != MISSING and run.matches(together)), None)
        if run is None:
            raise ValueError(f"no run has the baseline {text}: its values are there, but not together")
        named = {key: value for key, value in named.items() if key in axes or key not in keys}
        named[axis] = run.value(axis)
    return named


def _each(axis: str) -> str:
    """`--rows optimizer --rows optimizer.lr` for two keys with a comma between."""
    return " ".join(f"--rows {key}" for key in axis.split(","))


def _ordered(frame: Frame, axes: Sequence[str], keys: Iterable[Key]) -> list[Key]:
    orders = [{value: i for i, value in enumerate(frame.values(axis))} for axis in axes]
    return sorted(set(keys), key=lambda key: [order[v] for order, v in zip(orders, key, strict=True)])


def _title(metrics: Sequence[Metric], rows: Sequence[str], cols: Sequence[str]) -> str:
    axes = " × ".join(", ".join(axes) for axes in (rows, cols) if axes)
    return f"{', '.join(metric.title for metric in metrics)} by {axes}"
