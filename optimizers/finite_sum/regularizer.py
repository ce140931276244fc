"""The elastic net and its proximal operator."""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

Vector: TypeAlias = Any
"""A float64 NumPy array of shape (d,) for linear models, a flat tensor for modules; both offer the same arithmetic."""


@dataclass(frozen=True, slots=True)
class ElasticNet:
    r"""R(x) = l1 ||x||_1 + (l2/2) ||x||^2.

    Attributes:
        l1: strength of the first term, at least 0.
        l2: strength of the second, at least 0.

    Raises:
        ValueError: a strength is negative or not finite.

    >>> import numpy as np
    >>> ElasticNet(l1=1.0, l2=1.0).prox(np.array([3.0, -0.5]), 1.0).tolist()
    [1.0, 0.0]
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            strength = getattr(self, name)
            if not (math.isfinite(strength) and strength >= 0.0):
                raise ValueError(f"{name} must be a finite number >= 0, got {strength}: 0.0 leaves that term out")

    def value(self, x: Vector) -> float:
        """R(x)."""
        return float(self.l1 * abs(x).sum() + 0.5 * self.l2 * (x @ x))

    def prox(self, x: Vector, step: float) -> Vector:
        """argmin_u R(u) + ||u - x||^2 / (2 step): soft threshold at step l1, then divide by 1 + step l2.

        Args:
            x: shape (d,); left as it is.
            step: above 0.
        """
        threshold = step * self.l1
        return (x - x.clip(-threshold, threshold)) / (1.0 + step * self.l2)

    def conjugate(self, v: Vector) -> float:
        """R*(v) = sup_x <v, x> - R(x); infinite where l2 = 0 and some |v_j| > l1."""
        excess = (abs(v) - self.l1).clip(0.0, None)
        if self.l2 > 0.0:
            return float((excess @ excess) / (2.0 * self.l2))
        return math.inf if excess.max() > 0.0 else 0.0


def L1(strength: float) -> ElasticNet:
    """R(x) = strength ||x||_1.

    Args:
        strength: at least 0.
    """
    return ElasticNet(l1=strength)


def L2(strength: float) -> ElasticNet:
    """R(x) = (strength/2) ||x||^2.

    Args:
        strength: at least 0.
    """
    return ElasticNet(l2=strength)
