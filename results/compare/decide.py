"""Claims that are decided by as few seeds as it takes: looks declared before the first run, and one rule for them.

At each look the claims are measured on the first so many seeds of the plan, by the rule of `judge`. A claim's p then
has to fall below the level of that look and of its share of the family, so that over all looks and all claims of a
family together at most 5 % of true nulls are ever rejected (`sequential`). With a smallest effect of interest a claim
without a margin can also end as `no difference`: two one-sided tests (Schuirmann, 1987) reject a difference of that
size on either side, with an error of 5 % over looks and family that is counted by itself. The verdict of a claim is
that of the first look at which it is decided, and later runs do not change it. So a page can be made again from the
runs and the plan alone, whoever stopped it and whenever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batchlab.results.compare.caveats import SOURCES
from batchlab.results.compare.claims import Claim, Comparison, Judged, Ruled, Verdict
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.outcomes import LOST_STATES, compare_outcomes
from batchlab.results.compare.outlook import outlook
from batchlab.results.compare.sequential import Looks, Ruling, holm_over_looks
from batchlab.results.compare.smallest import Smallest
from batchlab.results.store.run import State

Measure = Callable[[Frame], Sequence[Judged]]
"""Judges every claim of a page on a frame, by the rule of `judge`; the same claims in the same order at every look."""


@dataclass(frozen=True)
class Plan:
    """What is declared before the first look.

    Attributes:
        looks: Seeds at each look, and how alpha is spent.
        seeds: The seeds that are judged, as many as the last look has, in the order in which they are added.
        smallest: The smallest effects of interest; what lies within them is no difference.
        declared: When.
        seen: Judged runs that were done already then: who had seen them could choose a plan by them.
    """

    looks: Looks
    seeds: tuple[int, ...]
    smallest: Smallest = field(default_factory=Smallest)
    declared: str = ""
    seen: int = 0

    def record(self) -> dict[str, Any]:
        """As it is written beside the sweep."""
        looks = self.looks
        return {
            "declared": self.declared,
            "looks": list(looks.seeds),
            "alpha": looks.alpha,
            "spending": looks.spending,
            "exponent": looks.exponent,
            "seeds": list(self.seeds),
            "smallest": self.smallest.texts(),
            "seen": self.seen,
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> Plan:
        """The plan that was written.

        Raises:
            ValueError: A record that is none.
        """
        try:
            looks = Looks(tuple(record["looks"]), record["alpha"], record["spending"], record["exponent"])
            seeds = tuple(record["seeds"])
            smallest = Smallest.parse(record["smallest"])
            return cls(looks, seeds, smallest, record["declared"], record["seen"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the plan of looks is damaged ({error!r})") from error

    def at(self, frame: Frame, look: int) -> Frame:
        """What may be seen at a look: its seeds, and the runs that tune."""
        seeds = set(self.seeds[: self.looks.seeds[look]])
        return frame.select(lambda run: run.value("tuning") is True or run.value("seed") in seeds)


def decide(frame: Frame, measure: Measure, plan: Plan) -> list[Judged]:
    """The verdicts on all claims, each of the look that it fell at.

    Args:
        frame: All runs there are and, where seeds are still to be bought, those that could be (state pending).
        measure: Judges the claims on a part of the frame.
        plan: What was declared.

    Returns:
        The claims in their order, each measured on the seeds of its look, with `Judged.ruling`. A claim without seeds
        (a property of the methods) is left as it is.
    """
    seen: list[list[Judged]] = []
    reached: list[int] = []
    for look, n in enumerate(plan.looks.seeds):
        if look > max(reached, default=look):
            break  # nobody came to the look before
        seen.append(list(measure(plan.at(frame, look))))
        reached = reached or [0] * len(seen[0])
        for i, judged in enumerate(seen[look]):
            reached[i] += reached[i] == look and _over(judged, plan.seeds[:n])
    made = list(seen[0])
    for group in dict.fromkeys(judged.group for judged in made):
        family = [i for i, judged in enumerate(made) if judged.group == group and judged.runs]
        if family:
            for i, judged in _rule(family, seen, reached, plan).items():
                made[i] = judged
    return made


def _rule(family: list[int], seen: list[list[Judged]], reached: list[int], plan: Plan) -> dict[int, Judged]:
    """The verdicts of one family."""
    differ = {i: [seen[look][i].p for look in range(reached[i])] for i in family}
    equal = {i: [equivalence(seen[look][i], plan.smallest) for look in range(reached[i])] for i in family}
    wider = replace(plan.looks, alpha=2 * plan.looks.alpha)  # one side of two: each keeps alpha
    fell: dict[int, tuple[int, Ruling, Ruling]] = {}  # the look of each claim, and what was said of it then
    ended: set[int] = set()
    for look in range(-1, len(seen)):
        apart, alike = _until(look, plan.looks, differ), _until(look, wider, equal)
        for i in family:
            if i in ended or look >= reached[i]:
                continue
            fell[i] = look, apart[i], alike[i]
            if apart[i].rejected or alike[i].rejected:  # followed no further, whatever was trained since for others
                ended.add(i)
                differ[i], equal[i] = differ[i][: look + 1], equal[i][: look + 1]
    made = {}
    for i, (look, differs, same) in fell.items():
        made[i] = _ruled(seen[max(look, 0)][i], look, differs, same, len(family), plan)
        ruling = made[i].ruling
        if ruling and ruling.open and look + 1 < len(seen):
            made[i] = replace(made[i], ruling=replace(ruling, missing=_unfinished(seen[look + 1][i].runs)))
    return made


def _until(look: int, looks: Looks, p: dict[int, list[float]]) -> dict[int, Ruling]:
    """What the family's procedure said at a look."""
    return holm_over_looks(looks, {i: own[: look + 1] for i, own in p.items()})


