"""What a paper claims, what was measured, and one rule that turns the one into a verdict on the other.

**The rule.** A claim says that runs A are better than runs B in a metric by more than a margin. Seed by seed the
outcomes of A and B are compared (`outcomes` says what an outcome is: runs that never reach a target, diverge or fail
are outcomes of their side, worse than any number). The differences go through a two-sided paired test of
`difference = margin`: Student's while every outcome is a number, on the logarithm where the metric spans orders of
magnitude, otherwise Wilcoxon's signed ranks; p-values are corrected by Holm over the claims of one reading (equal
epochs, equal steps, equal time). With p < 0.05 the claim `holds` or `does not hold` by the side on which the
difference lies; otherwise it is `not decided at this n`. Against several rivals a claim holds only if it holds against
each (the largest p), and falls by any (the least p, times how many).

Claims of a distance, `within` or `apart`, are measured in each stratum by itself, because opposite differences
would cancel in a mean: two sides are within a margin if they are so in every stratum, and apart if they are in
any (now it is holding that takes the least p, times how many).

Intervals are as wide as the correction asks: all those of one reading hold at the same time (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from batchlab.results.compare.caveats import batchnorm_parts, contended, timed, uneven_tuning
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget, nothing
from batchlab.results.compare.outcomes import (
    LOST_STATES,
    Outcome,
    by_seed,
    compare_outcomes,
    merged,
    of_run,
    restricted_mean,
)
from batchlab.results.compare.replicates import Key, mixed_keys
from batchlab.results.compare.stats import ALPHA, Test, holm
from batchlab.results.store.run import State
from batchlab.results.words import count, listing


class Verdict(StrEnum):
    """What the measurements say of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    UNDECIDED = "not decided at this n"


@dataclass(frozen=True)
class Side:
    """The runs on one side of a claim.

    Attributes:
        label: What it is called.
        where: Which runs they are: conditions as for `Frame.where`.
        value: Instead of runs this number, at every seed. For a rival, so that a claim can be about a bound.
    """

    label: str
    where: dict[str, Any]
    value: float | None = None


@dataclass(frozen=True)
class Claim:
    """One thing a paper says, made measurable.

    Attributes:
        text: What it says.
        source: Where it stands: abstract, Theorem 3, Table 5.
        certainty: How sure it is that the paper says so: read, digitised, reconstructed, or ours.
        better: The side that is said to be better.
        rivals: The sides it is said to be better than, all of them.
        metric: In what it is better.
        at: Compare at the largest budget of this clock that every run has; None: whole runs. `method`: no runs at
            all, see `observed`.
        match: Compare only runs that agree on these keys; the differences are then averaged.
        margin: Better by more than this: in the unit in which the metric is stored, or as a share (0.1: 10 %) where
            it is logarithmic.
        within: Instead, the two differ by no more than the margin, in every stratum of `match`.
        apart: Instead, the two differ by more than the margin in some stratum, whichever is better.
    """

    text: str
    source: str
    certainty: str
    better: Side
    rivals: tuple[Side, ...]
    metric: Metric
    at: str | None = None
    match: tuple[str, ...] = ()
    margin: float = 0.0
    within: bool = False
    apart: bool = False

    @property
    def distance(self) -> bool:
        """Whether it is about how far apart two sides are, not about which is better."""
        return self.within or self.apart


@dataclass(frozen=True)
class Comparison:
    """One side against one rival, and the test between them.

    Attributes:
        rival: The other side.
        outcomes: By seed, of the seeds that both sides have.
        of_rival: The same of the rival.
        test: On the scale of the rule: positive is better, logarithmic where the metric is. None: fewer than 2 seeds.
        dropped: Seeds left out because a run of either side is not over or gave no number.
        stratum: The values of `Claim.match`, where strata are compared one by one.
        log: Whether logarithms were compared.
    """

    rival: Side
    outcomes: dict[Any, Outcome]
    of_rival: dict[Any, Outcome]
    test: Test | None
    dropped: int
    stratum: Key = ()
    log: bool = False

    @property
    def seeds(self) -> int:
        """How many were compared."""
        return len(self.outcomes)

    @property
    def ours(self) -> float:
        """Mean over seeds, geometric where the metric is logarithmic; a target never reached counts as the budget."""
        return restricted_mean(self.outcomes.values(), log=self.log)

    @property
    def theirs(self) -> float:
        """The same of the rival."""
        return restricted_mean(self.of_rival.values(), log=self.log)


