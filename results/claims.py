"""What a paper claims, what was measured, and one rule that turns the one into a verdict on the other.

**The rule.** A claim says that runs A are better than runs B in a metric by more than a margin. For each seed
the metric of A and B is averaged over the runs of the side (matched where the claim says so), on the logarithm
where the metric spans orders of magnitude. The differences, one a seed, go through a two-sided paired t-test of
`difference = margin`; p-values are corrected by Holm over the claims of one reading (equal epochs, equal steps,
equal time). With p < 0.05 the claim `holds` or `does not hold` by the side on which the difference lies;
otherwise it is `not decided at this n`. Against several rivals a claim holds only if it holds against each
(the largest p), and falls by any (the least p, times how many).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from batchlab.results.frame import Frame
from batchlab.results.metrics import CLOCKS, Metric, budgets
from batchlab.results.sheet import Column, Sheet, Text, count, decimals, listing, number, p_value
from batchlab.results.stats import ALPHA, Test, holm, paired_test
from batchlab.results.store import State

Key = tuple[Any, ...]


class Verdict(StrEnum):
    """What the measurements say of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    UNDECIDED = "not decided at this n"


@dataclass(frozen=True)
class Side:
    """The runs on one side of a claim: conditions as for `Frame.where`."""

    label: str
    where: dict[str, Any]
    value: float | None = None
    """Instead of runs: this number, at every seed. For a rival, so that a claim can be about a bound."""


@dataclass(frozen=True)
class Claim:
    """One thing a paper says, made measurable."""

    text: str
    source: str
    """Where it stands: abstract, Theorem 3, Table 5."""
    certainty: str
    """How sure it is that the paper says so: read, digitised, reconstructed, or ours."""
    better: Side
    rivals: tuple[Side, ...]
    metric: Metric
    at: str | None = None
    """Compare at the largest budget of this clock that every run has; None: whole runs. `method`: no runs at all,
    see `observed`."""
    match: tuple[str, ...] = ()
    """Compare only runs that agree on these keys; the differences are then averaged."""
    margin: float = 0.0
    """Better by more than this: in the metric's unit, or as a share (0.1: 10 %) where it is logarithmic."""
    within: bool = False
    """Instead: the two differ by no more than the margin."""
    apart: bool = False
    """Instead: the two differ by more than the margin, whichever is better."""


@dataclass(frozen=True)
class Comparison:
    """One side against one rival: values a seed, and the test between them."""

    rival: Side
    ours: float
    theirs: float
    test: Test | None
    """On the scale of the rule: positive is better, logarithmic where the metric is. None: fewer than 2 seeds."""
    seeds: int
    dropped: int
    """Seeds left out because a run of either side gave no number."""


@dataclass(frozen=True)
class Judged:
    """A claim with what was measured and the verdict."""

    claim: Claim
    comparisons: list[Comparison]
    p: float
    p_holm: float
    verdict: Verdict
    reason: str
    """Why nothing was decided, where that is so."""
    budget: float = math.nan
    lost: dict[str, int] = field(default_factory=dict)
    """Runs of either side that are not done, by state."""


def judge(frame: Frame, claims: Iterable[Claim]) -> list[Judged]:
    """Measure each claim on the runs of the frame and give the verdicts, by the rule of this module.

    Holm's family is the claims of the same reading (`at`). Raises nothing for runs that are missing: their
    claims are undecided and say why.
    """
    measured = [_measure(frame, claim) for claim in claims]
    for reading in {judged.claim.at for judged in measured}:
        family = [i for i, judged in enumerate(measured) if judged.claim.at == reading]
        tested = [i for i in family if not math.isnan(measured[i].p)]
        for i, p in zip(tested, holm([measured[i].p for i in tested]), strict=True):
            decided = p < ALPHA
            holds = Verdict.HOLDS if _points_to(measured[i]) else Verdict.DOES_NOT_HOLD
            measured[i] = replace(measured[i], p_holm=p, verdict=holds if decided else Verdict.UNDECIDED)
    return measured


