"""The deterministic reference: proximal full gradient with momentum."""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from batchlab.optimizers.finite_sum.kernels import Floats, Indices
from batchlab.optimizers.finite_sum.problem import LinearProblem
from batchlab.optimizers.finite_sum.regularizer import Vector
from batchlab.optimizers.finite_sum.solver import Solver, State
from batchlab.optimizers.needs import FiniteSum


@dataclass(frozen=True)
class FISTAState(State):
    """Between iterations: y, where the next gradient is taken, shape (d,); the momentum's t; restarts so far."""

    point: Floats
    t: float = 1.0
    restarts: int = 0


class FISTA(Solver[LinearProblem, FISTAState]):
    r"""Proximal full gradient with momentum (Beck and Teboulle 2009) and adaptive restart (O'Donoghue and Candes 2015).

    A stage is one iteration, n component gradients::

        x+ = prox_{eta R}(y - eta grad F(y))         t+ = (1 + sqrt(1 + 4 t^2))/2
        y  = x+ + (t - 1)/t+ (x+ - x)                if <y_old - x+, x+ - x> > 0: t+ = 1, y = x+

    Theory's step: 1/L_F with L_F the Lipschitz constant of grad F, by Lanczos (a few products with A and A^T, not
    counted as passes). It draws nothing, so it takes neither a batch size nor a seed.

    >>> from batchlab.optimizers.finite_sum import L1
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -0.5], loss="squared", regularizer=L1(0.5))
    >>> FISTA(problem).solve(passes=300, gap=1e-12).x.round(3).tolist()
    [1.0, 0.0]
    """

    needs = FiniteSum(batches=False)
    linear_only = True

    def __init__(
        self,
        problem: LinearProblem,
        *,
        step_size: float | None = None,
        x0: Vector | None = None,
    ) -> None:
        super().__init__(problem, step_size=step_size, x0=x0)

    @override
    def theoretical_step(self) -> float:
        return 1.0 / self.problem.gradient_lipschitz

    @override
    def _default_batch(self, n: int) -> int:
        return n

    @override
    def _gradients(self, stage: int) -> int:
        return self.problem.n

    @override
    def _draw(self, stage: int, shape: tuple[int, int]) -> Indices:
        return np.empty((0, 0), np.int64)

    @property
    @override
    def restarts(self) -> int:
        return self._place.state.restarts

    @override
    def initial(self, x: Floats) -> FISTAState:
        return FISTAState(x, x)

    @override
    def advance(self, state: FISTAState, draws: Indices) -> FISTAState:
        gradient = self.problem.gradient(state.point)
        x = self.problem.regularizer.prox(state.point - self.step_size * gradient, self.step_size)
        if (state.point - x) @ (x - state.x) > 0.0:
            return FISTAState(x, x, 1.0, state.restarts + 1)
        t = (1.0 + (1.0 + 4.0 * state.t**2) ** 0.5) / 2.0
        return FISTAState(x, x + (state.t - 1.0) / t * (x - state.x), t, state.restarts)
