"""The interface of every finite-sum solver: stages, the stop rule, records and a state that resumes exactly."""

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypedDict, TypeVar

import numpy as np
import torch

from batchlab.optimizers.finite_sum.kernels import Indices
from batchlab.optimizers.finite_sum.problem import LinearProblem, Problem
from batchlab.optimizers.finite_sum.regularizer import Vector
from batchlab.optimizers.finite_sum.result import Progress, Record, Result, StopRule
from batchlab.optimizers.needs import FiniteSum

_P = TypeVar("_P", bound=Problem)
_S = TypeVar("_S", bound="State")


@dataclasses.dataclass(frozen=True)
class State:
    """What a solver carries from stage to stage: vectors and numbers. `x` is the current solution."""

    x: Vector


@dataclasses.dataclass(frozen=True, slots=True)
class _Place(Generic[_S]):
    """State and progress together: one assignment moves both, so an interrupt finds a whole stage or none of it."""

    state: _S
    progress: Progress


class SolverOptions(TypedDict, total=False):
    """What a solver takes by keyword beside its own arguments; `Solver` says what each does."""

    batch_size: int | None
    step_size: float | None
    inner_iterations: int | None
    seed: int
    x0: Vector | None


class Solver(ABC, Generic[_P, _S]):
    """A method that works in stages, each a function of (state, seed, number of the stage).

    Args:
        problem: the objective.
        batch_size: b, indices of an inner iteration; null takes the method's own.
        step_size: eta; null takes the method's theory (see ``theoretical_step``).
        inner_iterations: m of a stage; null takes the method's own.
        seed: of the draws. Stage k draws from a generator seeded with (seed, k), so no generator state is kept.
        x0: where to start; null starts at the problem's own point (zeros, or the parameters that the module had).

    Raises:
        ValueError: a batch larger than n, a step that is not positive, a problem the method cannot take.
    """

    needs: ClassVar[FiniteSum] = FiniteSum()
    linear_only: ClassVar[bool] = False
    """Whether it works on a `LinearProblem` alone."""

    def __init__(
        self,
        problem: _P,
        *,
        batch_size: int | None = None,
        step_size: float | None = None,
        inner_iterations: int | None = None,
        seed: int = 0,
        x0: Vector | None = None,
    ) -> None:
        if self.linear_only and not isinstance(problem, LinearProblem):
            name = type(self).__name__
            raise ValueError(f"{name} works on a LinearProblem; SVRG and DASVRDA also take a ModuleProblem")
        self.problem = problem
        for name, count in (("batch_size", batch_size), ("inner_iterations", inner_iterations), ("seed", seed)):
            if not (count is None or isinstance(count, int | np.integer)):
                raise ValueError(f"{name}={count!r} must be a whole number")
        self.batch_size = self._default_batch(problem.n) if batch_size is None else batch_size
        if not 1 <= self.batch_size <= problem.n:
            raise ValueError(f"batch_size={batch_size} must lie between 1 and the number of samples, n = {problem.n}")
        self.inner_iterations = max(1, self._default_inner(problem.n)) if inner_iterations is None else inner_iterations
        if self.inner_iterations < 1:
            raise ValueError(f"inner_iterations={inner_iterations} must be at least 1")
        if seed < 0:
            raise ValueError(f"seed={seed} must not be negative")
        self.seed = seed
        self.step_size = self.theoretical_step() if step_size is None else step_size
        number = isinstance(self.step_size, int | float | np.number)
        if not (number and math.isfinite(self.step_size) and self.step_size > 0.0):
            raise ValueError(f"step_size={step_size!r} must be a positive number; null takes the theory's")
        start = problem.start() if x0 is None else _copy_like(x0, problem.start())
        if start.shape != problem.start().shape:
            raise ValueError(f"x0 has shape {tuple(start.shape)}, the problem {tuple(problem.start().shape)}")
        self._place = _Place(self.initial(start), Progress())
        self._compiled = False

    # What a method defines

    @abstractmethod
    def theoretical_step(self) -> float:
        """The step size of the method's theory, from Lbar (and b, m)."""

    @abstractmethod
    def initial(self, x: Vector) -> _S:
        """The state before the first stage."""

    @abstractmethod
    def advance(self, state: _S, draws: Indices) -> _S:
        """The state after a stage; a pure function.

        Args:
            state: before it; left as it is.
            draws: indices of components, shape (m, b): inner iterations, and the batch of each.
        """

    def _default_batch(self, n: int) -> int:
        return max(1, round(math.sqrt(n)))

    def _default_inner(self, n: int) -> int:
        return n // self.batch_size

    def _gradients(self, stage: int) -> int:
        """Component gradients of the given stage, counted from 0."""
        draws = self.inner_iterations * self.batch_size
        return self.problem.n + self.problem.gradients_per_draw * draws

    # What users read

    @property
    def x(self) -> Vector:
        """The current solution, shape (d,)."""
        return self._place.state.x

    @property
    def progress(self) -> Progress:
        """How far it is, counted from its start."""
        return self._place.progress

    @property
    def first_passes(self) -> float:
        """What the first stage costs, in passes: the least budget that `solve` takes."""
        return self._gradients(0) / self.problem.n

    @property
    def restarts(self) -> int:
        """How often the method started its momentum anew."""
        return 0

    # Solving

    def solve(
        self,
        *,
        passes: float,
        gap: float | None = None,
        optimum: float | None = None,
        residual: float | None = None,
        every: float = 0.0,
        callback: Callable[[Record], object] | None = None,
    ) -> Result:
        """Run stages until a stop rule holds; call again, with more passes, to go on.

        Args:
            passes: budget in component gradients / n since the solver was made. No stage begins that would cross it.
            gap: stop when P(x) - optimum <= gap; without an optimum, when the duality gap is (linear models with a
                regulariser).
            optimum: P*, where known.
            residual: stop when ||x - prox_{eta R}(x - eta grad F(x))|| / eta <= residual, at eta = 1/Lbar or, where
                Lbar is unknown, the step size.
            every: passes between records (0: a record per stage). The stop rules are looked at when a record is made.
            callback: called with each new record, the starting point's included, and with ``x`` loaded into the
                module where there is one; a true answer stops.

        Returns:
            The solution, the records of this call (the first is where it began) and the reason for the stop. A value
            that is not finite stops with the reason ``diverged``.

        Raises:
            ValueError: a budget below the first stage's cost, a negative gap or residual, or a gap with neither an
                optimum nor a duality gap.
        """
        if not passes >= self.first_passes:
            cost = f"{self.first_passes:.2f} passes"
            raise ValueError(f"passes={passes:g} does not cover the first stage, which costs {cost}")
        rule = StopRule(gap, optimum, residual)
        if rule.needs_certificate:
            if not isinstance(self.problem, LinearProblem):
                raise ValueError("a module has no duality gap: give optimum=, or stop by residual= or passes=")
            self.problem.check_certificate()
        try:
            return self._run(passes, rule, every, callback)
        finally:
            self.problem.load(self.x)  # also after an interrupt within a stage

    def _run(self, passes: float, rule: StopRule, every: float, callback: Callable[[Record], object] | None) -> Result:
        n = self.problem.n
        records = [self._measure(rule)]
        stop = bool(callback is not None and self.progress.stage == 0 and callback(records[0]))
        reason = "callback" if stop else rule.verdict(records[0])
        while reason is None:
            last = self.progress.gradients + self._gradients(self.progress.stage) > passes * n
            if not last:
                self._step()
            since = self.progress.gradients / n - records[-1].passes
            if (last and since > 0.0) or (not last and since >= every):
                records.append(self._measure(rule))
                stop = bool(callback is not None and callback(records[-1]))
                reason = "callback" if stop else rule.verdict(records[-1])
            if last and reason is None:
                reason = "passes"
        return Result(self.x, records, reason)

    @np.errstate(over="ignore", invalid="ignore")  # a step that diverges is reported, not warned of
    def _step(self) -> None:
        stage = self.progress.stage
        shape = (self.inner_iterations, self.batch_size)
        if not self._compiled:  # a stage of no iterations compiles the kernels outside the clock
            self.advance(self._place.state, self._draw(stage, (0, self.batch_size)))
            self._compiled = True
        began, processor_began = time.perf_counter(), time.thread_time()
        state = self.advance(self._place.state, self._draw(stage, shape))
        progress = Progress(
            stage + 1,
            self.progress.gradients + self._gradients(stage),
            self.progress.iterations + self.inner_iterations,
            self.progress.seconds + time.perf_counter() - began,
            self.progress.processor_seconds + time.thread_time() - processor_began,
        )
        self._place = _Place(state, progress)

    def _draw(self, stage: int, shape: tuple[int, int]) -> Indices:
        return self.problem.draw(np.random.default_rng([self.seed, stage]), shape)

    @np.errstate(over="ignore", invalid="ignore")
    def _measure(self, rule: StopRule) -> Record:
        x, progress = self.x, self.progress
        self.problem.load(x)
        value = self.problem.value(x)
        distance = math.nan
        if rule.optimum is not None:
            distance = value - rule.optimum
        elif rule.needs_certificate and isinstance(self.problem, LinearProblem):
            distance = self.problem.duality_gap(x)
        return Record(
            progress.stage,
            progress.gradients,
            progress.gradients / self.problem.n,
            progress.iterations,
            progress.seconds,
            value,
            distance,
            math.nan if rule.residual is None else self._residual(),
            self.restarts,
        )

    def _residual(self) -> float:
        try:
            step = 1.0 / self.problem.mean_smoothness
        except ValueError:  # unknown for a module
            step = self.step_size
        moved = self.x - self.problem.regularizer.prox(self.x - step * self.problem.snapshot(self.x).gradient, step)
        return float((moved @ moved) ** 0.5) / step

    # Resuming

    def _settings(self) -> dict[str, Any]:
        keys = ("batch_size", "step_size", "inner_iterations", "seed")
        return {"solver": type(self).__name__} | self.problem.settings() | {key: getattr(self, key) for key in keys}

    def state_dict(self) -> dict[str, Any]:
        """Settings, progress and state, in tensors and plain numbers, as ``torch.load(weights_only=True)`` allows."""
        state = {f.name: getattr(self._place.state, f.name) for f in dataclasses.fields(self._place.state)}
        return {
            "settings": self._settings(),
            "progress": dataclasses.asdict(self.progress),
            "state": {k: torch.as_tensor(v).clone() if hasattr(v, "shape") else v for k, v in state.items()},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken, bit for bit.

        Raises:
            ValueError: the settings differ, the solver's or the problem's (of a linear model also loss and data).
        """
        mine, theirs = self._settings(), saved["settings"]
        different = [k for k in mine if mine[k] != theirs.get(k)]
        if different:
            shown = ", ".join(f"{k}: saved {theirs.get(k)!r}, here {mine[k]!r}" for k in different)
            raise ValueError(f"this state belongs to another run ({shown}): make the solver with the same settings")
        type_of = self.problem.start()
        state = {k: _copy_like(v, type_of) if hasattr(v, "shape") else v for k, v in saved["state"].items()}
        progress = Progress(**({"processor_seconds": math.nan} | saved["progress"]))
        self._place = _Place(type(self._place.state)(**state), progress)
        self.problem.load(self.x)


def _copy_like(values: Any, other: Vector) -> Vector:
    """A copy of an array or tensor in the type (and on the device) of the problem's vectors."""
    if isinstance(other, torch.Tensor):
        return torch.as_tensor(values).to(other, copy=True)
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.array(values, dtype=np.float64)
