"""The rule that turns what was measured into a verdict on a claim.

**The rule.** A claim says that runs A are better than runs B in a metric by more than a margin. Seed by seed the
outcomes of A and B are compared (`outcomes` says what an outcome is: runs that never reach a target, diverge or fail
are outcomes of their side, worse than any number). The differences go through a two-sided paired test of
`difference = margin`: Student's while every outcome is a number, on the logarithm where the metric spans orders of
magnitude, otherwise Wilcoxon's signed ranks; p-values are corrected by Holm over the claims of one reading (equal
epochs, equal steps, equal time). With p < 0.05 the claim `holds` or `does not hold` by the side on which the
difference lies; otherwise it is `not decided`. Against several rivals a claim holds only if it holds against
each (the largest p), and falls by any (the least p, times how many).

Claims of a distance, `within` or `apart`, are measured in each stratum by itself, because opposite differences
would cancel in a mean: two sides are within a margin if they are so in every stratum, and apart if they are in
any (now it is holding that takes the least p, times how many).

Intervals are as wide as the correction asks: all those of one reading hold at the same time (Bonferroni).

This is the rule for runs that are all there. Where seeds are added until a claim is decided, `decide` has the rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from batchlab.results.compare.caveats import batchnorm_parts, contended, timed, together_note, uneven_tuning
from batchlab.results.compare.claims import Claim, Comparison, Judged, Side, Verdict, deciding
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget, nothing
from batchlab.results.compare.outcomes import LOST_STATES, Outcome, by_seed, compare_outcomes, merged, of_run
from batchlab.results.compare.outlook import outlook
from batchlab.results.compare.replicates import Key, mixed_keys
from batchlab.results.compare.stats import ALPHA, Test, holm
from batchlab.results.store.run import State
from batchlab.results.words import count, listing


def judge(frame: Frame, claims: Iterable[Claim], group: str = "") -> list[Judged]:
    """Measure each claim on the runs of the frame and give the verdicts, by the rule of this module.

    Holm's family is the claims of the same reading (`at`). A claim whose runs are missing is undecided and says why.

    Args:
        frame: The runs of all sides, in any state.
        claims: What to measure.
        group: What these claims are called, where a page judges several groups.

    Returns:
        One verdict per claim, in their order.
    """
    measured = [_measure(frame, replace(claim, metric=claim.metric.of(frame))) for claim in claims]
    for reading in {judged.claim.at for judged in measured}:
        family = [i for i, judged in enumerate(measured) if judged.claim.at == reading]
        tested = [i for i in family if measured[i].tested]
        for i in family:
            measured[i] = replace(measured[i], group=f"{group} {reading or ''}".strip())
        for i, p in zip(tested, holm([measured[i].p for i in tested]), strict=True):
            own = replace(measured[i], family=len(tested), level=ALPHA / len(tested), p_holm=p)
            needed, minutes = outlook(own)
            measured[i] = own.decided(p) if p < ALPHA else replace(own, needed=needed, minutes=minutes)
    return measured


def _measure(frame: Frame, claim: Claim) -> Judged:
    sides = [side for side in (claim.better, *claim.rivals) if side.value is None]
    frames = [frame.where(**side.where) for side in sides]
    everyone = tuple(run for part in frames for run in part.runs)
    unfinished = [run.state.value for run in everyone if run.state is not State.DONE]
    lost = {state: unfinished.count(state) for state in dict.fromkeys(unfinished)}
    empty = [side.label for side, part in zip(sides, frames, strict=True) if not part.runs]
    judged = _undecided(claim, f"no runs of {listing(empty)}") if empty else _weigh(claim, frames)
    return replace(judged, lost=lost, runs=() if empty else everyone)


def _weigh(claim: Claim, frames: Sequence[Frame]) -> Judged:
    """A claim whose sides all have runs: its p-value, or why there is none."""
    everyone = [run for part in frames for run in part.runs]
    metric, budget, names = claim.metric, math.nan, frames[0].names
    missing = [name for name in (metric.name, *(CLOCKS[c] for c in [claim.at] if c)) if name not in names]
    if missing and (claim.at or any(run.state not in LOST_STATES for run in everyone)):
        return _undecided(claim, f"{listing(missing)} not measured")
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
        fewest = min(comparisons, key=lambda comparison: comparison.seeds)
        where = f" ({', '.join(map(str, fewest.stratum))})" if fewest.stratum else ""
        why = f"{count(fewest.seeds, 'seed')} with every run done and measured{where}: needs at least 2"
        return replace(_undecided(claim, why), comparisons=comparisons, budget=budget)
    p = deciding(claim, comparisons)[1]
    reasons = []
    if timed(metric, claim.at):
        busy, reasons = contended(everyone), together_note(everyone)
        if reasons:
            comparisons = [_less_interval(comparison) for comparison in comparisons]
        if busy:
            reasons.append(f"measured on a busy machine (wall over processor time up to {busy:.1f})")
    p = math.nan if reasons else p
    reason = "; ".join([*reasons, *filter(None, [uneven_tuning(everyone, claim.match)])])
    parts = batchnorm_parts(everyone)
    return Judged(claim, comparisons, p, math.nan, Verdict.UNDECIDED, reason, budget, parts=parts)


def _less_interval(comparison: Comparison) -> Comparison:
    """The same without an interval: seeds that share a time do not say how it varies."""
    assert comparison.test
    return replace(comparison, test=replace(comparison.test, low=math.nan, high=math.nan))


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
    hypothesis = claim.edge

    def at(edge: float) -> Test | None:
        return compare_outcomes(ours, theirs, up=up, log=log, hypothesis=edge, continuous=claim.metric.continuous)

    test = at(hypothesis)
    if test and claim.distance:  # both edges must be rejected to say within, the nearer one to say beyond
        other = at(-hypothesis)
        assert other
        below = other.difference < -hypothesis  # where the budget cannot tell the estimate is NaN, and p is 1
        inside = max(test, other, key=lambda t: t.p)
        test = test if test.difference > hypothesis else other if below else inside
    stratum = keys[0] if claim.distance and keys else ()
    return Comparison(rival, ours, theirs, test, len(planned) - len(shared), stratum, log)


def _constant(value: float, like: dict[Key, Outcomes]) -> dict[Key, Outcomes]:
    """One number at every seed."""
    return {key: dict.fromkeys(seeds, Outcome(value)) for key, seeds in like.items()}


def _undecided(claim: Claim, reason: str) -> Judged:
    return Judged(claim, [], math.nan, math.nan, Verdict.UNDECIDED, reason)
