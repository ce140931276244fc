"""What it took the contenders of `crossing` to come to each problem's target, by four clocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import CLOCKS, Metric
from batchlab.results.compare.outcomes import LOST_STATES, Fate, Outcome, of_run, restricted_mean
from batchlab.results.compare.problems import Instance, middles
from batchlab.results.compare.stats import Array, performance_profile
from batchlab.results.papers.crossing_readings import ACCURACY, untimely
from batchlab.results.store.run import State

CLOCKED = {"samples": "samples", "steps": "steps", "gradients": "component gradients", "seconds": "time"}
OVER = (State.DONE, *LOST_STATES)
FARTHEST = 4.0
"""The ratio up to which a profile is integrated, as AlgoPerf's is."""


@dataclass(frozen=True)
class Costs:
    """The costs of the judged runs.

    Attributes:
        best: The judged runs, each at its chosen learning rate, as of `crossing.labelled`.
    """

    best: Frame

    @cached_property
    def contenders(self) -> list[str]:
        """In the recipe's order."""
        return list(dict.fromkeys(str(run.value("contender")) for run in self.best.runs))

    @cached_property
    def targets(self) -> dict[str, float]:
        """By problem the test accuracy that is the target, as a share."""
        return {str(run.value("problem")): float(run.value("target")) for run in self.best.runs}

    @cached_property
    def untimely(self) -> list[str]:
        """Why times are not compared; nothing where they are."""
        return untimely(self.best.runs)

    @cached_property
    def clocks(self) -> list[str]:
        """The clocks that the runs have."""
        return [clock for clock in CLOCKED if CLOCKS[clock] in self.best.names]

    @cached_property
    def as_samples(self) -> bool:
        """Whether every run that is over took a component gradient for each sample, and no more."""
        if not {"samples", "gradients"} <= self.best.names:
            return False
        samples, gradients = (self.best.column(name)[0] for name in ("samples", "gradients"))
        return all(np.array_equal(samples[run.rows], gradients[run.rows], equal_nan=True) for run in self.best.runs)

    @cached_property
    def outcomes(self) -> dict[str, dict[str, dict[Instance, Outcome]]]:
        """By clock, contender and instance what came of a run; those that are not over are left out."""
        found: dict[str, dict[str, dict[Instance, Outcome]]] = {
            clock: {name: {} for name in self.contenders} for clock in self.clocks
        }
        for clock in self.clocks:
            for problem, target in self.targets.items():
                part = self.best.where(problem=problem)
                if ACCURACY.name not in part.names:
                    continue
                measured = Metric(ACCURACY.name, clock, ">=", target).measure(part)
                for i, run in enumerate(part.runs):
                    if (outcome := of_run(run, i, measured, log=False)) is not None:
                        found[clock][str(run.value("contender"))][problem, run.value("seed")] = outcome
        return found

    def of(self, clock: str, name: str, problem: str) -> list[Outcome]:
        """What came of a contender's runs on a problem."""
        return [own for (where, _), own in self.outcomes[clock][name].items() if where == problem]

    def mean(self, clock: str, name: str, problem: str) -> float:
        """The geometric mean over seeds; a target never reached counts as the budget, NaN where all runs were lost."""
        return restricted_mean([o for o in self.of(clock, name, problem) if o.value > 0], log=True)

    def reached(self, name: str) -> tuple[int, int]:
        """In how many of how many runs a contender came to the target."""
        own = self.outcomes[self.clocks[0]][name].values() if self.clocks else ()
        return sum(outcome.fate is Fate.MEASURED for outcome in own), len(own)

    @cached_property
    def instances(self) -> list[Instance]:
        """Those at which every contender's run is over, so that all are compared on the same."""
        if not self.clocks or not self.contenders:
            return []
        owns = [self.outcomes[self.clocks[0]][name] for name in self.contenders]
        return [place for place in owns[0] if all(place in own for own in owns)]

    def profile(self, clock: str, ratios: Array) -> Mapping[str, Array]:
        """By contender the share of instances with a cost within each ratio of the least there (`performance_profile`).

        Args:
            clock: Of `clocks`.
            ratios: At least 1 each, of shape (r,).
        """
        table = {
            name: [self._cost(self.outcomes[clock][name][place]) for place in self.instances]
            for name in self.contenders
        }
        return performance_profile(table, ratios) if self.instances else {}

    @staticmethod
    def _cost(outcome: Outcome) -> float:
        return max(outcome.value, 1e-9) if outcome.fate is Fate.MEASURED else math.inf

    def scores(self, clock: str) -> dict[str, float]:
        """By contender the mean height of its profile from 1 to `FARTHEST`: 1 always is the least, 0 never is near."""
        ratios = np.linspace(1.0, FARTHEST, 301)
        return {
            name: float(np.trapezoid(own, ratios) / (FARTHEST - 1)) for name, own in self.profile(clock, ratios).items()
        }

    @cached_property
    def behind(self) -> dict[str, tuple[float, float, float]]:
        """By contender how far its runs end behind their problem's best mean: interquartile mean and 95 % interval.

        In shares of accuracy, over all runs, bootstrapped within problems; a run that was lost ends at nothing.
        """
        if ACCURACY.name not in self.best.names:
            return {}
        found: dict[str, dict[str, list[float]]] = {name: {} for name in self.contenders}
        for run, value in zip(self.best.runs, ACCURACY.measure(self.best).values, strict=True):
            if run.state in OVER:
                good = run.state is State.DONE and math.isfinite(value)
                own = found[str(run.value("contender"))].setdefault(str(run.value("problem")), [])
                own.append(float(value) if good else 0.0)
        tops = {
            problem: max((float(np.mean(own[problem])) for own in found.values() if problem in own), default=math.nan)
            for problem in self.targets
        }
        return middles({name: [tops[p] - np.array(own) for p, own in owns.items()] for name, owns in found.items()})
