"""What a paper claims, and what was measured of it. `judge` has the rule that turns the one into a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Outcome, restricted_mean
from batchlab.results.compare.replicates import Key
from batchlab.results.compare.stats import ALPHA, Test


class Verdict(StrEnum):
    """What the measurements say of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NO_DIFFERENCE = "no difference"
    """Beyond the smallest effect of interest; only a comparison in looks comes to it, see `decide`."""
    UNDECIDED = "not decided"


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
        side: What tells it from claims with the same text: `norm 0.25`, `at the same lr`.
        pair: Whether nobody claims anything: which of two contenders is better, if one is, in the order of the request.
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
    side: str = ""
    pair: bool = False

    @property
    def title(self) -> str:
        """What it says, and of which side where that is not plain: no other claim at its reading is called so."""
        return f"{self.text}, {self.side}" if self.side else self.text

    @property
    def distance(self) -> bool:
        """Whether it is about how far apart two sides are, not about which is better."""
        return self.within or self.apart

    @property
    def edge(self) -> float:
        """The margin on the scale of the comparison."""
        return math.log1p(self.margin) if self.metric.quantity.log else self.margin


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
class Ruled:
    """How a comparison in looks came to its verdict.

    Attributes:
        look: Place of the look that the verdict fell at, or of the last one that was reached; None before the first.
        looks: Seeds at each look.
        smallest: The smallest effect of interest, as text (`0.5 points`); empty where none was declared.
        p_equal: Corrected p of "they differ by as much"; NaN where it was not tested.
        open: Whether more seeds can still decide it.
        missing: Identities of the runs that its next look still needs, as far as they are in the frame.
    """

    look: int | None
    looks: tuple[int, ...]
    smallest: str = ""
    p_equal: float = math.nan
    open: bool = True
    missing: frozenset[str] = frozenset()


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
        group: Which family that is: claims of the same reading that were judged together.
        level: What a p, before the correction, had to fall below; intervals are of 1 - level.
        parts: What BatchNorm saw of which batches, see `batchnorm_parts`.
        runs: What was compared, in any state.
        needed: Seeds that would decide it, see `outlook`; None: decided, or not known.
        minutes: What those that are missing would take here; NaN where that is not known.
        ruling: Of a comparison in looks, how it came to its verdict, see `decide`.
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
    group: str = ""
    level: float = ALPHA
    parts: dict[int, int] = field(default_factory=dict)
    runs: tuple[RunRow, ...] = field(default=(), repr=False)
    needed: int | None = None
    minutes: float = math.nan
    ruling: Ruled | None = None

    @property
    def resting_on(self) -> Comparison | None:
        """The comparison that the verdict rests on: effect, p and n of a claim are all of this one.

        Where one could not be tested that is why there is none, so that it rests on this. None without any.
        """
        untested = [comparison for comparison in self.comparisons if comparison.test is None]
        if untested or not self.comparisons:
            return min(untested, key=lambda comparison: comparison.seeds, default=None)
        return deciding(self.claim, self.comparisons)[0]

    @property
    def seeds(self) -> int:
        """How many were compared, of the comparison that the verdict rests on."""
        return self.resting_on.seeds if self.resting_on else 0

    @property
    def tested(self) -> bool:
        """Whether it has a p-value."""
        return not math.isnan(self.p)

    def decided(self, p: float) -> Judged:
        """The same with this corrected p, and the verdict that the side of the difference gives."""
        verdict = Verdict.HOLDS if _points_to(self) else Verdict.DOES_NOT_HOLD
        return replace(self, p_holm=p, verdict=verdict)


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


def _supports(claim: Claim, test: Test) -> bool:
    edge = claim.edge
    if claim.apart:
        return abs(test.difference) > edge
    return abs(test.difference) <= edge if claim.within else test.difference > edge


def _points_to(judged: Judged) -> bool:
    support = [_supports(judged.claim, c.test) for c in judged.comparisons if c.test]
    return any(support) if judged.claim.apart else all(support)


def observed(claim: Claim, holds: bool | None, reason: str) -> Judged:
    """The verdict on a claim that has no seeds: a property of the methods themselves.

    Args:
        claim: What is claimed.
        holds: Whether it does; None: nothing was measured.
        reason: What was seen, in words.
    """
    verdict = Verdict.UNDECIDED if holds is None else Verdict.HOLDS if holds else Verdict.DOES_NOT_HOLD
    return Judged(claim, [], math.nan, math.nan, verdict, reason)
