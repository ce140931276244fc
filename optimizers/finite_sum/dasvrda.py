"""DASVRDA: doubly accelerated stochastic variance-reduced dual averaging."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import Unpack, override

from batchlab.optimizers.finite_sum.kernels import Indices
from batchlab.optimizers.finite_sum.problem import Problem
from batchlab.optimizers.finite_sum.regularizer import Vector
from batchlab.optimizers.finite_sum.solver import Solver, SolverOptions, State


@dataclass(frozen=True)
class DASVRDAState(State):
    """Between stages: y~ of the coming one, shape (d,); s, the stages since the last restart; restarts so far."""

    start: Vector
    cycle: int = 0
    restarts: int = 0


class DASVRDA(Solver[Problem, DASVRDAState]):
    r"""DASVRDA (Murata and Suzuki, NeurIPS 2017, arXiv 1703.00439), reconstructed.

    Algorithm as three independent implementations agree on it (the paper's own listing was not read). A stage goes
    from a start y~ with the snapshot x~, G = grad F(x~), x = z = y~, gbar = 0, theta_0 = 1/2, and for k = 1..m::

        theta_k = (k + 1)/2                 y    = (1 - 1/theta_k) x + z/theta_k
        I   = b indices drawn by q          g    = (1/b) sum_{i in I} (grad f_i(y) - grad f_i(x~))/(n q_i) + G
                                            gbar = (1 - 1/theta_k) gbar + g/theta_k
        z = prox_{a R}(y~ - a gbar), a = eta theta_k theta_{k-1}      x = (1 - 1/theta_k) x + z/theta_k

    Between stages, with theta~_s = (1 - 1/gamma)(s + 2)/2 and gamma = (3 + sqrt(9 + 8 b/(m + 1)))/2::

        y~_{s+1} = x~_s + (theta~_s - 1)/theta~_{s+1} (x~_s - x~_{s-1}) + theta~_s/theta~_{s+1} (z~_s - x~_s)

    Theory's step: eta = 1/((1 + gamma (m + 1)/b) Lbar). Defaults: b = sqrt(n), m = n/b.
    Cost of a stage: n + m b component gradients for linear models, n + 2 m b for modules.

    Args:
        restart: ``none`` (the method for convex problems), ``adaptive`` (s := 0 and z~ := x~_s when
            <y~_s - x~_s, y~_{s+1} - x~_s> > 0) or ``fixed`` (every ``restart_every`` stages: the method for
            strongly convex problems).
        restart_every: stages between fixed restarts.
        problem, options: see ``Solver``.

    >>> from batchlab.optimizers.finite_sum import L2, LinearProblem
    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 1.0]], [2.0, -2.0], loss="squared", regularizer=L2(0.5))
    >>> result = DASVRDA(problem, batch_size=1, seed=0).solve(passes=200, gap=1e-12)
    >>> result.x.round(3).tolist(), result.reason
    ([1.0, -1.0], 'gap')
    """

    def __init__(
        self,
        problem: Problem,
        *,
        restart: Literal["none", "adaptive", "fixed"] = "adaptive",
        restart_every: int | None = None,
        **options: Unpack[SolverOptions],
    ) -> None:
        if restart not in ("none", "adaptive", "fixed"):
            raise ValueError(f"restart must be none, adaptive or fixed, got {restart!r}")
        if (restart == "fixed") != (restart_every is not None):
            raise ValueError("restart='fixed' and restart_every=S (stages, >= 1) go together: give both or neither")
        if restart_every is not None and restart_every < 1:
            raise ValueError(f"restart_every={restart_every} must be at least 1")
        self.restart, self.restart_every = restart, restart_every
        super().__init__(problem, **options)

    @property
    def gamma(self) -> float:
        """The minimiser of (1 + g (m + 1)/b) / (1 - 1/g)^2 over g > 1."""
        return (3.0 + math.sqrt(9.0 + 8.0 * self.batch_size / (self.inner_iterations + 1))) / 2.0

    @override
    def theoretical_step(self) -> float:
        spread = self.gamma * (self.inner_iterations + 1) / self.batch_size
        return 1.0 / ((1.0 + spread) * self.problem.mean_smoothness)

    @property
    @override
    def restarts(self) -> int:
        return self._place.state.restarts

    @override
    def initial(self, x: Vector) -> DASVRDAState:
        return DASVRDAState(x, start=x)

    @override
    def advance(self, state: DASVRDAState, draws: Indices) -> DASVRDAState:
        x, z = self.problem.dasvrda(self.problem.snapshot(state.x), state.start, draws, self.step_size)
        cycle = state.cycle + 1
        theta, following = (0.5 * (1.0 - 1.0 / self.gamma) * (s + 2) for s in (cycle, cycle + 1))
        start = x + (theta - 1.0) / following * (x - state.x) + theta / following * (z - x)
        if self._restarts_now(cycle, float((state.start - x) @ (start - x))):
            return DASVRDAState(x, x, 0, state.restarts + 1)
        return DASVRDAState(x, start, cycle, state.restarts)

    def _restarts_now(self, cycle: int, turn: float) -> bool:
        if self.restart == "adaptive":
            return turn > 0.0
        return self.restart_every is not None and cycle % self.restart_every == 0

    @override
    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"restart": self.restart, "restart_every": self.restart_every}
