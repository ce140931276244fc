"""What a value may call beside Hydra's own functions, and how numbers that a program chose are rounded.

logspace(1e-4,1e-1,7)     seven values, each as many times the one before, both ends among them
linspace(0,0.9,4)         four values, equally far apart
"""

# No `from __future__ import annotations`: Hydra checks arguments by the annotations themselves.
import math
from collections.abc import Callable
from typing import Union

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import ChoiceSweep

DIGITS = 4
"""Significant ones: numbers that people can read, and the same on every machine."""
MOST = 10_000
"""Values of one function: what is more was not meant."""

Number = Union[int, float]  # noqa: UP007 (Hydra names the parts of this one)


def rounded(value: float) -> float:
    """A number of four significant digits.

    >>> rounded(0.00316227766), rounded(2 / 3), rounded(123456.0)
    (0.003162, 0.6667, 123500.0)
    """
    return float(f"{value:.{DIGITS}g}")


def linspace(start: Number, stop: Number, num: int) -> ChoiceSweep:
    """Values equally far apart, both ends among them.

    >>> linspace(0, 0.9, 4).list
    [0, 0.3, 0.6, 0.9]

    Args:
        start: The first.
        stop: The last.
        num: How many.

    Raises:
        ValueError: Not two, or ends that are equal or endless.
    """
    return _spread(start, stop, num, lambda share: start + (stop - start) * share)


def logspace(start: Number, stop: Number, num: int) -> ChoiceSweep:
    """Values each as many times the one before, both ends among them.

    >>> logspace(1e-4, 1e-1, 4).list, logspace(1, 64, 4).list
    ([0.0001, 0.001, 0.01, 0.1], [1, 4, 16, 64])

    Args:
        start: The first, not its exponent.
        stop: The last.
        num: How many.

    Raises:
        ValueError: Not two, or ends that are equal, endless or not above 0.
    """
    if min(start, stop) <= 0:
        raise ValueError(f"logspace takes the ends themselves, not exponents: above 0, got {min(start, stop)}")
    low, high = math.log(start), math.log(stop)
    return _spread(start, stop, num, lambda share: math.exp(low + (high - low) * share))


def _spread(start: Number, stop: Number, num: int, at: Callable[[float], float]) -> ChoiceSweep:
    if not 2 <= num <= MOST:
        raise ValueError(f"between two ends there are 2 to {MOST:,} values, not {num}")
    if not (math.isfinite(start) and math.isfinite(stop)) or start == stop:
        raise ValueError(f"two ends that are numbers, and not the same, are needed, not {start} and {stop}")
    inner = [rounded(at(i / (num - 1))) for i in range(1, num - 1)]
    values: list[Number] = [start, *inner, stop]
    if isinstance(start, int) and isinstance(stop, int):
        values = [int(value) if float(value).is_integer() else value for value in values]
    if len(set(values)) < num:
        raise ValueError(f"{num} values between {start} and {stop} are not told apart by {DIGITS} digits")
    return ChoiceSweep(list=[*values], simple_form=False)


def parser(config_loader: object) -> OverridesParser:
    """Hydra's parser, which knows these functions too."""
    functions = create_functions()
    functions.register("linspace", linspace)
    functions.register("logspace", logspace)
    return OverridesParser(functions, config_loader)  # type: ignore[arg-type]