def observed(claim: Claim, holds: bool | None, reason: str) -> Judged:
    """The verdict on a claim that has no seeds: a property of the methods themselves. None: nothing measured."""
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
    if missing:
        return _undecided(claim, f"{listing(missing)} not measured", lost)
    if claim.at:
        done = [part.select(lambda run: run.state is State.DONE) for part in frames]
        spent = [amount for part in done for amount in budgets(part, claim.at).values()]
        budget = min(spent, default=math.nan)
        metric = replace(metric, budget=claim.at, limit=budget)
    ours, *measured = (_by_stratum(part, metric, claim.match) for part in frames)
    values = iter(measured)
    comparisons = [
        _compare(claim, rival, ours, next(values) if rival.value is None else _constant(rival.value, ours, metric))
        for rival in claim.rivals
    ]
    if any(comparison.test is None for comparison in comparisons):
        seeds = min(comparison.seeds for comparison in comparisons)
        why = f"{count(seeds, 'seed')} with every run done and measured: needs at least 2"
        return replace(_undecided(claim, why, lost), comparisons=comparisons, budget=budget)
    p = _p_of([comparison.test for comparison in comparisons if comparison.test], claim)
    return Judged(claim, comparisons, p, math.nan, Verdict.UNDECIDED, "", budget, lost)


def _by_stratum(frame: Frame, metric: Metric, match: Sequence[str]) -> dict[Key, dict[Any, float]]:
    """stratum -> seed -> mean over its runs; a seed that lacks one of the stratum's runs is left out."""
    numbers = metric.measure(frame).values
    scale = np.log if metric.quantity.log else np.asarray
    found: dict[Key, dict[Any, list[float]]] = {}
    for run, value in zip(frame.runs, numbers, strict=True):
        usable = run.state is State.DONE and np.isfinite(value) and (value > 0 or not metric.quantity.log)
        stratum = found.setdefault(tuple(map(run.value, match)), {})
        stratum.setdefault(run.value("seed"), []).append(float(scale(value)) if usable else math.nan)
    means: dict[Key, dict[Any, float]] = {}
    for key, seeds in found.items():
        whole = max(map(len, seeds.values()))
        means[key] = {seed: float(np.mean(own)) if len(own) == whole else math.nan for seed, own in seeds.items()}
    return means


def _constant(value: float, like: dict[Key, dict[Any, float]], metric: Metric) -> dict[Key, dict[Any, float]]:
    """One number at every seed, on the scale of the metric."""
    scaled = math.log(value) if metric.quantity.log else value
    return {key: dict.fromkeys(seeds, scaled) for key, seeds in like.items()}


def _compare(
    claim: Claim, rival: Side, ours: dict[Key, dict[Any, float]], theirs: dict[Key, dict[Any, float]]
) -> Comparison:
    strata = [key for key in ours if key in theirs]
    everywhere = [{*ours[key], *theirs[key]} for key in strata]
    seeds = sorted(set.union(*everywhere), key=str) if everywhere else []
    first, second = [], []
    for seed in seeds:
        a = [ours[key].get(seed, math.nan) for key in strata]
        b = [theirs[key].get(seed, math.nan) for key in strata]
        if not np.isnan([*a, *b]).any():
            first.append(float(np.mean(a)))
            second.append(float(np.mean(b)))
    sign = 1.0 if claim.metric.quantity.better == "up" else -1.0
    hypothesis = _edge(claim)
    test = None
    if len(first) >= 2:
        a, b = [sign * value for value in first], [sign * value for value in second]
        test = paired_test(a, b, hypothesis)
        if claim.within or claim.apart:  # both edges must be rejected to say within, the nearer one to say beyond
            other = paired_test(a, b, -hypothesis)
            inside = abs(test.difference) <= hypothesis
            near = test if test.difference > 0 else other
            test = max(test, other, key=lambda t: t.p) if inside else near
    back = np.exp if claim.metric.quantity.log else np.asarray
    means = [float(back(np.mean(side))) if side else math.nan for side in (first, second)]
    return Comparison(rival, means[0], means[1], test, len(first), len(seeds) - len(first))


def _edge(claim: Claim) -> float:
    return math.log1p(claim.margin) if claim.metric.quantity.log else claim.margin


def _supports(claim: Claim, test: Test) -> bool:
    edge = _edge(claim)
    if claim.apart:
        return abs(test.difference) > edge
    return abs(test.difference) <= edge if claim.within else test.difference > edge


def _points_to(judged: Judged) -> bool:
    return all(_supports(judged.claim, c.test) for c in judged.comparisons if c.test)


def _p_of(tests: Sequence[Test], claim: Claim) -> float:
    against = [test.p for test in tests if not _supports(claim, test)]
    return min(1.0, len(tests) * min(against)) if against else max(test.p for test in tests)


def _undecided(claim: Claim, reason: str, lost: dict[str, int]) -> Judged:
    return Judged(claim, [], math.nan, math.nan, Verdict.UNDECIDED, reason, math.nan, lost)


READINGS = {None: "whole runs", "seconds": "equal time", "method": "the method itself"}
TONES: dict[Verdict, Any] = {Verdict.HOLDS: "good", Verdict.DOES_NOT_HOLD: "bad", Verdict.UNDECIDED: "dim"}


