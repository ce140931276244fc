"""Looking at results while they come, without fooling oneself: group-sequential levels, alone and in a family.

A plan names its looks (so many seeds each) before the first run. At each look a test's nominal p must fall below a
level that is smaller than alpha, so that over all looks together a true null is rejected with probability alpha at
most. How alpha is spent is a function of the share of the seeds that are there: the power family alpha t^rho (Kim and
DeMets, 1987; rho = 2 by default) or the one that resembles O'Brien and Fleming's (Lan and DeMets, 1983). Several
hypotheses share alpha by the group-sequential Holm procedure (Ye, Li, Liu and Yao, 2013): of m that are left each has
alpha/m, and what is rejected passes its share on.

Levels are computed for a two-sided test of a normal mean and applied to nominal p-values, here of paired t-tests (the
significance-level approach); simulations in the tests show what rates that gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy.special import ndtr, ndtri

from batchlab.results.compare.stats import ALPHA, Array

Spending = Literal["power", "obrien_fleming"]
LOOKS = (3, 5, 8, 12, 20)
"""Seeds at each look, where nothing else is planned."""
EXPONENT = 2.0
NODES = 48
"""Of the quadrature over the values at which a look goes on."""


@dataclass(frozen=True)
class Looks:
    """When is looked, and how alpha is spent.

    Attributes:
        seeds: seeds at each look, rising.
        alpha: over all looks together, two-sided.
        spending: "power" is alpha t^exponent, "obrien_fleming" is 2 - 2 Phi(z_{alpha/2} / sqrt t) on each side.
        exponent: of the power family.

    Raises:
        ValueError: looks that do not rise, fewer than 2 seeds, or an alpha outside (0, 1).
    """

    seeds: tuple[int, ...] = LOOKS
    alpha: float = ALPHA
    spending: Spending = "power"
    exponent: float = EXPONENT

    def __post_init__(self) -> None:
        if not self.seeds or self.seeds[0] < 2 or list(self.seeds) != sorted(set(self.seeds)):
            raise ValueError(f"looks at {list(self.seeds)} seeds: they rise, and the first has 2 at least")
        if not 0 < self.alpha < 1 or not self.exponent > 0:
            raise ValueError(f"alpha={self.alpha} must be in (0, 1) and exponent={self.exponent} positive")

    def until(self, most: int) -> Looks:
        """The same looks up to `most` seeds, the last of them at just so many.

        >>> Looks().until(10).seeds, Looks().until(30).seeds
        ((3, 5, 8, 10), (3, 5, 8, 12, 20, 30))
        """
        return replace(self, seeds=(*(n for n in self.seeds if n < most), most))

    def spent(self, share: float, alpha: float | None = None) -> float:
        """What of alpha is spent when this share of the seeds is there, 0 to 1."""
        alpha = self.alpha if alpha is None else alpha
        share = min(share, 1.0)
        if share <= 0:
            return 0.0
        if self.spending == "power":
            return float(alpha * share**self.exponent)
        return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(share)))

    def levels(self, alpha: float | None = None) -> list[float]:
        """The nominal two-sided level at each look.

        Args:
            alpha: a share of it, for one of several hypotheses.

        >>> [round(level, 4) for level in Looks((4, 6, 8, 12, 16, 20)).levels()]
        [0.002, 0.0032, 0.0053, 0.0132, 0.0225, 0.0344]
        """
        return list(_levels(self, self.alpha if alpha is None else alpha))

    def last(self, n: int) -> int | None:
        """The place of the last look that `n` seeds have reached; None before the first."""
        reached = [i for i, seeds in enumerate(self.seeds) if seeds <= n]
        return reached[-1] if reached else None

    def following(self, n: int) -> int | None:
        """Seeds of the next look after `n`; None after the last."""
        return next((seeds for seeds in self.seeds if seeds > n), None)


@lru_cache(maxsize=4096)
def _levels(looks: Looks, alpha: float) -> tuple[float, ...]:
    """By Armitage, McPherson and Rowe's recursion over the density of what has not been rejected yet."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    times = np.array(looks.seeds) / looks.seeds[-1]
    spend = np.diff([looks.spent(time, alpha) for time in times], prepend=0.0)
    found: list[float] = []
    u, mass = np.zeros(1), np.ones(1)  # where the partial sum B(t) may be while all goes on, and how likely
    for time, step, share in zip(times, np.sqrt(np.diff(times, prepend=0.0)), spend, strict=True):
        edge = _edge(u, mass, float(step), float(share))
        found.append(float(2 * ndtr(-edge / math.sqrt(time))))
        x = edge * node
        density = np.exp(-0.5 * ((x[:, None] - u) / step) ** 2) @ mass / (step * math.sqrt(2 * math.pi))
        u, mass = x, edge * weight * density
    return tuple(found)


