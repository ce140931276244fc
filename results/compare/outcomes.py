"""What came of each seed of a side: a number, a target never reached, or runs that were lost. One rule for all.

A run that diverged, failed or is damaged is an outcome of the side it belongs to, worse than any number; so is one that
never reached a target, which is worse than every arrival, and counts as its whole budget where means are taken (the
restricted mean). Two sides are compared seed by seed: by a paired t-test while every outcome is a number, on logarithms
where the quantity has them, and otherwise by a signed-rank test that only asks which outcome is worse. What the
budget cannot tell is a tie: two runs that never arrived, an arrival later than the budget that the other side had, and
one that is earlier by less than the margin that is asked for. Runs that are not over yet, and seeds that lack a run
that others have, are no outcomes: they are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.metrics import Measured
from batchlab.results.compare.replicates import Key, replicate
from batchlab.results.compare.stats import Test, paired_test, signed_rank_test, welch_test
from batchlab.results.store.run import State

LOST_STATES = (State.DIVERGED, State.FAILED, State.DAMAGED)


class Fate(IntEnum):
    """How a seed ended; the greater, the worse."""

    MEASURED = 0
    NEVER = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one seed.

    Attributes:
        value: in the unit in which the metric is stored; where the target was never reached the budget, NaN where runs
            were lost.
        fate: the worst of the seed's runs.
    """

    value: float
    fate: Fate = Fate.MEASURED


def of_run(run: RunRow, i: int, measured: Measured, *, log: bool) -> Outcome | None:
    """The outcome of one run; None where it is not over, or has no number of this metric.

    Args:
        run: the run.
        i: its place in the frame that was measured.
        measured: of that frame.
        log: whether only positive numbers are usable.
    """
    if run.state in LOST_STATES:
        return Outcome(math.nan, Fate.LOST)
    if run.state is not State.DONE:
        return None
    if measured.missed[i]:
        return Outcome(float(measured.bounds[i]), Fate.NEVER)
    value = float(measured.values[i])
    if math.isinf(value):
        return Outcome(math.nan, Fate.LOST)
    return None if math.isnan(value) or (log and value <= 0) else Outcome(value)


def merged(parts: Sequence[Outcome], *, log: bool) -> Outcome:
    """Several runs of a seed as one outcome: the worst fate, and the mean (geometric with `log`) of the values."""
    fate = max(part.fate for part in parts)
    if fate is Fate.LOST:
        return Outcome(math.nan, Fate.LOST)
    values = np.array([part.value for part in parts])
    return Outcome(float(np.exp(np.log(values).mean()) if log else values.mean()), fate)


def by_seed(runs: Iterable[tuple[RunRow, Outcome | None]], mixed: Sequence[str], *, log: bool) -> dict[Any, Outcome]:
    """Seed -> outcome: repeats of a run are averaged first, then what else varies within the seed.

    A seed that lacks an outcome which another seed has is left out: its mean would be over something else. `lacking`
    says which lack a run.

    Args:
        runs: of one side, with their outcomes.
        mixed: keys beside the seed that vary among them (see `replicates`).
        log: average logarithms.
    """
    seeds: dict[Any, dict[Key, list[Outcome | None]]] = {}
    for run, outcome in runs:
        seeds.setdefault(run.value("seed"), {}).setdefault(replicate(run, mixed)[1:], []).append(outcome)
    whole = set().union(*(own.keys() for own in seeds.values())) if seeds else set()
    found = {}
    for seed, own in seeds.items():
        parts = [[outcome for outcome in repeats if outcome] for repeats in own.values()]
        if own.keys() == whole and all(parts):
            found[seed] = merged([merged(part, log=log) for part in parts], log=log)
    return found


