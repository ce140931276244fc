"""SAGA."""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from batchlab.optimizers.finite_sum.kernels import Floats, Indices
from batchlab.optimizers.finite_sum.problem import LinearProblem, Snapshot
from batchlab.optimizers.finite_sum.solver import Solver, State


@dataclass(frozen=True)
class SAGAState(State):
    """Between stages: the table, as the slope per sample (the component gradient is slope times a_i), and its mean.

    Attributes:
        slopes: shape (n,); empty before the first stage.
        mean: the mean of the table's gradients, shape (d,); empty before the first stage.
    """

    slopes: Floats
    mean: Floats


class SAGA(Solver[LinearProblem, SAGAState]):
    r"""SAGA (Defazio, Bach and Lacoste-Julien 2014) with a table of one number per sample.

    An iteration draws b indices I, with replacement, and::

        g = (1/b) sum_{i in I} (grad f_i(x) - alpha_i) + mean alpha
        alpha_i <- grad f_i(x), i in I      x <- prox_{eta R}(x - eta g)

    A stage is n/b iterations, a pass. The first also fills the table at x0, which costs n more component gradients.
    Defaults: b = 1. Theory's step: eta = 1/(3 max L_i). Deviation from the other solvers here: sampling is uniform,
    as in SAGA's analysis, since an entry of the table that is drawn rarely stays wrong for long.

    >>> from batchlab.optimizers.finite_sum import L1
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -0.5], loss="squared", regularizer=L1(0.5))
    >>> SAGA(problem).solve(passes=300, gap=1e-10).x.round(3).tolist()
    [1.0, 0.0]
    """

    linear_only = True

    @override
    def theoretical_step(self) -> float:
        return 1.0 / (3.0 * float(self.problem.smoothness.max()))

    @override
    def _default_batch(self, n: int) -> int:
        return 1

    @override
    def _gradients(self, stage: int) -> int:
        filling = self.problem.n if stage == 0 else 0
        return filling + self.inner_iterations * self.batch_size

    @override
    def _draw(self, stage: int, shape: tuple[int, int]) -> Indices:
        return np.random.default_rng([self.seed, stage]).integers(self.problem.n, size=shape)

    @override
    def initial(self, x: Floats) -> SAGAState:
        return SAGAState(x, np.empty(0), np.empty(0))

    @override
    def advance(self, state: SAGAState, draws: Indices) -> SAGAState:
        empty = state.slopes.size == 0
        table = self.problem.snapshot(state.x) if empty else Snapshot(state.x, state.mean, state.slopes)
        after = self.problem.saga(table, draws, self.step_size)
        assert after.slopes is not None
        return SAGAState(after.x, after.slopes, after.gradient)