def _edge(u: Array, mass: Array, step: float, share: float) -> float:
    """The boundary that `share` crosses, on both sides together: by bisection, as crossing falls with it."""
    low, high = 0.0, 12.0
    for _ in range(80):
        middle = (low + high) / 2
        crossing = 2 * float(mass @ ndtr((u - middle) / step))
        low, high = (middle, high) if crossing > share else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Ruling:
    """What the family's procedure says of one hypothesis.

    Attributes:
        rejected: whether its null is rejected.
        look: the place of the look at which it was; None where it is not.
        level: the nominal level that its p had to fall below at that look, or at the last one it was tested at.
        adjusted: the least alpha at which it would be rejected at its last look, given the others: a p-value corrected
            for looks and for the family; NaN before the first look.
    """

    rejected: bool
    look: int | None
    level: float
    adjusted: float


def holm_over_looks(looks: Looks, p: Mapping[Any, Sequence[float]]) -> dict[Any, Ruling]:
    """The group-sequential Holm procedure on a family of hypotheses.

    Args:
        looks: of the plan.
        p: hypothesis -> its nominal p at each look so far. A hypothesis that was rejected needs no further values; one
            that is no longer followed (futile, or never to be tested) keeps its share of alpha to itself. NaN: not
            tested at that look.

    Returns:
        hypothesis -> ruling.

    >>> found = holm_over_looks(Looks((4, 8)), {"a": [0.0001], "b": [0.2, 0.03]})
    >>> found["a"].look, found["b"].rejected
    (0, True)
    """
    rulings = {name: Ruling(False, None, math.nan, math.nan) for name in p}
    most = max((len(values) for values in p.values()), default=0)
    for look in range(min(most, len(looks.seeds))):
        while True:
            left = [name for name in p if not rulings[name].rejected]
            tested = [name for name in left if look < len(p[name]) and not math.isnan(p[name][look])]
            if not tested:
                break
            level = looks.levels(looks.alpha / len(left))[look]
            for name in tested:
                rulings[name] = Ruling(False, None, level, _adjusted(looks, look, p[name][look], len(left)))
            best = min(tested, key=lambda name: p[name][look])
            if not p[best][look] <= level:
                break
            rulings[best] = Ruling(True, look, level, rulings[best].adjusted)
    return rulings


def _adjusted(looks: Looks, look: int, p: float, left: int) -> float:
    """The family's alpha at which this p would just be rejected at this look, by one of `left` hypotheses."""
    shares, levels = _table(looks)
    at = float(np.interp(math.log(max(p, 1e-300)), levels[look], shares, left=shares[0], right=math.inf))
    return min(1.0, left * math.exp(at)) if at < math.inf else 1.0


@lru_cache(maxsize=64)
def _table(looks: Looks) -> tuple[Any, Any]:
    """Log alphas, shape (k,), and the log levels that they give at each look, shape (looks, k)."""
    shares = np.linspace(math.log(1e-7), math.log(0.95), 40)
    return shares, np.log([looks.levels(math.exp(share)) for share in shares]).T