@dataclass(frozen=True)
class Judged:
    """A claim with what was measured and the verdict.

    Attributes:
        claim: The claim, its metric knowing what the runs declare.
        comparisons: With each rival, or with each in each stratum.
        p: The p-value of the whole; NaN where nothing was tested.
        p_holm: The same, corrected over the claims of its reading.
        verdict: By the rule of this module.
        reason: Why nothing was decided, where that is so; what else to know beside the verdict.
        budget: How much of the clock `Claim.at` the sides were compared at; NaN: whole runs.
        lost: Runs of either side that are not done, by state.
        family: Claims that p was corrected for.
        parts: What BatchNorm saw of which batches, see `batchnorm_parts`.
    """

    claim: Claim
    comparisons: list[Comparison]
    p: float
    p_holm: float
    verdict: Verdict
    reason: str
    budget: float = math.nan
    lost: dict[str, int] = field(default_factory=dict)
    family: int = 0
    parts: dict[int, int] = field(default_factory=dict)


def judge(frame: Frame, claims: Iterable[Claim]) -> list[Judged]:
    """Measure each claim on the runs of the frame and give the verdicts, by the rule of this module.

    Holm's family is the claims of the same reading (`at`). A claim whose runs are missing is undecided and says why.

    Args:
        frame: The runs of all sides, in any state.
        claims: What to measure.

    Returns:
        One verdict per claim, in their order.
    """
    measured = [_measure(frame, replace(claim, metric=claim.metric.of(frame))) for claim in claims]
    for reading in {judged.claim.at for judged in measured}:
        family = [i for i, judged in enumerate(measured) if judged.claim.at == reading]
        tested = [i for i in family if not math.isnan(measured[i].p)]
        for i, p in zip(tested, holm([measured[i].p for i in tested]), strict=True):
            decided = p < ALPHA
            holds = Verdict.HOLDS if _points_to(measured[i]) else Verdict.DOES_NOT_HOLD
            wide = [
                replace(c, test=c.test.at_level(1 - ALPHA / len(tested)) if c.test else None)
                for c in measured[i].comparisons
            ]
            verdict = holds if decided else Verdict.UNDECIDED
            measured[i] = replace(measured[i], comparisons=wide, p_holm=p, verdict=verdict, family=len(tested))
    return measured


def observed(claim: Claim, holds: bool | None, reason: str) -> Judged:
    """The verdict on a claim that has no seeds: a property of the methods themselves.

    Args:
        claim: What is claimed.
        holds: Whether it does; None: nothing was measured.
        reason: What was seen, in words.
    """
    verdict = Verdict.UNDECIDED if holds is None else Verdict.HOLDS if holds else Verdict.DOES_NOT_HOLD
    return Judged(claim, [], math.nan, math.nan, verdict, reason)


def _measure(frame: Frame, claim: Claim) -> Judged:
    sides = [side for side in (claim.better, *claim.rivals) if side.value is None]
    frames = [frame.where(**side.where) for side in sides]
    everyone = [run for part in frames for run in part.runs]
    unfinished = [run.state.value for run in everyone if run.state is not State.DONE]
    lost = {state: unfinished.count(state) for state in dict.fromkeys(unfinished)}
    empty = [side.label for side, part in zip(sides, frames, strict=True) if not part.runs]
    if empty:
        return _undecided(claim, f"no runs of {listing(empty)}", lost)
    metric, budget = claim.metric, math.nan
    missing = [name for name in (metric.name, *(CLOCKS[c] for c in [claim.at] if c)) if name not in frame.names]
    if missing and (claim.at or any(run.state not in LOST_STATES for run in everyone)):
        return _undecided(claim, f"{listing(missing)} not measured", lost)
    if claim.at:
        budget = common_budget(frames, claim.at)
        metric = replace(metric, budget=claim.at, limit=budget)
    ours, *measured = (_by_stratum(part, metric, claim.match) for part in frames)
    values = iter(measured)
    comparisons = []
    for rival in claim.rivals:
        theirs = next(values) if rival.value is None else _constant(rival.value, ours)
        strata = [key for key in ours if key in theirs]
        planned = {run.value("seed") for run in everyone}
        for part in [[key] for key in strata] if claim.distance and strata else [strata]:
            comparisons.append(_compare(claim, rival, [(ours[key], theirs[key]) for key in part], part, planned))
    if any(comparison.test is None for comparison in comparisons):
        seeds = min(comparison.seeds for comparison in comparisons)
        why = f"{count(seeds, 'seed')} with every run done and measured: needs at least 2"
        return replace(_undecided(claim, why, lost), comparisons=comparisons, budget=budget)
    p = deciding(claim, comparisons)[1]
    busy = contended(everyone) if timed(metric, claim.at) else 0.0
    reasons = [f"measured on a busy machine (wall over processor time up to {busy:.1f})"] if busy else []
    reason = "; ".join([*reasons, *filter(None, [uneven_tuning(everyone, claim.match)])])
    p = math.nan if busy else p
    parts = batchnorm_parts(everyone)
    return Judged(claim, comparisons, p, math.nan, Verdict.UNDECIDED, reason, budget, lost, parts=parts)


