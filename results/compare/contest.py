"""Contenders compared with each other, each at values that tuning runs chose: what `batchlab compare` asks.

Runs have the labels `contender` and, where values are chosen, `tuning`: of seeds that are judged in nothing, by a
validation metric. Every pair is a claim of one family, decided in looks (`decide`). Contenders whose pairs are not told
apart share a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from batchlab.results.compare.choice import Tuning, judged
from batchlab.results.compare.claims import Claim, Judged, Side, Verdict
from batchlab.results.compare.decide import Plan, decide
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import LOST_STATES
from batchlab.results.compare.ranking import Ranking
from batchlab.results.compare.tuning import tuned
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

LABEL = "contender"
OTHER = {Verdict.HOLDS: Verdict.DOES_NOT_HOLD, Verdict.DOES_NOT_HOLD: Verdict.HOLDS}
"""Of a pair, what is decided once it is looked at from the other side."""
TIES = Metric("validation_loss")
"""Chooses between values of equal validation accuracy, which is a whole number of examples and often equal."""


@dataclass(frozen=True)
class Contest:
    """What is asked: who is compared, in what, and what was tuned.

    Attributes:
        contenders: Their names, in the order of the request.
        metric: What is judged, at the end of a run or as it says.
        keys: Configuration keys that were tuned; empty: none.
        chooser: The metric that chooses their values, better by its direction; empty without keys.
    """

    contenders: tuple[str, ...]
    metric: str
    keys: tuple[str, ...] = ()
    chooser: str = ""

    def record(self) -> dict[str, Any]:
        """As it is kept beside the sweep."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Contest:
        """The contest that was kept."""
        return cls(tuple(record["contenders"]), record["metric"], tuple(record["keys"]), record["chooser"])

    def measure(self, frame: Frame) -> list[Judged]:
        """Every pair as a claim: that the first is better than the second.

        Args:
            frame: Runs with the labels of this module, in any state.
        """
        metric = Metric.parse(self.metric)
        claims = [
            Claim(f"{a} beats {b}", "asked", "ours", Side(a, {LABEL: a}), (Side(b, {LABEL: b}),), metric, pair=True)
            for a, b in combinations(self.contenders, 2)
        ]
        choice = self.choice(frame)
        return judge(judged(frame) if choice is None else choice.frame, claims)

    def choice(self, frame: Frame) -> Tuning | None:
        """The values that the tuning runs chose; None where nothing was tuned."""
        if not self.keys:
            return None
        chooser = Metric.parse(self.chooser)
        ties = TIES if chooser.name == "validation_accuracy" else None
        return tuned(frame, chooser, ",".join(self.keys), [LABEL], ties)


@dataclass(frozen=True)
class Result(Ranking):
    """How a contest stands.

    Attributes:
        contest: What was asked.
        plan: What was declared.
        frame: All its runs.
    """

    contest: Contest
    plan: Plan
    frame: Frame

    @cached_property
    def judged(self) -> list[Judged]:
        """Every pair's standing."""
        return decide(self.frame, self.contest.measure, self.plan)

    @cached_property
    def choice(self) -> Tuning | None:
        """What the tuning runs chose; None where nothing was tuned."""
        return self.contest.choice(self.frame)

    @cached_property
    def best(self) -> Frame:
        """The judged runs at their chosen values."""
        return judged(self.frame) if self.choice is None else self.choice.frame

    @cached_property
    def metric(self) -> Metric:
        """What is judged, with what the runs declare of it."""
        return Metric.parse(self.contest.metric).of(self.frame)

    @property
    def unmeasured(self) -> bool:
        """Whether judged runs are done, and none of them has recorded what is judged."""
        return self.done > 0 and self.metric.name not in self.best.names

    @property
    def done(self) -> int:
        """Judged runs that are done."""
        return sum(run.state is State.DONE for run in self.best.runs)

    def values(self, contender: str, metric: Metric) -> list[float]:
        """A metric over the seeds of a contender; runs that gave no number are left out."""
        return list(self.by_seed(contender, metric).values())

    @property
    def budgets(self) -> dict[str, float]:
        """By contender its budget in epochs, where they are not the same; empty where they are."""
        found: dict[str, float] = {}
        for run in self.best.runs:
            samples, epochs = run.value("train.samples"), run.value("train.epochs")
            if samples in (None, MISSING) and isinstance(epochs, (int, float)):
                found.setdefault(str(run.value(LABEL)), float(epochs))
        return found if len(set(found.values())) > 1 else {}

    def lost(self, contender: str) -> int:
        """Judged runs of a contender that diverged or failed."""
        return sum(run.state in LOST_STATES for run in self.best.where(**{LABEL: contender}).runs)

    @property
    def names(self) -> Sequence[str]:
        """The contenders, in the order of the request."""
        return self.contest.contenders

    @property
    def pairs(self) -> Sequence[Judged]:
        """Every pair's standing."""
        return self.judged

    def place(self, name: str) -> tuple[bool, bool, float]:
        """By the mean over the seeds that all have; who lost most runs, and then who has no number, comes last."""
        sign = -1.0 if self.metric.quantity.better == "up" else 1.0
        own, *others = (self.by_seed(one, self.metric) for one in (name, *self.contest.contenders))
        shared = set.intersection(*(set(other) or set(own) for other in others))
        values = [own[seed] for seed in own if seed in shared] or list(own.values())
        mean = sign * float(np.mean(values)) if values else math.inf
        return not values, self.lost(name) >= len(own), mean

    def by_seed(self, contender: str, metric: Metric) -> dict[Any, float]:
        """A metric by the seeds of a contender that gave a number."""
        part = self.best.where(**{LABEL: contender}).select(lambda run: run.state is State.DONE)
        if metric.name not in part.names or not part.runs:
            return {}
        values = metric.measure(part).values
        return {run.value("seed"): float(v) for run, v in zip(part.runs, values, strict=True) if math.isfinite(v)}

    @cached_property
    def reached(self) -> float | None:
        """The level that every judged run came to, in the metric's own unit: what cost is compared at.

        None where there is no number, or the metric is not one of a run's last row.
        """
        if self.metric.reduce != "last":
            return None
        every = [value for name in self.contest.contenders for value in self.values(name, self.metric)]
        up = self.metric.quantity.better == "up"
        return (min(every) if up else max(every)) if every else None


def turned(item: Judged) -> Judged:
    """The same comparison of a pair from the other side, with the verdict that is of it there."""
    comparison = item.comparisons[0]
    test = comparison.test
    if test is not None:
        test = replace(test, difference=-test.difference, low=-test.high, high=-test.low, t=-test.t)
    rival = item.claim.better
    claim = replace(item.claim, better=item.claim.rivals[0], rivals=(rival,))
    other = replace(comparison, rival=rival, outcomes=comparison.of_rival, of_rival=comparison.outcomes, test=test)
    verdict = OTHER.get(item.verdict, item.verdict)
    return replace(item, claim=claim, comparisons=[other], verdict=verdict)


def result_of(store: RunStore, sweep: str) -> Result | None:
    """How a contest stands; None for a sweep that is none.

    Raises:
        ValueError: For a sweep that is not there, or a damaged plan.
    """
    declared = store.plan(sweep)
    if declared is None or "contest" not in declared:
        return None
    try:
        contest = Contest.of(declared["contest"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"the plan of {sweep} is damaged: delete it to declare another, and say so") from error
    return Result(contest, Plan.of(declared), load(store, sweep))
