"""One rule for choosing a solver's step size, the same for every solver."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from batchlab.optimizers.finite_sum.minimum import minimum
from batchlab.optimizers.finite_sum.problem import LinearProblem
from batchlab.optimizers.finite_sum.result import Record, Result
from batchlab.optimizers.finite_sum.solver import Solver

GRID: tuple[float, ...] = tuple(float(f"{digit}e{power}") for power in range(-2, 3) for digit in (1, 2, 5))
"""The grid {1, 2, 5} x 10^{-2..2}, ascending."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A step size and the run made with it, cut short once it could not win any more.

    Attributes:
        step_size: eta.
        result: of the run.
        reached: the first record at the target; None where the run did not get there.
    """

    step_size: float
    result: Result
    reached: Record | None

    def summary(self) -> dict[str, float | None]:
        """In plain numbers, as JSON takes them.

        Returns:
            `step_size`; `passes` and `gap` at the end, the gap None where it is not finite; `passes_to_gap`, None
            where the target was not reached.
        """
        end = self.result.records[-1]
        return {
            "step_size": self.step_size,
            "passes": end.passes,
            "gap": end.gap if math.isfinite(end.gap) else None,
            "passes_to_gap": self.reached.passes if self.reached else None,
        }

    @property
    def _order(self) -> tuple[float, float, float]:
        last = self.result.records[-1]
        final = last.gap if math.isfinite(last.value) else math.inf
        return (self.reached.passes if self.reached else math.inf, final, self.step_size)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What `tune` found.

    Attributes:
        trials: one for each step size, in the grid's order.
        best: the one that is chosen.
    """

    trials: list[Trial]
    best: Trial


def tune(
    make: Callable[[float], Solver[Any, Any]],
    *,
    optimum: float,
    passes: float,
    gap: float = 1e-8,
    grid: Sequence[float] = GRID,
) -> Tuning:
    """Run a solver with every step size of a grid and choose the best by one rule.

    Best is the step size whose run is first at the target: the fewest passes to P(x) - optimum <= gap, seen at the
    ends of stages. Ties go to the smaller gap there, then to the smaller step size. Where none gets there within
    `passes`, the smallest gap at the end wins (diverged runs last). A trial that has already used more passes than
    the best so far to the target is cut, which changes no choice; nor does the order of the trials, from the middle of
    the grid and ever next to the best so far, which only makes good steps known early.

    Args:
        make: a fresh solver for a step size; keep its seed fixed, so that trials share their draws.
        optimum: P*.
        passes: budget of a trial.
        gap: the target.
        grid: step sizes.

    Returns:
        A trial per step size, and the best of them.

    Raises:
        ValueError: an empty grid.

    >>> from batchlab.optimizers.finite_sum import L2, LinearProblem, SVRG, minimum
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -2.0], loss="squared", regularizer=L2(0.5))
    >>> optimum = minimum(problem).value
    >>> tuning = tune(lambda eta: SVRG(problem, step_size=eta, batch_size=1), optimum=optimum, passes=100)
    >>> tuning.best.reached is not None
    True
    """
    if not grid:
        raise ValueError("the grid of step sizes is empty")
    trials: dict[int, Trial] = {}
    best, budget = len(grid) // 2, passes
    while left := [i for i in range(len(grid)) if i not in trials]:
        i = min(left, key=lambda i: (abs(i - best), -i))  # of two the greater: long steps tend to be soon there
        result = make(grid[i]).solve(passes=budget, gap=gap, optimum=optimum)
        reached = result.records[-1] if result.reason == "gap" else None
        if reached is not None and reached.passes > 0.0:  # 0.0: the start is the solution, and all tie
            budget = reached.passes
        trials[i] = Trial(grid[i], result, reached)
        best = min(trials, key=lambda j: trials[j]._order)
    return Tuning([trials[i] for i in range(len(grid))], trials[best])


@dataclass(frozen=True, slots=True)
class TunedStep:
    """A step size that `tune` chose and what it was chosen from, in plain numbers.

    Attributes:
        step_size: the best.
        optimum: P*.
        seed: of the trials' draws.
        gap: the target of the rule.
        trials: `Trial.summary` of each, in the grid's order.
    """

    step_size: float
    optimum: float
    seed: int
    gap: float
    trials: list[dict[str, float | None]]


def tuned_step(
    make: Callable[[float, int], Solver[Any, Any]],
    *,
    passes: float,
    optimum: float | None = None,
    seed: int = 0,
    gap: float = 1e-8,
    grid: Sequence[float] = GRID,
) -> TunedStep:
    """The step size that `tune` chooses for a solver, whatever seed it will be run with.

    Args:
        make: a fresh solver for a step size and a seed.
        passes: budget of a trial.
        optimum: P*; None finds it by `minimum`, which takes a linear model with a regulariser.
        seed: the trials share its draws.
        gap: the target, P(x) - P*.
        grid: step sizes.

    Raises:
        ValueError: an empty grid, or a P* that is not given and cannot be certified.

    >>> from batchlab.optimizers.finite_sum import L2, SVRG
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -2.0], loss="squared", regularizer=L2(0.5))
    >>> found = tuned_step(lambda eta, seed: SVRG(problem, step_size=eta, seed=seed, batch_size=1), passes=100)
    >>> found.step_size in GRID, round(found.optimum, 6)
    (True, 1.0)
    """
    if optimum is None:
        problem = make(1.0, seed).problem
        if not isinstance(problem, LinearProblem):
            raise ValueError("nothing certifies P* of a module: give optimum=")
        optimum = minimum(problem).value
    tuning = tune(lambda step: make(step, seed), optimum=optimum, passes=passes, gap=gap, grid=grid)
    return TunedStep(tuning.best.step_size, optimum, seed, gap, [trial.summary() for trial in tuning.trials])
