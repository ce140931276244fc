"""What a number of seeds can see: the effect that a paired t-test detects with a given chance."""

from __future__ import annotations

import math

from scipy.special import nctdtr, stdtrit

from batchlab.results.compare.stats import ALPHA

POWER = 0.8


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """The chance that the two-sided paired t-test of n normal differences rejects (non-central t).

    Args:
        effect: Their mean, in their standard deviations.
        n: Pairs, at least 2.
        alpha: Level of the test.
    """
    edge, shift = float(stdtrit(n - 1, 1 - alpha / 2)), abs(effect) * math.sqrt(n)
    above, below = 1 - float(nctdtr(n - 1, shift, edge)), float(nctdtr(n - 1, shift, -edge))
    return above + (0.0 if math.isnan(below) else below)  # far out the lower tail underflows


def detectable(n: int, alpha: float = ALPHA, chance: float = POWER) -> float:
    """The least effect, in standard deviations of the paired differences, that is detected with the given chance.

    >>> round(detectable(3), 1), round(detectable(10), 2)
    (3.3, 1.0)

    Args:
        n: Pairs, at least 2.
        alpha: Level of the test, already corrected for the family.
        chance: Of detection.
    """
    low, high = 0.0, 1.0
    while power(high, n, alpha) < chance:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, n, alpha) < chance else (low, middle)
    return high
