"""A cell of a table: what came of the seeds of its runs, and how two cells compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from batchlab.results.compare.caveats import timed, together
from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.metrics import Measured, Metric
from batchlab.results.compare.outcomes import (
    LOST_STATES,
    Fate,
    Outcome,
    by_seed,
    compare_outcomes,
    of_run,
    restricted_mean,
)
from batchlab.results.compare.replicates import Key, Setting, lacking
from batchlab.results.compare.stats import Summary, Test, summarize
from batchlab.results.store.run import State

STEPS_APART = 1e-9
"""Values that differ by less, relatively, differ by rounding."""


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


@dataclass(frozen=True, slots=True)
class Effect:
    """By how much a cell differs from the baseline's.

    Attributes:
        middle: The difference, cell less baseline, in the unit in which the metric is stored; or the ratio.
        low: Lower end of its interval, which holds for all cells of the metric at the same time; NaN without one.
        high: Upper end.
        ratio: Whether it is the ratio of geometric means, as of losses and times.
    """

    middle: float
    low: float
    high: float
    ratio: bool


@dataclass(frozen=True)
class Cell:
    """One metric of the runs that agree on the table's axes.

    Attributes:
        row: Their values on the axes of the rows.
        col: And on those of the columns.
        metric: The metric.
        outcomes: By seed; a seed that lacks a run which another seed has is left out.
        losses: Runs that gave no number.
        lacking: Seeds that were left out because they lack a combination of the mixed keys that another seed has, with
            the combinations that they lack.
        shared: Whether it is a time, and some of its runs share theirs with others (`caveats.together`): then it has
            neither a spread nor a test.
        mixed: Keys beside the seed in which its runs differ: then no test is made of it.
        best: Whether it is the best of its column, or not told apart from the best by a test.
        noisy: Whether it is not told apart beneath a cell that is: its spread is large, so that it is not `best`.
        test: Against the baseline; positive is better, or more where neither is.
        p_holm: The test's p-value, corrected over all cells of the metric.
        effect: What the test is of, in the metric's own direction.
    """

    row: Key
    col: Key
    metric: Metric
    outcomes: dict[Any, Outcome]
    losses: Losses
    lacking: dict[Any, list[Setting]] = field(default_factory=dict)
    shared: bool = False
    mixed: tuple[str, ...] = ()
    best: bool = False
    noisy: bool = False
    test: Test | None = None
    p_holm: float = math.nan
    effect: Effect | None = None

    @property
    def values(self) -> dict[Any, float]:
        """By seed, in the unit in which the metric is stored; a target never reached counts as the budget."""
        return {seed: o.value for seed, o in self.outcomes.items() if o.fate is not Fate.LOST}

    @property
    def censored(self) -> bool:
        """Whether some seed never reached the target, so that the mean is a lower bound."""
        return any(outcome.fate is Fate.NEVER for outcome in self.outcomes.values())

    @property
    def arrived(self) -> bool:
        """Whether some seed has a number, not only a budget."""
        return any(outcome.fate is Fate.MEASURED for outcome in self.outcomes.values())

    @property
    def whole(self) -> bool:
        """Whether it can be bold: several seeds, each with a number."""
        return len(self.outcomes) > 1 and all(outcome.fate is Fate.MEASURED for outcome in self.outcomes.values())

    @property
    def log(self) -> bool:
        """Whether it is compared on logarithms."""
        return self.metric.quantity.log and all(value > 0 for value in self.values.values())

    @property
    def summary(self) -> Summary:
        """n, mean, std and interval over seeds; of a logarithmic metric the interval of the geometric mean."""
        values = list(self.values.values())
        plain = summarize(values)
        if self.shared:
            return replace(plain, std=math.nan, low=math.nan, high=math.nan)
        if not self.log or plain.n < 2:
            return plain
        logs = summarize(np.log(values))
        return replace(plain, low=math.exp(logs.low), high=math.exp(min(logs.high, 700.0)))


def make_cell(
    row: Key,
    col: Key,
    metric: Metric,
    runs: Sequence[RunRow],
    group: Sequence[int],
    measured: Measured,
    mixed: Sequence[str],
) -> Cell:
    """The cell of a group of runs.

    Args:
        row: Its place.
        col: And column.
        metric: What was measured.
        runs: All that the table holds.
        group: Which of them are the cell's.
        measured: Of all of them.
        mixed: Keys beside the seed that vary inside cells; not those that go with the seed in this one.
    """
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
    begun = [(run, outcome) for run, outcome in found if run.config]  # the others do not say what they would be
    gaps = lacking([run for run, _ in begun], mixed)
    shared = timed(metric) and together(runs[i] for i in group) > 0
    return Cell(row, col, metric, by_seed(begun, mixed, log=False), Losses(**lost), gaps, shared, tuple(mixed))


def order(cell: Cell) -> tuple[bool, bool, float]:
    """More is better; a cell that lost runs comes after all others, one of which no seed arrived after the rest."""
    whole = all(outcome.fate is not Fate.LOST for outcome in cell.outcomes.values())
    mean = restricted_mean(cell.outcomes.values(), log=cell.log)
    sign = 1.0 if cell.metric.quantity.better == "up" else -1.0
    return whole, cell.arrived, -math.inf if math.isnan(mean) else sign * mean


def compare_cells(a: Cell, b: Cell, step: float = math.inf) -> Test | None:
    """By how much a is better than b, on logarithms where both are; None where that cannot be tested.

    Args:
        a: One cell.
        b: The other.
        step: The least step of the metric's scale, where other cells show it.
    """
    if a.shared or b.shared or a.mixed or b.mixed:
        return None
    up = a.metric.quantity.better != "down"
    log, smooth = a.log and b.log, a.metric.continuous
    return compare_outcomes(a.outcomes, b.outcomes, up=up, log=log, step=step, continuous=smooth)


def effect_of(test: Test, cell: Cell, base: Cell) -> Effect:
    """What was tested, as the metric counts: of what is better down, less is negative, or a ratio below 1."""
    ratio = cell.log and base.log
    sign = -1.0 if cell.metric.quantity.better == "down" else 1.0
    low, high = sorted((sign * test.low, sign * test.high))
    middle, low, high = (math.exp(min(end, 700.0)) if ratio else end for end in (sign * test.difference, low, high))
    return Effect(middle, low, high, ratio)


def least_step(cells: Iterable[Cell]) -> float:
    """The least difference between two values of these cells: no scale is coarser. Infinite without any."""
    values = sorted({o.value for cell in cells for o in cell.outcomes.values() if o.fate is Fate.MEASURED})
    return min((high - low for low, high in pairwise(values) if high - low > STEPS_APART * abs(high)), default=math.inf)
