"""What a number of seeds can see: the effect that a paired t-test detects with a given chance."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import nctdtr, stdtrit

from batchlab.results.compare.stats import ALPHA

POWER = 0.8
MOST = 1000
"""More seeds than these are not asked for."""


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


def needed(effect: float, alpha: float = ALPHA, chance: float = POWER) -> int:
    """The fewest pairs at which the two-sided paired t-test detects an effect with the given chance.

    >>> needed(1.0), needed(2.0)
    (10, 5)

    Args:
        effect: Mean of the differences in their standard deviations.
        alpha: Level of the test, already corrected.
        chance: Of detection.

    Returns:
        At least 2; `MOST` + 1 where `MOST` are too few.
    """
    return _fewest(lambda n: power(effect, n, alpha) >= chance)


def needed_one_sided(effect: float, alpha: float = ALPHA, chance: float = POWER) -> int:
    """The same for one side: what it takes to see that an effect lies below a bound that is `effect` away.

    Of two one-sided tests it is the one that decides, where the effect is nearer to one bound than to the other.
    """

    def sees(n: int) -> bool:
        missed = float(nctdtr(n - 1, effect * math.sqrt(n), float(stdtrit(n - 1, 1 - alpha))))
        return math.isnan(missed) or missed <= 1 - chance  # far out the lower tail underflows

    return _fewest(sees)


def _fewest(enough: Callable[[int], bool]) -> int:
    """The fewest pairs that are enough, by bisection: power rises with them."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if low > MOST:
            return MOST + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return min(high, MOST + 1)