Outcomes = dict[Any, Outcome]
"""By seed."""


def _by_stratum(frame: Frame, metric: Metric, match: Sequence[str]) -> dict[Key, Outcomes]:
    """The outcomes of a side by stratum and seed; see `outcomes` for what is averaged and what is left out."""
    known = metric.name in frame.names
    measured, log = metric.measure(frame) if known else nothing(frame), metric.quantity.log
    mixed = mixed_keys([frame.runs])
    strata: dict[Key, list[tuple[RunRow, Outcome | None]]] = {}
    for i, run in enumerate(frame.runs):
        strata.setdefault(tuple(map(run.value, match)), []).append((run, of_run(run, i, measured, log=log)))
    return {key: by_seed(runs, mixed, log=log) for key, runs in strata.items()}


def _compare(
    claim: Claim, rival: Side, strata: Sequence[tuple[Outcomes, Outcomes]], keys: list[Key], planned: set[Any]
) -> Comparison:
    """Ours against theirs, averaged over strata seed by seed; a seed that lacks a stratum is left out."""
    log, up = claim.metric.quantity.log, claim.metric.quantity.better == "up"
    shared = set(planned).intersection(*(side.keys() for pair in strata for side in pair)) if strata else set()
    ours, theirs = (
        {seed: merged([pair[i][seed] for pair in strata], log=log) for seed in sorted(shared, key=str)} for i in (0, 1)
    )
    hypothesis = _edge(claim)

    def at(edge: float) -> Test | None:
        return compare_outcomes(ours, theirs, up=up, log=log, hypothesis=edge)

    test = at(hypothesis)
    if test and claim.distance:  # both edges must be rejected to say within, the nearer one to say beyond
        other = at(-hypothesis)
        assert other
        below = other.difference < -hypothesis  # where the budget cannot tell the estimate is NaN, and p is 1
        inside = max(test, other, key=lambda t: t.p)
        test = test if test.difference > hypothesis else other if below else inside
    stratum = keys[0] if claim.distance and keys else ()
    return Comparison(rival, ours, theirs, test, len(planned) - len(shared), stratum, log)


def _edge(claim: Claim) -> float:
    return math.log1p(claim.margin) if claim.metric.quantity.log else claim.margin


def _supports(claim: Claim, test: Test) -> bool:
    edge = _edge(claim)
    if claim.apart:
        return abs(test.difference) > edge
    return abs(test.difference) <= edge if claim.within else test.difference > edge


def _points_to(judged: Judged) -> bool:
    support = [_supports(judged.claim, c.test) for c in judged.comparisons if c.test]
    return any(support) if judged.claim.apart else all(support)


def deciding(claim: Claim, tested: Sequence[Comparison]) -> tuple[Comparison, float]:
    """The comparison that the verdict rests on, and the p-value of the whole.

    One is enough to refute a claim (to hold one of `apart`), and is corrected for their number; otherwise it takes all.

    Args:
        claim: What is claimed.
        tested: Its comparisons, each with a test.
    """
    ranked = sorted(tested, key=lambda c: c.test.p if c.test else math.nan)
    alone = [c for c in ranked if c.test and _supports(claim, c.test) == claim.apart]
    decides = alone[0] if alone else ranked[-1]
    assert decides.test
    return decides, min(1.0, len(ranked) * decides.test.p) if alone else decides.test.p


def _constant(value: float, like: dict[Key, Outcomes]) -> dict[Key, Outcomes]:
    """One number at every seed."""
    return {key: dict.fromkeys(seeds, Outcome(value)) for key, seeds in like.items()}


def _undecided(claim: Claim, reason: str, lost: dict[str, int]) -> Judged:
    return Judged(claim, [], math.nan, math.nan, Verdict.UNDECIDED, reason, math.nan, lost)
