"""Contenders on several problems: what came of each seed, and summaries over all of them.

A problem is a combination of values (a model with a data set); n counts seeds within it. Runs that were lost and
targets that were never reached are outcomes, worse than any number, as everywhere (`outcomes`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from batchlab.results.compare.claims import Claim, Judged, Side
from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import CLOCKS, Metric
from batchlab.results.compare.outcomes import Fate, Outcome, by_seed, of_run
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.ranking import Ranking
from batchlab.results.compare.replicates import mixed_keys
from batchlab.results.compare.stats import (
    Array,
    bootstrap_interval,
    improvement,
    interquartile_mean,
    performance_profile,
)

PROBLEMS = ("model", "dataset")
"""What makes a problem, where nobody says."""
NEVER = -1e300
"""A target never reached, where more is better: worse than any number, better than a run that was lost."""
Instance = tuple[str, Any]
"""A problem at a seed."""


@dataclass(frozen=True)
class Field:
    """Contenders on problems.

    Attributes:
        frame: The runs that are judged, in any state.
        metric: What is better in them, by its direction.
        hue: What makes a contender: an axis, label or key, or several with commas between.
        axes: What makes a problem; empty: all runs are of one.
    """

    frame: Frame
    metric: Metric
    hue: str
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", self.metric.of(self.frame))
        if self.metric.quantity.better is None:
            raise ValueError(f"{self.metric} is neither better up nor down: name a --metric that is")

    @cached_property
    def contenders(self) -> list[str]:
        """Their names."""
        return [str(value) for value in self.frame.values(self.hue)]

    @cached_property
    def problems(self) -> list[str]:
        """Their names; of one that nothing tells apart an empty one."""
        return [str(value) for value in self.frame.values(",".join(self.axes))] if self.axes else [""]

    @cached_property
    def members(self) -> dict[tuple[str, str], list[tuple[int, RunRow]]]:
        """By contender and problem the runs with their places in the frame."""
        found: dict[tuple[str, str], list[tuple[int, RunRow]]] = {}
        for i, run in enumerate(self.frame.runs):
            contender, problem = run.value(self.hue), run.value(",".join(self.axes)) if self.axes else ""
            if MISSING not in (contender, problem):
                found.setdefault((str(contender), str(problem)), []).append((i, run))
        return found

    @property
    def groups(self) -> list[list[RunRow]]:
        """The runs of each contender on each problem."""
        return [[run for _, run in own] for own in self.members.values()]

    @property
    def up(self) -> bool:
        """Whether more is better."""
        return self.metric.quantity.better == "up"

    @cached_property
    def outcomes(self) -> dict[str, dict[str, dict[Any, Outcome]]]:
        """By contender, problem and seed what came of it; runs that are not over are left out."""
        log, measured = self.metric.quantity.log, self.metric.measure(self.frame)
        mixed = mixed_keys(self.groups)
        found: dict[str, dict[str, dict[Any, Outcome]]] = {name: {} for name in self.contenders}
        for (name, problem), runs in self.members.items():
            own = by_seed([(run, of_run(run, i, measured, log=log)) for i, run in runs], mixed, log=log)
            if own:
                found[name][problem] = own
        return found

    @cached_property
    def shared(self) -> list[str]:
        """The problems on which every contender has an outcome: summaries are over these alone."""
        return [p for p in self.problems if all(p in own for own in self.outcomes.values())]

    def check(self, *, seeds: int = 1) -> None:
        """See that there is something to compare.

        Args:
            seeds: So many of each contender and problem it takes.

        Raises:
            ValueError: There is not, with what is missing.
        """
        if len(self.contenders) < 2:
            raise ValueError(f"there is one {self.hue}: compare at least 2 (--hue AXIS chooses what is compared)")
        if not self.shared:
            over = f" on any {', '.join(self.axes)}" if self.axes else ""
            raise ValueError(
                f"no run of some {self.hue} is over{over}, so that nothing is compared: see `batchlab status`, or use "
                "--where and --problems"
            )
        fewest = min(len(own[p]) for own in self.outcomes.values() for p in self.shared)
        if fewest < seeds:
            raise ValueError(f"some {self.hue} has n {fewest}: this takes at least {seeds} seeds; run more")

    @property
    def sizes(self) -> list[int]:
        """How many seeds the contenders have on the problems, each number once, ascending."""
        return sorted({len(own[p]) for own in self.outcomes.values() for p in self.shared})

    @cached_property
    def ratio(self) -> bool:
        """Whether distances are ratios: of quantities above 0 that are no shares."""
        values = np.array([o.value for own in self.outcomes.values() for p in self.shared for o in own[p].values()])
        known = values[np.isfinite(values)]
        least, _ = bounds(self.metric.name, self.metric.quantity, known)
        return bool(not self.metric.quantity.share and least == 0 and (known > 0).all())

    @cached_property
    def behind(self) -> dict[str, list[Array]]:
        """By contender how far its runs end behind their problem's best mean: an array for each problem.

        Differences in the unit in which the metric is stored, or logarithms of ratios (`ratio`). A run that was lost
        ends at nothing where the metric is a share, and otherwise infinitely far behind, as does one that never reached
        a target.
        """
        found: dict[str, list[Array]] = {name: [] for name in self.contenders}
        for problem in self.shared:
            scores = {name: self._scores(own[problem]) for name, own in self.outcomes.items()}
            tops = [float(np.mean(own[np.isfinite(own)])) for own in scores.values() if np.isfinite(own).any()]
            if tops:
                for name, own in scores.items():
                    found[name].append(max(tops) - own)
        return found

    def _scores(self, own: dict[Any, Outcome]) -> Array:
        """More is better; on the logarithm for ratios."""
        sign = 1.0 if self.up else -1.0
        lost = 0.0 if self.metric.quantity.share and self.up else -math.inf
        return np.array([
            sign * (math.log(o.value) if self.ratio else o.value) if o.fate is Fate.MEASURED else lost
            for o in own.values()
        ])  # fmt: skip

    @cached_property
    def middles(self) -> dict[str, tuple[float, float, float]]:
        """By contender the interquartile mean of `behind` with its 95 % interval, bootstrapped within problems."""
        return middles(self.behind)

    def improvement(self, a: str, b: str) -> tuple[float, float, float]:
        """The chance that a run of a is better than one of b on the same problem, with its 95 % interval."""
        first, second = ([self._ranked(self.outcomes[name][p]) for p in self.shared] for name in (a, b))
        return improvement(first, second)

    def _ranked(self, own: dict[Any, Outcome]) -> Array:
        sign = 1.0 if self.up else -1.0
        worse = {Fate.NEVER: NEVER, Fate.LOST: -math.inf}
        return np.array([worse.get(o.fate, sign * o.value) for o in own.values()])

    @cached_property
    def chances(self) -> dict[str, float]:
        """By contender the mean chance that a run of it is better than one of another contender."""
        ranked = {name: [self._ranked(own[p]) for p in self.shared] for name, own in self.outcomes.items()}
        return {
            a: float(np.mean([improvement(ranked[a], ranked[b], repetitions=0)[0] for b in ranked if b != a]))
            for a in ranked
        }

    @cached_property
    def heights(self) -> dict[str, float]:
        """By contender the mean over seeds and problems, more is better; what has no number counts as the worst there.

        On the logarithm for ratios.
        """
        found: dict[str, list[float]] = {name: [] for name in self.contenders}
        for problem in self.shared:
            scores = {name: self._scores(own[problem]) for name, own in self.outcomes.items()}
            known = np.concatenate([*scores.values()])
            worst = min(known[np.isfinite(known)], default=0.0)
            for name, own in scores.items():
                found[name].append(float(np.where(np.isfinite(own), own, worst).mean()))
        return {name: float(np.mean(own)) for name, own in found.items()}

    @cached_property
    def instances(self) -> list[Instance]:
        """Problems at seeds where every contender has an outcome, so that all are compared on the same."""
        owns = [*self.outcomes.values()]
        return [(p, seed) for p in self.shared for seed in owns[0][p] if all(seed in own[p] for own in owns)]

    @property
    def cost(self) -> str:
        """What a performance profile is over, in words.

        Raises:
            ValueError: The metric is no cost.
        """
        known = self.metric.quantity
        if known.share and self.up:
            label = self.metric.label
            return label.replace("accuracy", "error") if "accuracy" in label else f"100 % less {label}"
        if self.metric.reduce in CLOCKS or (not self.up and self.ratio):
            return self.metric.label
        raise ValueError(
            f"a performance profile is over a cost, and {self.metric} is none: use --metric "
            "steps_to:test_accuracy>=0.9, a loss, or a share"
        )

    def profile(self, ratios: Array) -> dict[str, Array]:
        """By contender the share of instances with a cost within each ratio of the least (`performance_profile`)."""
        return performance_profile(self.costs, ratios)

    @cached_property
    def costs(self) -> dict[str, list[float]]:
        """By contender the cost at each of `instances`; infinite where there is no end to it."""
        share = self.metric.quantity.share and self.up

        def cost(outcome: Outcome) -> float:
            if outcome.fate is not Fate.MEASURED:
                return math.inf
            return max(1.0 - outcome.value if share else outcome.value, 1e-9)

        return {name: [cost(own[p][seed]) for p, seed in self.instances] for name, own in self.outcomes.items()}

    @cached_property
    def rankings(self) -> dict[str, ProblemRanking]:
        """The order of the contenders on each problem, and with several over all of them (under an empty name)."""
        found = {problem: self._ranking(problem) for problem in self.shared}
        return found | ({"": self._ranking(None)} if len(self.shared) > 1 else {})

    def _ranking(self, problem: str | None) -> ProblemRanking:
        values = {str(value): value for value in self.frame.values(self.hue)}
        axis = ",".join(self.axes)
        wanted = self.shared if problem is None else [problem]
        frame = self.frame.select(lambda run: not axis or str(run.value(axis)) in wanted)
        claims = [
            Claim(
                f"{a} beats {b}", "asked", "ours", Side(a, {self.hue: values[a]}), (Side(b, {self.hue: values[b]}),),
                self.metric, match=() if problem is not None else self.axes, pair=True,
            )
            for a, b in combinations(self.contenders, 2)
        ]  # fmt: skip
        return ProblemRanking(tuple(self.contenders), judge(frame, claims), self.heights)


@dataclass(frozen=True)
class ProblemRanking(Ranking):
    """The order of contenders on a problem, or over all.

    Attributes:
        contenders: Their names.
        judged: Every pair's standing, corrected over the pairs.
        scores: By contender what sorts them where verdicts leave it open: more is better.
    """

    contenders: tuple[str, ...]
    judged: Sequence[Judged]
    scores: dict[str, float]

    @property
    def names(self) -> Sequence[str]:
        """The contenders, in any order."""
        return self.contenders

    @property
    def pairs(self) -> Sequence[Judged]:
        """Every pair's standing."""
        return self.judged

    def place(self, name: str) -> Any:
        """The mean, the best first."""
        return -self.scores[name]


def middles(strata: dict[str, list[Array]]) -> dict[str, tuple[float, float, float]]:
    """By contender the interquartile mean over all runs, and its interval by the bootstrap within problems.

    Args:
        strata: By contender the values of each problem; a contender without any is left out.
    """
    return {name: (interquartile_mean(own), *bootstrap_interval(own)) for name, own in strata.items() if own}


def problem_axes(frame: Frame, hue: str, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The keys that make a problem: those asked for, or model and data set where they vary and are not compared.

    Raises:
        ValueError: For a key that no run has, or that is compared.
    """
    for key in asked:
        frame.values(key)
        if key in hue.split(","):
            raise ValueError(f"--problems {key}: it is what is compared (--hue); a problem is something else")
    varying = (key for key in PROBLEMS if key not in hue.split(",") and len({run.value(key) for run in frame.runs}) > 1)
    return tuple(asked) or tuple(varying)
