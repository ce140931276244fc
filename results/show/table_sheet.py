"""From a `Table` to a `Sheet`: rounding, marks and the notes that say how to read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np

from batchlab.results.compare.cells import Cell, Losses
from batchlab.results.compare.frame import MISSING, NO_RUNS
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import alike, tally
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.replicates import NAMED, Key
from batchlab.results.compare.swept import is_rate
from batchlab.results.compare.table import Table
from batchlab.results.show.extent import CUT
from batchlab.results.show.sheet import (
    OPEN,
    TOO_WIDE,
    Column,
    Sheet,
    Text,
    decimals,
    effect_text,
    number,
    p_value,
    uncertain,
    vanishes,
)
from batchlab.results.words import count, listing, written

WORDS = {
    "diverged": "diverged",
    "failed": "failed",
    "unfinished": "unfinished",
    "missed": "never reached the target",
    "unmeasured": "not measured",
}

ROUNDING = 1e-9
"""A spread that is no larger a part of its mean is none."""
GAPS = 2
"""Combinations that a note names which seeds lack."""


def table_sheet(table: Table) -> Sheet:
    """The printable form of a table; CSV records are unrounded and unscaled."""
    cells = table.cells
    sizes = {cell.summary.n for cell in cells.values() if cell.values}
    places = {metric: _places(table, metric) for metric in table.metrics}
    same = len({(metric.name, metric.reduce) for metric in table.metrics}) == 1
    columns = [Column((axis,)) for axis in table.row_axes]
    for col in table.cols:
        for metric in table.metrics:
            names = [_name(axis, value) for axis, value in zip(table.col_axes, col, strict=True)]
            if len(table.metrics) > 1 or not names:
                names.append(metric.within if same and metric.budget else metric.title)
            columns.append(Column(tuple(names), "right"))
    rows = []
    before: Key = ()
    for row in table.rows:
        line = _stub(row, before)
        before = row
        for col in table.cols:
            for metric in table.metrics:
                cell, base = cells.get((row, col, metric)), cells.get((*table.rival(row, col), metric))
                line.append(_text(cell, base, places[metric], max(sizes, default=0)))
        rows.append(line)
    return Sheet(
        table.title,
        columns,
        rows,
        _notes(table, sizes),
        [_record(table, cell) for cell in _in_order(table)],
        NO_RUNS,
    )


def _stub(row: Key, before: Key) -> list[Text]:
    """Row headers; what repeats the row above is left blank."""
    texts, same = [], True
    for i, value in enumerate(row):
        same = same and i < len(before) - 1 and before[i] == value
        texts.append(Text("" if same else _value(value)))
    return texts


def _places(table: Table, metric: Metric) -> int | None:
    """Decimal places of a metric, the same in every cell so that columns align; None where magnitudes differ a lot."""
    scale = metric.quantity.scale
    shown = [cell.summary for cell in table.cells.values() if cell.metric == metric and cell.values]
    means = [abs(s.mean * scale) for s in shown if math.isfinite(s.mean) and s.mean != 0]
    spreads = [s.std * scale for s in shown if math.isfinite(s.std) and s.std > ROUNDING * abs(s.mean)]
    if not means or max(means) > 100 * min(means):
        return None
    return decimals(median(spreads) if spreads else math.nan, min(means))


def _text(cell: Cell | None, base: Cell | None, places: int | None, usual: int) -> Text:
    if cell is None:
        return Text("")
    summary, scale = cell.summary, cell.metric.quantity.scale
    if not cell.values:
        lost = "  ".join(filter(None, [losses(cell.losses), left_out(cell)]))
        return Text("–", detail=lost, tone="bad" if cell.losses.diverged or cell.losses.failed else "dim")
    mean, std = summary.mean * scale, summary.std * scale
    low, high = (scale * end for end in _interval(cell))
    here = places
    if here is None or (std > ROUNDING * abs(mean) and vanishes(std, here)):
        here = decimals(std, mean)
    ends = TOO_WIDE if cell.log and high > OPEN * low else f"[{_end(low, here)}, {_end(high, here)}]"
    parts = [] if math.isnan(low) or cell.censored else [ends]
    if summary.n != usual:
        parts.append(f"n {summary.n}")
    lines = []
    if cell.test and base:
        lines, parts = ["  ".join(parts), f"{_effect(cell, base)}  {p_value(cell.p_holm)}"], []
    if lost := losses(cell.losses):
        parts.append(lost)
    if cell.lacking:
        parts.append(left_out(cell))
    shown = f"≥ {number(mean, here)}" if cell.censored else uncertain(mean, std, here)
    return Text(shown, cell.best, "\n".join(filter(None, [*lines, "  ".join(parts)])))


def _end(value: float, places: int) -> str:
    """An end of an interval; one that would read as nought, and is none, has two digits of its own."""
    return number(value, decimals(abs(value), value) if vanishes(value, places) else places)


def _interval(cell: Cell) -> tuple[float, float]:
    """Of the mean, as far as the quantity goes: no accuracy is below 0, as in figures."""
    least, most = bounds(cell.metric.name, cell.metric.quantity, np.array([*cell.values.values()], dtype=float))
    return max(cell.summary.low, least), min(cell.summary.high, most)


def _effect(cell: Cell, base: Cell) -> str:
    """The difference from the baseline, or the ratio to it; where an outcome has no number, how often it is better."""
    found, quantity = cell.effect, cell.metric.quantity
    if found is None or math.isnan(found.low):
        better, worse, _ = tally(cell.outcomes, base.outcomes, up=quantity.better != "down", log=cell.log and base.log)
        return f"better in {better}, worse in {worse} of {count(cell.test.n if cell.test else 0, 'seed')}"
    scale, ends = quantity.scale, (found.middle, found.low, found.high)
    if alike(cell.outcomes, base.outcomes):  # however fine the scale is that they are on
        ends = (float(found.ratio),) * 3
    if found.ratio:
        return effect_text(*ends, ratio=True)
    middle, low, high = (scale * end for end in ends)
    return f"Δ {effect_text(middle, low, high, ratio=False, most=scale if quantity.share else math.inf)}"


def losses(lost: Losses) -> str:
    """`† 2 diverged, 1 failed`, empty where no run was lost."""
    parts = [f"{getattr(lost, name)} {word}" for name, word in WORDS.items() if getattr(lost, name)]
    return f"† {', '.join(parts)}" if parts else ""


def left_out(cell: Cell) -> str:
    """`2 seeds left out`, empty where each has what the others have."""
    return f"{count(len(cell.lacking), 'seed')} left out" if cell.lacking else ""


def lacking_note(cell: Cell) -> str:
    """How many seeds of a cell were left out, what they lack, and the way out."""
    gaps = list(dict.fromkeys(gap for own in cell.lacking.values() for gap in own))
    said = [",".join(f"{key}={_value(value)}" for key, value in gap) for gap in gaps[:GAPS]]
    if len(gaps) > GAPS:
        said.append(f"one of {count(len(gaps) - GAPS, 'other combination')}")
    keys = list(dict.fromkeys(key for gap in gaps for key, _ in gap))
    place = " ".join(map(_value, (*cell.row, *cell.col)))
    they = "it lacks" if len(cell.lacking) == 1 else "they lack"
    return (
        f"{count(len(cell.lacking), 'seed')} of {place} left out: {they} {' or '.join(said)}, which others have; "
        f"choose with --where {keys[0]}=VALUE, or add {_named(keys)} to --rows or --cols"
    )


def _notes(table: Table, sizes: set[int]) -> list[str]:
    if not table.cells:
        return list(table.notes)
    unless = " unless the cell says otherwise" if len(sizes) > 1 else ""
    notes = []
    if sizes:
        notes = [f"mean ± standard deviation over n = {count(max(sizes), 'seed')}{unless}; brackets: 95 % t interval"]
    if sizes and all(cell.shared for cell in table.cells.values() if cell.values):
        notes = [f"mean over n = {count(max(sizes), 'seed')}{unless}"]
    if sizes == {1}:
        notes = ["one seed per cell: no spread, no interval, no test; add seeds before believing a difference"]
    if any(cell.best for cell in table.cells.values()):
        notes.append(bold_note(table.cells.values()))
    if table.baseline:
        name = listing([f"{axis}={_value(value)}" for axis, value in table.baseline.items()])
        notes.append(
            f"Δ: difference from {name} in the same place{_in_points(table)}, ×: ratio to it, paired by seed; p: Holm "
            "over all cells of a metric, for all of which together the intervals hold at 95 %"
        )
        if not any(cell.test for cell in table.cells.values()):
            notes[-1] = f"no p against {name}: {_untested(table)}"
        if any(cell.test and not cell.test.paired for cell in table.cells.values()):
            notes.append("some p are Welch's: those cells share no seeds with the baseline")
    logs = [cell.metric for cell in table.cells.values() if cell.log and len(cell.values) > 1 and not cell.shared]
    if logs:
        notes.append(f"{listing([*dict.fromkeys(map(_titled, logs))])}: intervals and tests are of logarithms")
    if any(
        _interval(cell) != (cell.summary.low, cell.summary.high) for cell in table.cells.values() if cell.summary.n > 1
    ):
        notes.append(f"{CUT}; CSV has them whole")
    if any(cell.censored for cell in table.cells.values()):
        notes.append("≥: some seed never reached the target and counts as its whole budget, in tests as worse than any")
    if any(cell.losses.total > cell.losses.missed for cell in table.cells.values()):
        notes.append("†: runs that gave no number; means are over the others, so they flatter; in tests they are worst")
    if table.tied:
        goes = "goes" if len(table.tied) == 1 else "go"
        notes.append(f"{_named(table.tied)} {goes} with the seed: each seed has its own value")
    if table.mixed and any(cell.outcomes for cell in table.cells.values()):
        untested = "; cells that mix runs are not tested and never bold"
        notes.append(f"{averaged(table.mixed)}{untested}")
    first = {(cell.row, cell.col): cell for cell in reversed(_in_order(table)) if cell.lacking}
    notes.extend(lacking_note(cell) for cell in reversed(first.values()))
    if table.unplaced:
        notes.append(f"{count(table.unplaced, 'run')} without a value on every axis left out")
    return [*notes, *(over_examples(table, row, col) for row, col in table.examples), *table.notes]


def _titled(metric: Metric) -> str:
    """A metric without its unit, as people call it."""
    return metric.title.partition(" [")[0]


def _in_points(table: Table) -> str:
    """What the unit of a difference is where it is not that of its column; empty where they are the same."""
    units = {(metric.quantity.unit, metric.quantity.apart) for metric in table.metrics if not metric.quantity.log}
    return "".join(f" (of {unit} in {apart})" for unit, apart in sorted(units) if unit != apart)


def bold_note(cells: Iterable[Cell]) -> str:
    """What bold says, and of how many cells nothing can be said."""
    noisy = sum(cell.noisy for cell in cells)
    are, their = ("is", "its spread is") if noisy == 1 else ("are", "their spreads are")
    beneath = f" ({count(noisy, 'cell')} beneath that {are} not told apart only as {their} large)" if noisy else ""
    return (
        "bold: the best of its column, and those after it down to the first that a paired test at 5 % (each by itself) "
        f"tells apart from it{beneath}; cells of one seed, of lost runs, missed targets or several methods are never "
        "bold"
    )


def _untested(table: Table) -> str:
    """Why no cell was tested against the baseline."""
    if "seed" in ",".join([*table.row_axes, *table.col_axes]).split(","):
        return "tests are paired by seed, and seed is an axis of the table: take it out of --rows and --cols"
    if all(cell.mixed for cell in table.cells.values()):
        return f"each cell mixes runs that differ in {_named(table.mixed)}"
    if any(cell.shared for cell in table.cells.values()):
        return "a time that runs share is not tested"
    return "no other cell shares 2 seeds with the baseline in the same place, nor has 2 seeds where it shares none"


def over_examples(table: Table, row: Key, col: Key) -> str:
    """One line of how sure a difference in test accuracy is over the test examples."""
    found, rival = table.examples[row, col], table.rival(row, col)
    sides = [" ".join(_value(value) for value in (*side[0], *side[1])) for side in ((row, col), rival)]
    width = 100 * (found.examples_interval[1] - found.examples_interval[0])
    places = decimals(width, 100 * found.difference)

    def ends(interval: tuple[float, float]) -> str:
        return "[{}]".format(", ".join(f"{100 * end:+.{places}f}" for end in interval))

    both = f", {ends(found.both)} over examples and seeds" if found.both else ""
    return (
        f"over test examples ({found.examples}): {' - '.join(sides)} {100 * found.difference:+.{places}f} points "
        f"{ends(found.examples_interval)} over examples{both}; McNemar {p_value(found.p)} of these "
        f"{count(len(found.seeds), 'seed')}"
    )


def averaged(mixed: Sequence[str]) -> str:
    """What was averaged inside each seed, and the way out."""
    keys = _named(mixed)
    rates = [key for key in mixed if is_rate(key)]
    tuned = f"; if {rates[0]} was tuned over, --tuned {rates[0]}" if rates else ""
    them = "it" if len(mixed) == 1 else "them"
    return (
        f"n counts seeds: within each seed, runs that differ in {keys} were averaged; add {them} to --rows or --cols, "
        f"or use --where{tuned}"
    )


def _named(keys: Sequence[str]) -> str:
    return listing([*keys[:NAMED], *([f"{len(keys) - NAMED} more"] if len(keys) > NAMED else [])])


def cell_note(cell: Cell) -> str:
    """What concerns this cell alone, for somebody who has no notes below it: CSV has none."""
    said = []
    if cell.mixed:
        said.append(f"mean over runs that differ in {_named(cell.mixed)}: not tested")
    if cell.shared:
        said.append("a time that runs share: no spread, not tested")
    if cell.test and not cell.test.paired:
        said.append("no seeds shared with the baseline: Welch's test")
    if cell.test and cell.test.ranks:
        said.append("test of signed ranks: some outcome has no number")
    if cell.censored:
        said.append("a lower bound: runs that never reached the target count as their whole budget")
    if lost := losses(cell.losses):
        said.append(lost.removeprefix("† "))
    return "; ".join([*said, *([lacking_note(cell)] if cell.lacking else [])])


def _record(table: Table, cell: Cell) -> dict[str, Any]:
    summary, lost = cell.summary, cell.losses
    known = cell.test is not None and math.isfinite(cell.test.difference)  # of ranks it may be worse than any number
    effect = cell.effect if known else None
    against = ",".join(f"{axis}={_value(value)}" for axis, value in table.baseline.items())
    found = {
        "metric": str(cell.metric),
        "n": summary.n,
        "mean": summary.mean,
        "std": summary.std,
        "ci_low": summary.low,
        "ci_high": summary.high,
        "best": cell.best,
        "log_scale": cell.metric.quantity.log,
        "advantage": cell.test.difference if cell.test and effect else math.nan,
        "effect": effect.middle if effect else math.nan,
        "effect_low": effect.low if effect else math.nan,
        "effect_high": effect.high if effect else math.nan,
        "effect_is_ratio": effect.ratio if effect else None,
        "p_holm": cell.p_holm,
        "baseline": against if cell.test else "",
        "diverged": lost.diverged,
        "failed": lost.failed,
        "unfinished": lost.unfinished,
        "missed": lost.missed,
        "unmeasured": lost.unmeasured,
        "seeds_left_out": len(cell.lacking),
        "note": cell_note(cell),
    }
    places = zip((*table.row_axes, *table.col_axes), (*cell.row, *cell.col), strict=True)
    return {f"{axis} (axis)" if axis in found else axis: value for axis, value in places} | found


def _in_order(table: Table) -> list[Cell]:
    keys = [(row, col, metric) for row in table.rows for col in table.cols for metric in table.metrics]
    return [table.cells[key] for key in keys if key in table.cells]


def _name(axis: str, value: Any) -> str:
    """A column's header: the value where it speaks for itself, else with its axis."""
    return f"{axis.rpartition('.')[2]} {_value(value)}" if not isinstance(value, str) else value


def _value(value: Any) -> str:
    return written(None if value == MISSING else value)
