"""What the solvers minimise: P(x) = (1/n) sum_i f_i(x) + R(x), and the objective of a linear model."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import scipy.sparse.linalg

from batchlab.optimizers.finite_sum import kernels
from batchlab.optimizers.finite_sum.data import as_rows, as_targets, digest, signs, squared_norms, two_classes
from batchlab.optimizers.finite_sum.kernels import Floats, Indices
from batchlab.optimizers.finite_sum.regularizer import ElasticNet, Vector

Loss = Literal["squared", "logistic", "squared_hinge"]
_CODES = {"squared": kernels.SQUARED, "logistic": kernels.LOGISTIC, "squared_hinge": kernels.SQUARED_HINGE}
_CURVATURE = {"squared": 1.0, "logistic": 0.25, "squared_hinge": 1.0}  # sup of phi''


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A point, grad F there, and what lets grad f_i there be had again without evaluating it (None: evaluate)."""

    x: Vector
    gradient: Vector
    slopes: Floats | None


class Problem(Protocol):
    """What SVRG and DASVRDA ask of an objective. Linear models and torch modules both answer.

    Attributes:
        n: components.
        dimension: d, coordinates of x.
        regularizer: R.
        gradients_per_draw: component gradients that an index costs in an inner iteration.
    """

    n: int
    dimension: int
    regularizer: ElasticNet
    gradients_per_draw: int

    @property
    def mean_smoothness(self) -> float:
        """Lbar = (1/n) sum L_i; ValueError with the way out where it is unknown."""

    def settings(self) -> dict[str, Any]:
        """What tells it from other problems, in plain numbers and texts."""

    def start(self) -> Vector:
        """Where a solver begins, shape (d,): a vector of its own."""

    def value(self, x: Vector) -> float:
        """P(x)."""

    def load(self, x: Vector) -> None:
        """Leave x where the user looks for it (a module's parameters)."""

    def snapshot(self, x: Vector) -> Snapshot:
        """grad F(x) with what later component gradients need: n component gradients."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, int]) -> Indices:
        """Indices i with probability q_i, with replacement."""

    def svrg(self, snapshot: Snapshot, draws: Indices, step: float, momentum: float) -> Vector:
        """The last iterate of a stage of SVRG (momentum 0) or AccProxSVRG; draws (m, b)."""

    def dasvrda(self, snapshot: Snapshot, start: Vector, draws: Indices, step: float) -> tuple[Vector, Vector]:
        """(x, z) after a stage of DASVRDA from `start`; draws (m, b)."""


class LinearProblem:
    r"""P(x) = (1/n) sum_i phi(<a_i, x>, y_i) + l1 ||x||_1 + (l2/2) ||x||^2.

    phi is (z - y)^2 / 2 (``squared``), log(1 + exp(-y z)) (``logistic``) or max(0, 1 - y z)^2 / 2
    (``squared_hinge``), so that f_i is L_i-smooth with L_i = ||a_i||^2, a quarter of it for the logistic loss.
    There is no intercept: append a column of ones for one (it is then regularised like the others).

    Args:
        A: (n, d) design matrix: NumPy, dense torch, SciPy sparse, torch CSR. Held in float64 on the host.
        y: (n,) targets; for the two classification losses any two numbers, the greater counts as +1.
        loss: the component loss.
        regularizer: ``ElasticNet(l1, l2)``, ``L1(l1)``, ``L2(l2)``; nothing by default.
        zero_rows: a row of zeros adds a constant and is never drawn. ``error`` (default) refuses such rows, as they
            are mostly an accident of reading; ``keep`` takes them.

    Raises:
        ValueError: shapes that do not fit, NaN, no rows, labels that are not two classes, rows of zeros.

    >>> problem = LinearProblem([[1.0, 0.0], [0.0, 2.0]], [0, 1], loss="logistic", regularizer=ElasticNet(l1=0.1))
    >>> round(problem.value(problem.start()), 6)  # log 2
    0.693147
    """

    gradients_per_draw = 1  # the component gradient at the snapshot is a stored number times a_i

    def __init__(
        self,
        A: Any,
        y: Any,
        loss: Loss = "logistic",
        regularizer: ElasticNet | None = None,
        *,
        zero_rows: Literal["error", "keep"] = "error",
    ) -> None:
        if loss not in _CODES:
            raise ValueError(f"unknown loss {loss!r}: one of {', '.join(_CODES)}")
        if zero_rows not in ("error", "keep"):
            raise ValueError(f"zero_rows must be 'error' or 'keep', got {zero_rows!r}")
        self.rows, (self.n, self.dimension) = as_rows(A)
        self.loss, self._code = loss, _CODES[loss]
        self.regularizer = ElasticNet() if regularizer is None else regularizer
        targets = as_targets(y, self.n)
        self.classes = None if loss == "squared" else two_classes(targets)
        self.y = targets if self.classes is None else signs(targets, self.classes)
        #: L_i, shape (n,)
        self.smoothness = _CURVATURE[loss] * squared_norms(self.rows)
        empty = np.flatnonzero(self.smoothness == 0.0)
        if empty.size and (zero_rows == "error" or empty.size == self.n):
            raise ValueError(
                f"{empty.size} of {self.n} rows of A are all zeros (the first is row {empty[0]}): "
                "drop them, or pass zero_rows='keep' if they are meant"
            )

    @cached_property
    def digest(self) -> str:
        """Of A and y: data that was changed is another problem. Read once, so change neither in place."""
        return digest(self.rows, self.y)

    def settings(self) -> dict[str, Any]:
        """What tells it from other problems; one with the same settings has the same P."""
        shape = {"n": self.n, "dimension": self.dimension}
        return shape | {"loss": self.loss, **asdict(self.regularizer), "data": self.digest}

    # Values and certificates

    def start(self) -> Floats:
        """x0 = 0."""
        return np.zeros(self.dimension)

    def load(self, x: Floats) -> None:
        """Nothing to do: the solution is the solver's ``x``."""

    def component_losses(self, x: Floats) -> Floats:
        """phi(<a_i, x>, y_i), shape (n,)."""
        out = np.empty(self.n)
        kernels.losses(self.rows, self.y, self._code, x, out)
        return out

    def curvatures(self, x: Floats) -> Floats:
        """phi''(<a_i, x>, y_i), shape (n,); for ``squared_hinge`` 0 at its kink."""
        if self.loss == "squared":
            return np.ones(self.n)
        margins = np.empty(self.n)
        kernels.margins(self.rows, x, margins)
        if self.loss == "squared_hinge":
            return (self.y * margins < 1.0).astype(np.float64)
        small = np.exp(-abs(margins))  # of exp(z) and exp(-z) the one that cannot overflow
        return np.asarray(small / (1.0 + small) ** 2)

    def value(self, x: Floats) -> float:
        """P(x)."""
        sums = np.empty(-(-self.n // kernels.BLOCK))
        kernels.loss_sums(self.rows, self.y, self._code, x, sums)
        return float(sums.sum()) / self.n + self.regularizer.value(x)

    def gradient(self, x: Floats) -> Floats:
        """grad F(x), shape (d,), without the regulariser."""
        gradient: Floats = self.snapshot(x).gradient
        return gradient

    def check_certificate(self) -> None:
        """ValueError where there is no duality gap: without a regulariser."""
        if self.regularizer.l1 == self.regularizer.l2 == 0.0:
            raise ValueError(
                "without a regulariser no duality gap certifies a point: add l1 or l2, or stop by residual= or by "
                "gap= to a known optimum="
            )

    def duality_gap(self, x: Floats) -> float:
        """P(x) - D(u(x)) >= P(x) - P*, with the dual point u_i = phi'(<a_i, x>, y_i), scaled to be feasible if l2 = 0.

        D(u) = -(1/n) sum_i phi*(u_i) - R*(-(1/n) A^T u). With l1 > 0 or l2 > 0 the gap vanishes at the minimiser, so it
        certifies one. With neither, u is feasible only where A^T u = 0 exactly; scaled to be so it is 0, and the gap
        P(x), whatever x is.

        Raises:
            ValueError: l1 = l2 = 0.
        """
        self.check_certificate()
        point = self.snapshot(x)
        assert point.slopes is not None
        u, v = point.slopes, point.gradient
        largest = float(abs(v).max())
        if self.regularizer.l2 == 0.0 and largest > self.regularizer.l1:
            scale = self.regularizer.l1 / largest
            u, v = scale * u, (scale * (1.0 - 2.0**-52)) * v  # a rounding inside the box
        return self.value(x) + float(self._conjugates(u).mean()) + self.regularizer.conjugate(-v)

    def _conjugates(self, u: Floats) -> Floats:
        """phi*(u_i), shape (n,)."""
        if self.loss == "squared":
            return 0.5 * u * u + u * self.y
        p = -self.y * u
        if self.loss == "squared_hinge":
            return 0.5 * p * p - p
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = p * np.log(p) + (1.0 - p) * np.log1p(-p)
        return np.where((p <= 0.0) | (p >= 1.0), 0.0, entropy)

    def evaluate(self, x: Floats, A: Any, y: Any) -> tuple[float, float]:
        """Loss and accuracy on other data.

        Args:
            x: a point, shape (d,).
            A: (n', d) design matrix, as the problem's own.
            y: (n',) targets, of the problem's classes.

        Returns:
            The mean loss, without the regulariser, and the share of right labels: nan for ``squared``; a margin of
            exactly 0 counts as the lesser class.

        Raises:
            ValueError: another number of features, or targets that do not fit.
        """
        rows, (n, d) = as_rows(A)
        if d != self.dimension:
            raise ValueError(f"this data has {d} features, the problem {self.dimension}")
        targets = as_targets(y, n)
        if self.classes is not None:
            targets = signs(targets, self.classes)
        losses, margins = np.empty(n), np.empty(n)
        kernels.losses(rows, targets, self._code, x, losses)
        if self.classes is None:
            return float(losses.mean()), math.nan
        kernels.margins(rows, x, margins)
        return float(losses.mean()), float((np.where(margins > 0.0, 1.0, -1.0) == targets).mean())

    # Smoothness and sampling

    @property
    def mean_smoothness(self) -> float:
        """Lbar = (1/n) sum L_i."""
        return float(self.smoothness.mean())

    @cached_property
    def gradient_lipschitz(self) -> float:
        """A bound on the Lipschitz constant of grad F: the greatest eigenvalue of A^T A / n times sup phi''.

        Lanczos' estimate plus its residual, so that it is not below; never above Lbar, which is also a bound.
        """
        if self.dimension == 1:
            return self.mean_smoothness
        slopes, zeros = np.empty(self.n), np.zeros(self.n)

        def normal(v: Floats) -> Floats:  # A^T A v / n is the gradient of the squared loss with y = 0
            out = np.empty(self.dimension)
            kernels.gradient(self.rows, zeros, kernels.SQUARED, np.ascontiguousarray(v.ravel()), slopes, out)
            return out

        operator = scipy.sparse.linalg.LinearOperator((self.dimension, self.dimension), matvec=normal, dtype=np.float64)
        first = np.random.default_rng(0).standard_normal(self.dimension)
        values, vectors = scipy.sparse.linalg.eigsh(operator, k=1, tol=1e-3, v0=first)
        residual = float(np.linalg.norm(normal(vectors[:, 0]) - values[0] * vectors[:, 0]))
        return min(self.mean_smoothness, _CURVATURE[self.loss] * (float(values[0]) + residual))

    @cached_property
    def _alias(self) -> tuple[Floats, Indices] | None:
        uniform = float(np.ptp(self.smoothness)) <= 1e-9 * float(self.smoothness.max())
        return None if uniform else kernels.alias_table(self.smoothness)

    @cached_property
    def weights(self) -> Floats:
        """1/(n q_i) = Lbar/L_i, shape (n,); empty where sampling is uniform."""
        if self._alias is None:
            return np.empty(0)
        with np.errstate(divide="ignore"):
            return self.mean_smoothness / self.smoothness

    def draw(self, generator: np.random.Generator, shape: tuple[int, int]) -> Indices:
        """Indices drawn with replacement by q_i = L_i / (n Lbar)."""
        columns = generator.integers(self.n, size=shape)
        if self._alias is None:
            return columns
        keep, alias = self._alias
        return np.where(generator.random(shape) < keep[columns], columns, alias[columns])

    # Stages

    def snapshot(self, x: Floats) -> Snapshot:
        """grad F(x) and the slopes phi'(<a_i, x>, y_i): n component gradients."""
        slopes, gradient = np.empty(self.n), np.empty(self.dimension)
        kernels.gradient(self.rows, self.y, self._code, x, slopes, gradient)
        return Snapshot(x, gradient, slopes)

    @property
    def _head(self) -> tuple[Any, Floats, int, float, float]:
        return self.rows, self.y, self._code, float(self.regularizer.l1), float(self.regularizer.l2)

    def svrg(self, snapshot: Snapshot, draws: Indices, step: float, momentum: float) -> Floats:
        """The last iterate of a stage of SVRG (momentum 0) or AccProxSVRG; draws (m, b)."""
        assert snapshot.slopes is not None
        return kernels.svrg(
            *self._head, snapshot.x, snapshot.slopes, snapshot.gradient, draws, self.weights, step, momentum
        )

    def dasvrda(self, snapshot: Snapshot, start: Floats, draws: Indices, step: float) -> tuple[Floats, Floats]:
        """(x, z) after a stage of DASVRDA from `start`; draws (m, b)."""
        assert snapshot.slopes is not None
        return kernels.dasvrda(*self._head, start, snapshot.slopes, snapshot.gradient, draws, self.weights, step)

    def katyusha(
        self,
        snapshot: Snapshot,
        y: Floats,
        z: Floats,
        draws: Indices,
        step: float,
        tau: tuple[float, float],
        growth: float,
    ) -> tuple[Floats, Floats, Floats]:
        """(y, z, weighted average of the y's) after a stage of Katyusha; draws (m, b)."""
        assert snapshot.slopes is not None
        return kernels.katyusha(
            *self._head, snapshot.x, snapshot.slopes, snapshot.gradient, draws, self.weights, step, *tau, growth, y, z
        )  # fmt: skip

    def saga(self, table: Snapshot, draws: Indices, step: float) -> Snapshot:
        """The point and the table after len(draws) iterations of SAGA; `table` is left as it was."""
        assert table.slopes is not None
        slopes, mean = table.slopes.copy(), table.gradient.copy()
        x = kernels.saga(*self._head, table.x, slopes, mean, draws, step)
        return Snapshot(x, mean, slopes)
