"""Proximal SVRG and its accelerated version."""

import math
from typing import Any

from typing_extensions import Unpack, override

from batchlab.optimizers.finite_sum.kernels import Indices
from batchlab.optimizers.finite_sum.problem import LinearProblem, Problem
from batchlab.optimizers.finite_sum.regularizer import Vector
from batchlab.optimizers.finite_sum.solver import Solver, SolverOptions, State


class SVRG(Solver[Problem, State]):
    r"""Proximal SVRG (Johnson and Zhang 2013; Xiao and Zhang 2014) with mini-batches and importance sampling.

    A stage starts at the snapshot x~, G = grad F(x~), x = x~, repeats m times::

        I = b indices drawn by q            g = (1/b) sum_{i in I} (grad f_i(x) - grad f_i(x~))/(n q_i) + G
                                            x <- prox_{eta R}(x - eta g)

    and ends with x~ := x, the last iterate (the analysed method takes an average). Defaults: b = sqrt(n), m = 2 n/b.

    Theory's step: eta = min(1, b/10)/Lbar. Derived here, not read: Prox-SVRG's recursion needs 4 eta Lbar < 1 and
    eta <= 1/Lbar; a batch divides the variance, so the first becomes 4 eta Lbar/b < 1, and 0.4 is taken for it.
    Cost of a stage: n + m b component gradients for linear models, n + 2 m b for modules.

    >>> from batchlab.optimizers.finite_sum import L1, LinearProblem
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -0.5], loss="squared", regularizer=L1(0.5))
    >>> SVRG(problem, batch_size=1).solve(passes=300, gap=1e-10).x.round(3).tolist()
    [1.0, 0.0]
    """

    @override
    def theoretical_step(self) -> float:
        return min(1.0, self.batch_size / 10.0) / self.problem.mean_smoothness

    @override
    def _default_inner(self, n: int) -> int:
        return 2 * n // self.batch_size

    @override
    def initial(self, x: Vector) -> State:
        return State(x)

    @override
    def advance(self, state: State, draws: Indices) -> State:
        return State(self.problem.svrg(self.problem.snapshot(state.x), draws, self.step_size, 0.0))


class AccProxSVRG(Solver[LinearProblem, State]):
    r"""AccProxSVRG (Nitanda 2014): SVRG with Nesterov's momentum inside a stage.

    As SVRG, with the stochastic gradient g taken at y (y = x~ at a stage's start)::

        x+ = prox_{eta R}(y - eta g)        y = x+ + beta (x+ - x)      beta = (1 - sqrt(mu eta))/(1 + sqrt(mu eta))

    Defaults: b = sqrt(n), m = n/b (the paper's is unknown here). Theory's step, recalled and not read:
    eta = min((p b)^2/64 (n - 1)^2/(n - b)^2 mu/Lbar^2, 1/(2 Lbar)) with p = 0.1. It is very small when mu is; tune.

    Args:
        strong_convexity: mu > 0; null takes l2. Where l2 = 0 it must be given, as momentum needs it.
        problem, options: see ``Solver``.

    >>> from batchlab.optimizers.finite_sum import L2
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -2.0], loss="squared", regularizer=L2(0.5))
    >>> AccProxSVRG(problem, batch_size=1, step_size=0.2).solve(passes=300, gap=1e-10).x.round(3).tolist()
    [1.0, -1.0]
    """

    linear_only = True

    def __init__(
        self, problem: LinearProblem, *, strong_convexity: float | None = None, **options: Unpack[SolverOptions]
    ) -> None:
        mu = problem.regularizer.l2 if strong_convexity is None else strong_convexity
        if not (math.isfinite(mu) and mu > 0.0):
            raise ValueError(
                f"AccProxSVRG needs a strong convexity > 0, got {mu}: add an L2 term, or give "
                "strong_convexity=mu (a guess for a problem that is only convex, such as L1 alone)"
            )
        self.strong_convexity = mu
        super().__init__(problem, **options)

    @override
    def theoretical_step(self) -> float:
        n, b, smoothness = self.problem.n, self.batch_size, self.problem.mean_smoothness
        if b == n:
            return 0.5 / smoothness
        variance = (0.1 * b) ** 2 / 64.0 * ((n - 1) / (n - b)) ** 2
        return min(variance * self.strong_convexity / smoothness**2, 0.5 / smoothness)

    @override
    def initial(self, x: Vector) -> State:
        return State(x)

    @override
    def advance(self, state: State, draws: Indices) -> State:
        root = math.sqrt(min(1.0, self.strong_convexity * self.step_size))
        beta = (1.0 - root) / (1.0 + root)
        return State(self.problem.svrg(self.problem.snapshot(state.x), draws, self.step_size, beta))

    @override
    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"strong_convexity": self.strong_convexity}