def claims_sheet(judged: Sequence[Judged], title: str = "claims") -> Sheet:
    """Claims with what was measured and the verdict, in any format."""
    columns = [Column((name,)) for name in ("claim", "read at", "measured", "effect [95 %]")]
    columns += [Column(("p",), "right"), Column(("n",), "right"), Column(("verdict",))]
    rows, records, before = [], [], ""
    for item in judged:
        claim = item.claim
        same = claim.text == before
        before = claim.text
        seeds = [c.seeds for c in item.comparisons]
        rows.append(
            [
                Text("" if same else claim.text, detail="" if same else f"{claim.source}, {claim.certainty}"),
                Text(READINGS.get(claim.at, f"equal {claim.at}"), detail=_budget(item)),
                Text("\n".join(_values(claim, c) for c in item.comparisons) or item.reason),
                Text("\n".join(effect(claim, c) for c in item.comparisons)),
                Text("" if math.isnan(item.p_holm) else p_value(item.p_holm).removeprefix("p ")),
                Text(str(min(seeds)) if seeds else "" if claim.at == "method" else "0"),
                Text(item.verdict, item.verdict is not Verdict.UNDECIDED, _lost(item), TONES[item.verdict]),
            ]
        )
        records += [_record(item, c) for c in item.comparisons] or [_record(item, None)]
    notes = [
        "rule: one difference a seed, paired t-test, two-sided, Holm over the claims of one reading; "
        f"a verdict needs p < {ALPHA}, against every rival it names"
    ]
    margins = sorted({item.claim.margin for item in judged})
    notes.append(f"margin: {', '.join(f'{margin:g}' for margin in margins)}" if margins != [0.0] else "margin: none")
    return Sheet(title, columns, rows, notes, records, "no claims")


def effect(claim: Claim, comparison: Comparison) -> str:
    """The difference with its interval: a factor where the metric is logarithmic, else in its unit."""
    test = comparison.test
    if test is None:
        return ""
    sign = 1.0 if claim.metric.quantity.better == "up" else -1.0
    ends = sorted((sign * test.low, sign * test.high))
    if claim.metric.quantity.log:
        middle, low, high = (math.exp(min(x, 700)) for x in (sign * test.difference, *ends))
        return f"× {middle:.3g} [{low:.3g}, {high:.3g}]"
    scale = claim.metric.quantity.scale
    middle, low, high = scale * sign * test.difference, scale * ends[0], scale * ends[1]
    places = decimals((high - low) / 4, middle)
    return f"{middle:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}]"


def _values(claim: Claim, comparison: Comparison) -> str:
    scale = claim.metric.quantity.scale
    ours, theirs = scale * comparison.ours, scale * comparison.theirs
    shown = [number(value, decimals(math.nan, value)) for value in (ours, theirs)]
    return f"{claim.better.label} {shown[0]}, {comparison.rival.label} {shown[1]}"


def _budget(item: Judged) -> str:
    if math.isnan(item.budget):
        return ""
    unit = "s" if item.claim.at == "seconds" else item.claim.at
    return f"{item.budget:,.4g} {unit}" if item.budget < 1000 else f"{item.budget:,.0f} {unit}"


def _lost(item: Judged) -> str:
    dropped = max((c.dropped for c in item.comparisons), default=0)
    parts = [f"{count(sum(item.lost.values()), 'run')} not done"] if item.lost else []
    if dropped:
        parts.append(f"{count(dropped, 'seed')} left out")
    return f"† {', '.join(parts)}" if parts else ""


def _record(item: Judged, comparison: Comparison | None) -> dict[str, Any]:
    claim, test = item.claim, comparison.test if comparison else None
    return {
        "claim": claim.text,
        "source": claim.source,
        "certainty": claim.certainty,
        "metric": str(claim.metric),
        "at": claim.at or "",
        "budget": item.budget,
        "better": claim.better.label,
        "rival": comparison.rival.label if comparison else listing([side.label for side in claim.rivals]),
        "n": comparison.seeds if comparison else 0,
        "value_better": comparison.ours if comparison else math.nan,
        "value_rival": comparison.theirs if comparison else math.nan,
        "log_scale": claim.metric.quantity.log,
        "advantage": test.difference if test else math.nan,
        "ci_low": test.low if test else math.nan,
        "ci_high": test.high if test else math.nan,
        "margin": claim.margin,
        "p_holm": item.p_holm,
        "verdict": item.verdict.value,
        "reason": item.reason,
    }
