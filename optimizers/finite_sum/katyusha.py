"""Katyusha."""

import math
from dataclasses import dataclass
from typing import Any

from typing_extensions import Unpack, override

from batchlab.optimizers.finite_sum.kernels import Floats, Indices
from batchlab.optimizers.finite_sum.problem import LinearProblem
from batchlab.optimizers.finite_sum.solver import Solver, SolverOptions, State


@dataclass(frozen=True)
class KatyushaState(State):
    """Between stages: the points y and z, shape (d,), and how many stages are done."""

    y: Floats
    z: Floats
    stage: int = 0


class Katyusha(Solver[LinearProblem, KatyushaState]):
    r"""Katyusha (Allen-Zhu 2017), for convex and for strongly convex problems.

    A stage has the snapshot x~ and G = grad F(x~); y and z go on from the last one. It repeats m times::

        x = t1 z + t2 x~ + (1 - t1 - t2) y,  t2 = 1/2
        I = b indices drawn by q             g = (1/b) sum_{i in I} (grad f_i(x) - grad f_i(x~))/(n q_i) + G
        z <- prox_{alpha R}(z - alpha g)     y <- prox_{eta R}(x - eta g)           alpha = eta/t1

    and ends with x~ := the average of the stage's y's, the solution. Convex: t1 = 2/(s + 4), s = 0, 1, ...
    With ``strong_convexity`` sigma > 0: t1 = min(sqrt(m sigma eta), 1/2), and the k-th y weighs (1 + alpha sigma)^k
    (recalled, not read). Theory's step: eta = 1/(3 Lbar). Defaults: b = sqrt(n), m = 2 n/b.

    Args:
        strong_convexity: sigma; 0.0 takes the method for convex problems.
        problem, options: see ``Solver``.

    >>> from batchlab.optimizers.finite_sum import L2
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -2.0], loss="squared", regularizer=L2(0.5))
    >>> solver = Katyusha(problem, batch_size=1, strong_convexity=0.5)
    >>> solver.solve(passes=300, gap=1e-10).x.round(3).tolist()
    [1.0, -1.0]
    """

    linear_only = True

    def __init__(
        self, problem: LinearProblem, *, strong_convexity: float = 0.0, **options: Unpack[SolverOptions]
    ) -> None:
        if not (math.isfinite(strong_convexity) and strong_convexity >= 0.0):
            raise ValueError(f"strong_convexity={strong_convexity} must be a finite number >= 0")
        self.strong_convexity = strong_convexity
        super().__init__(problem, **options)

    @override
    def theoretical_step(self) -> float:
        return 1.0 / (3.0 * self.problem.mean_smoothness)

    @override
    def _default_inner(self, n: int) -> int:
        return 2 * n // self.batch_size

    @override
    def initial(self, x: Floats) -> KatyushaState:
        return KatyushaState(x, x, x)

    @override
    def advance(self, state: KatyushaState, draws: Indices) -> KatyushaState:
        sigma, growth = self.strong_convexity, 1.0
        tau1 = 2.0 / (state.stage + 4)
        if sigma > 0.0:
            tau1 = min(math.sqrt(self.inner_iterations * sigma * self.step_size), 0.5)
            growth = 1.0 + self.step_size / tau1 * sigma
        snapshot = self.problem.snapshot(state.x)
        y, z, mean = self.problem.katyusha(snapshot, state.y, state.z, draws, self.step_size, (tau1, 0.5), growth)
        return KatyushaState(mean, y, z, state.stage + 1)

    @override
    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"strong_convexity": self.strong_convexity}
