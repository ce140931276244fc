"""Points of intervals, for a search with a budget: `--draws N`, by Halton's sequence or at random.

Point i of N is the same whatever N is, so that asking for more trains only what is new. A coordinate belongs to a key:
contenders that each have an interval of their own for it are given the same shares of theirs.

Halton's sequence (Halton 1960, Numerische Mathematik 2): point i has as its j-th coordinate the digits of i, in the
base of the j-th prime, behind the point and in reverse order. Any first N of its points fill the space more evenly than
random ones. A seed other than 0 moves all points by one random amount, around the ends (Cranley and Patterson 1976).
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batchlab.results.words import count
from batchlab.runner.options import Search
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.functions import rounded

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
"""One for each interval; from larger ones the first points lie on a line."""
PATIENCE = 100
"""So many points are looked at for each that is wanted, where rounding makes some equal."""


@dataclass(frozen=True)
class Interval:
    """Where values are drawn from.

    Attributes:
        text: The override.
        low: The least value.
        high: The greatest.
        log: Every factor is as likely as any other, and not every difference.
        whole: Whole numbers only.
    """

    text: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    @classmethod
    def of(cls, text: str, low: Any, high: Any, tags: Collection[str]) -> Interval:
        """What `interval(low,high)`, `tag(log,interval(low,high))` or `int(interval(low,high))` says.

        Raises:
            ConfigError: with the override in front, where that is no interval.
        """
        unknown = set(tags) - {"log"}
        if unknown:
            raise ConfigError(f"{text}: the only tag of an interval is log, not {', '.join(sorted(unknown))}")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f"{text}: an interval goes from a number to a greater one")
        if "log" in tags and low <= 0:
            raise ConfigError(f"{text}: on a logarithm an interval begins above 0")
        return cls(text, low, high, "log" in tags, isinstance(low, int) and isinstance(high, int))

    def at(self, share: float, *, whole: bool = False) -> float:
        """The value below which this share of the interval lies, rounded.

        Args:
            share: In [0, 1).
            whole: Whole numbers only, whether the interval says so or not.

        Raises:
            ConfigError: No whole number lies in it.
        """
        low, high, step = float(self.low), float(self.high), 0
        if whole or self.whole:
            low, high, step = math.ceil(low), math.floor(high), 1
            if low > high:
                raise ConfigError(f"{self.text}: no whole number lies in it")
        up = high + step
        value = low * (up / low) ** share if self.log else low + (up - low) * share
        return min(high, math.floor(value * (1 + 1e-12))) if step else min(high, max(low, rounded(value)))


def shares(dimension: int, search: Search, seed: int) -> Iterator[float]:
    """One coordinate of all points, in [0, 1).

    >>> from itertools import islice
    >>> list(islice(shares(0, Search.HALTON, 0), 4))
    [0.5, 0.25, 0.75, 0.125]

    Args:
        dimension: Which.
        search: How they are chosen.
        seed: Others for another one.
    """
    drawn = random.Random(
        f"batchlab {search} {seed} {dimension}"
    )  # `random` keeps its sequence from version to version
    if search is Search.RANDOM:
        while True:
            yield drawn.random()
    shift = drawn.random() if seed else 0.0
    index = 0
    while True:
        index += 1  # point 0 is a corner
        yield (_reversed(index, PRIMES[dimension]) + shift) % 1.0


def _reversed(index: int, base: int) -> float:
    """The digits of `index` behind the point, the last one first."""
    numerator, denominator = 0, 1
    while index:
        index, digit = divmod(index, base)
        numerator, denominator = numerator * base + digit, denominator * base
    return numerator / denominator


def drawn(
    intervals: Sequence[Interval],
    whole: Sequence[bool],
    n: int,
    search: Search,
    seed: int,
    dimensions: Sequence[int] | None = None,
) -> list[tuple[float, ...]]:
    """Points of several intervals, all different.

    Args:
        intervals: One per coordinate.
        whole: Which of them are whole numbers only, as their keys are.
        n: How many points.
        search: How they are chosen.
        seed: Others for another one.
        dimensions: Which coordinate each is given; None: the first ones.

    Raises:
        ConfigError: There are not so many different points, or too many intervals for Halton's sequence.
    """
    dimensions = range(len(intervals)) if dimensions is None else dimensions
    if search is Search.HALTON and max(dimensions) >= len(PRIMES):
        raise ConfigError(
            f"--search halton is even over {len(PRIMES)} intervals at most, here are {max(dimensions) + 1}: --search "
            "random"
        )
    found: dict[tuple[float, ...], None] = {}
    coordinates = zip(*(shares(i, search, seed) for i in dimensions), strict=True)
    for _ in range(PATIENCE * n):
        if len(found) == n:
            break
        point = next(coordinates)
        found[tuple(i.at(u, whole=w) for i, u, w in zip(intervals, point, whole, strict=True))] = None
    if len(found) < n:
        texts = " ".join(interval.text for interval in intervals)
        raise ConfigError(f"--draws {n}: {texts} has {count(len(found), 'different point')}: --draws {len(found)}")
    return list(found)
