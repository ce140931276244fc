"""At which budgets the contenders of `crossing` are read, and what is asked of them there.

A reading is the mean test accuracy over the problems when a budget is spent: all the samples of a run, a tenth of them,
or as many steps, or as much time, as every run of a problem has. At each all pairs of contenders (an optimizer with a
batch schedule), of optimizers over all batch schedules and of batch schedules over all optimizers are compared, each a
family of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from batchlab.results.compare.caveats import contended, together_note
from batchlab.results.compare.claims import Claim, Judged, Side, Verdict
from batchlab.results.compare.derived import numbers
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget
from batchlab.results.compare.outcomes import LOST_STATES
from batchlab.results.compare.ranking import Ranking
from batchlab.results.store.run import State

ACCURACY = Metric("test_accuracy")
KINDS = {"contender": ("problem",), "optimizer": ("problem", "batches"), "batches": ("problem", "optimizer")}
"""What is compared, and over what it is averaged, seed by seed."""
PLURALS = {"contender": "contenders", "optimizer": "optimizers", "batches": "batch schedules"}


@dataclass(frozen=True)
class Reading:
    """A budget.

    Attributes:
        name: What is spent then, as the head of a column.
        words: The same in a sentence.
        clock: Of `CLOCKS`.
        share: Of a run's samples; None: as much of the clock as every run of the problem has.
        kinds: What is compared at it.
    """

    name: str
    words: str
    clock: str
    share: float | None = None
    kinds: tuple[str, ...] = tuple(KINDS)


READINGS = (
    Reading("all samples", "all the samples", "samples", 1.0),
    Reading("a tenth of them", "a tenth of the samples", "samples", 0.1),
    Reading("equal steps", "as few steps as the largest batches take", "steps", kinds=("optimizer", "batches")),
    Reading("equal time", "as little time as the quickest take", "seconds", kinds=("optimizer", "batches")),
)


@dataclass(frozen=True)
class Standing(Ranking):
    """Contenders of one kind at one budget.

    Attributes:
        kind: Of `KINDS`.
        reading: The budget.
        frame: A run of one row for each judged run: its accuracy when the budget is spent, labelled with all `KINDS`.
        judged: The claims about pairs, of this standing and of others.
    """

    kind: str
    reading: Reading
    frame: Frame
    judged: Sequence[Judged] = field(default=(), repr=False)

    @property
    def group(self) -> str:
        """What its family of claims is called."""
        return f"{PLURALS[self.kind]}, {self.reading.name}"

    @cached_property
    def names(self) -> list[str]:
        """The contenders, in the recipe's order."""
        return list(dict.fromkeys(str(run.value(self.kind)) for run in self.frame.runs))

    @cached_property
    def pairs(self) -> list[Judged]:
        """Every pair's standing."""
        return [item for item in self.judged if item.group == self.group]

    def claims(self) -> list[Judged]:
        """Every pair as a claim, judged: that the first is better than the second."""
        asked = [
            Claim(
                f"{a} beats {b}", "our own comparison", "ours",
                Side(a, {self.kind: a}), (Side(b, {self.kind: b}),), ACCURACY, match=KINDS[self.kind],
                side=f"with {self.reading.words}",
            )
            for a, b in combinations(self.names, 2)
        ]  # fmt: skip
        made = judge(self.frame, asked, self.group)
        if self.reading.clock != "seconds" or not (reasons := untimely(self.frame.runs)):
            return made
        reason = "; ".join(reasons)
        return [
            replace(item, p=math.nan, p_holm=math.nan, verdict=Verdict.UNDECIDED, needed=None, reason=reason)
            for item in made
        ]

    @cached_property
    def _by_seed(self) -> dict[str, dict[Any, float]]:
        """By contender and seed the mean over all that it is averaged over; of seeds that have all of it."""
        found: dict[str, dict[Any, dict[tuple[Any, ...], float]]] = {name: {} for name in self.names}
        known = ACCURACY.name in self.frame.names
        values = ACCURACY.measure(self.frame).values if known else np.full(len(self.frame.runs), np.nan)
        places: dict[str, set[tuple[Any, ...]]] = {name: set() for name in self.names}
        for run, value in zip(self.frame.runs, values, strict=True):
            name, place = str(run.value(self.kind)), tuple(map(run.value, KINDS[self.kind]))
            places[name].add(place)
            if run.state is State.DONE and math.isfinite(value):
                found[name].setdefault(run.value("seed"), {})[place] = float(value)
        return {
            name: {
                seed: float(np.mean(list(own.values()))) for seed, own in seeds.items() if len(own) == len(places[name])
            }
            for name, seeds in found.items()
        }

    def values(self, name: str) -> list[float]:
        """The mean accuracy of a contender at each of its seeds that are whole."""
        return list(self._by_seed[name].values())

    def lost(self, name: str) -> int:
        """Judged runs of a contender that diverged or failed."""
        return sum(run.state in LOST_STATES for run in self.frame.where(**{self.kind: name}).runs)

    def place(self, name: str) -> tuple[bool, float]:
        """By the mean over the seeds that all have; who has none comes last."""
        whole = [set(own) for own in self._by_seed.values() if own]
        seeds = set.intersection(*whole) if whole else set()
        own = self._by_seed[name]
        values = [own[seed] for seed in own if seed in seeds] or list(own.values())
        return not values, -float(np.mean(values)) if values else math.inf


def untimely(runs: Sequence[RunRow]) -> list[str]:
    """Why nothing can be said of the times of these runs; nothing where something can."""
    busy = contended(runs)
    said = [f"measured on a busy machine (wall over processor time up to {busy:.1f})"] if busy else []
    return [*together_note(runs), *said]


def standings(best: Frame) -> list[Standing]:
    """Everything that is compared.

    Args:
        best: The judged runs, each at its chosen learning rate, as of `crossing.labelled`.
    """
    read = {reading: _read(best, reading) for reading in READINGS}
    return [Standing(kind, reading, read[reading]) for reading in READINGS for kind in reading.kinds]


def _read(best: Frame, reading: Reading) -> Frame:
    """The accuracy of each run when the budget is spent."""

    def entries() -> Iterator[tuple[RunRow, dict[str, Any], dict[str, float]]]:
        for problem in best.values("problem") if best.runs else ():
            part = best.where(problem=problem)
            metric = _at(part, reading)
            known = {metric.name, CLOCKS[reading.clock]} <= part.names
            values = metric.measure(part).values if known else np.full(len(part.runs), np.nan)
            for run, value in zip(part.runs, values, strict=True):
                labels = {key: run.value(key) for key in ("problem", *KINDS)}
                yield run, labels, {ACCURACY.name: float(value)} if math.isfinite(value) else {}

    return numbers(entries())


def _at(part: Frame, reading: Reading) -> Metric:
    """The accuracy at the budget of one problem."""
    if reading.share == 1.0 or CLOCKS[reading.clock] not in part.names:
        return ACCURACY
    limit = (reading.share or 1.0) * common_budget([part], reading.clock)
    return Metric(ACCURACY.name, budget=reading.clock, limit=limit)