def _ruled(judged: Judged, look: int, apart: Ruling, alike: Ruling, family: int, plan: Plan) -> Judged:
    said = plan.smallest.text(judged.claim)
    ruled = Ruled(look if look >= 0 else None, plan.looks.seeds, said, alike.adjusted / 2)
    level = plan.looks.levels(plan.looks.alpha / family)[max(look, 0)] if math.isnan(apart.level) else apart.level
    judged = replace(judged, p_holm=apart.adjusted, family=family, level=level, verdict=Verdict.UNDECIDED)
    if apart.rejected and apart.look == look:
        return replace(judged.decided(apart.adjusted), ruling=replace(ruled, open=False))
    if alike.rejected:
        alone = replace(ruled, open=False)  # its interval is the one that lies within the smallest effect
        return replace(judged, verdict=Verdict.NO_DIFFERENCE, level=alike.level, ruling=alone)
    testable = look < 0 or judged.tested
    goes_on = testable and look + 1 < len(plan.looks.seeds)
    seeds, minutes = outlook(judged, plan.smallest.of(judged.claim)) if look >= 0 else (None, math.nan)
    if seeds is not None:
        seeds, minutes = _at_a_look(plan.looks.seeds, look, judged.seeds, seeds, minutes)
    return replace(judged, needed=seeds, minutes=minutes, ruling=replace(ruled, open=goes_on))


def _at_a_look(looks: Sequence[int], look: int, pairs: int, needed: int, minutes: float) -> tuple[int, float]:
    """The seeds of the first look that has as many pairs as are needed, and the minutes until then.

    Nothing is decided between two looks. Seeds that are left out so far stay left out. Beyond the last look it stays
    what it is: the plan has no such look.
    """
    there = looks[look]
    found = next((seeds for seeds in looks[look + 1 :] if seeds - (there - pairs) >= needed), None)
    return (needed, minutes) if found is None else (found, (found - there) * minutes / (needed - pairs))


def _over(judged: Judged, seeds: Sequence[int]) -> bool:
    """Whether every run is over, and each side has one of each of the seeds: then the look at these seeds has come."""
    if _unfinished(judged.runs):
        return False
    for side in (judged.claim.better, *judged.claim.rivals):
        own = {run.value("seed") for run in judged.runs if run.fits(side.where)}
        if side.value is None and not own.issuperset(seeds):
            return False
    return True


def equivalence(judged: Judged, smallest: Smallest) -> float:
    """Twice the p-value of "they differ by the smallest effect of interest or more": of two one-sided tests.

    Against several rivals the least one, times how many: whoever is no different from one of them does not beat them
    all. NaN where the claim has no smallest effect, has a margin of its own, or was not tested.
    """
    size = smallest.of(judged.claim)
    if size is None or not judged.tested:
        return math.nan
    found = [_twice_larger(judged.claim, comparison, size) for comparison in judged.comparisons]
    return min(1.0, len(found) * min(found))


def _twice_larger(claim: Claim, comparison: Comparison, size: float) -> float:
    sides, metric = (comparison.outcomes, comparison.of_rival), claim.metric
    up, smooth = metric.quantity.better == "up", metric.continuous
    larger = []
    for edge in (size, -size):
        test = compare_outcomes(*sides, up=up, log=comparison.log, hypothesis=edge, continuous=smooth)
        assert test is not None
        inside = test.difference < edge if edge > 0 else test.difference > edge
        larger.append(test.p if inside else 2 - test.p)
    return max(larger)


def behind(runs: Sequence[RunRow]) -> frozenset[str]:
    """The identities of the runs behind these rows: a row may be part of a run, or made of several."""
    return frozenset(name for run in runs for name in (run.run_id.split()[0], *run.info.get(SOURCES, [])))


def _unfinished(runs: Sequence[RunRow]) -> frozenset[str]:
    return behind([run for run in runs if run.state not in (State.DONE, *LOST_STATES)])