def compare_outcomes(
    a: Mapping[Any, Outcome],
    b: Mapping[Any, Outcome],
    *,
    up: bool,
    log: bool,
    hypothesis: float = 0.0,
    step: float = math.inf,
    continuous: bool = False,
) -> Test | None:
    """Test by how much a is better than b: positive is better.

    Args:
        a: outcome by seed.
        b: the same of the other side.
        up: whether more is better.
        log: compare logarithms; all values are then positive.
        hypothesis: the advantage that is tested, on the scale of the comparison.
        step: the least step of the scale that values are on, where others than these show it.
        continuous: whether values are on no such scale, see `Metric.continuous`.

    Returns:
        None where fewer than 2 seeds are shared, or, of sides that share none, either has fewer than 2 numbers.
    """
    shared = [seed for seed in a if seed in b]
    if not shared:
        first, second = ([_scaled(o, up, log) for o in side.values() if o.fate is Fate.MEASURED] for side in (a, b))
        whole = len(first) == len(a) >= 2 and len(second) == len(b) >= 2
        return welch_test(first, second, hypothesis) if whole else None
    if len(shared) < 2:
        return None
    pairs = [(a[seed], b[seed]) for seed in shared]
    if all(first.fate is second.fate is Fate.MEASURED for first, second in pairs):
        first, second = ([_scaled(pair[i], up, log) for pair in pairs] for i in (0, 1))
        return paired_test(first, second, hypothesis, rounded=_rounded(pairs, log, step), continuous=continuous)
    return signed_rank_test([_advantage(x, y, up, log, hypothesis) for x, y in pairs], hypothesis)


def _rounded(pairs: Sequence[tuple[Outcome, Outcome]], log: bool, step: float) -> float:
    """The standard deviation of a difference by rounding to steps of the scale, uniform over a step on either side."""
    if not log:
        return step / math.sqrt(6)
    return max(step * math.hypot(1 / x.value, 1 / y.value) for x, y in pairs) / math.sqrt(12)


def alike(a: Mapping[Any, Outcome], b: Mapping[Any, Outcome]) -> bool:
    """Whether two sides have the same number in every seed that both have, and such a seed."""
    shared = [(a[seed], b[seed]) for seed in a if seed in b]
    return bool(shared) and all(one == other and one.fate is Fate.MEASURED for one, other in shared)


def tally(a: Mapping[Any, Outcome], b: Mapping[Any, Outcome], *, up: bool, log: bool) -> tuple[int, int, int]:
    """In how many of the shared seeds a is better, worse, and neither (equal, or not known).

    Args:
        a: outcome by seed.
        b: the same of the other side.
        up: whether more is better.
        log: compare logarithms.
    """
    found = [_advantage(a[seed], b[seed], up, log, 0.0) for seed in a if seed in b]
    better, worse = sum(x > 0 for x in found), sum(x < 0 for x in found)
    return better, worse, len(found) - better - worse


def _scaled(outcome: Outcome, up: bool, log: bool) -> float:
    return (1.0 if up else -1.0) * (math.log(outcome.value) if log else outcome.value)


def _advantage(first: Outcome, second: Outcome, up: bool, log: bool, hypothesis: float) -> float:
    """The difference of two outcomes.

    Infinite where one is worse than any number of the other; NaN where it is not known on which side of the hypothesis
    it lies.
    """
    worst = max(first.fate, second.fate)
    if worst is Fate.LOST:
        return math.nan if first.fate is second.fate else math.copysign(math.inf, second.fate - first.fate)
    difference = _scaled(first, up, log) - _scaled(second, up, log)
    if worst is Fate.MEASURED:
        return difference
    if first.fate is second.fate:
        return math.nan
    bound = difference - hypothesis  # who never arrived had his budget: it is at least so far beyond the hypothesis
    if second.fate is Fate.NEVER:
        return math.inf if bound >= 0 else math.nan
    return -math.inf if bound <= 0 else math.nan


def restricted_mean(outcomes: Iterable[Outcome], *, log: bool) -> float:
    """The mean (geometric with `log`) of what has a value, a target never reached counting as its budget."""
    values = np.array([o.value for o in outcomes if o.fate is not Fate.LOST])
    if not len(values):
        return math.nan
    return float(np.exp(np.log(values).mean()) if log else values.mean())
