"""What a value may call beside Hydra's own functions, and how numbers that a program chose are rounded.

logspace(1e-4,1e-1,7)     seven values, each as many times the one before, both ends among them
linspace(0,0.9,4)         four values, equally far apart
range(0.1,0.4,0.1)        0.1, 0.2, 0.3: Hydra's own adds up what floats cannot say exactly, and goes on to the end
"""

# No `from __future__ import annotations`: Hydra checks arguments by the annotations themselves.
import builtins
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Optional, Union

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

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


def range(start: Number, stop: Optional[Number] = None, step: Number = 1) -> Union[RangeSweep, ChoiceSweep]:  # noqa: UP007, UP045 (as Number)
    """Values from a start on in equal steps, without the end; whole numbers are Hydra's.

    >>> range(0.1, 0.4, 0.1).list
    [0.1, 0.2, 0.3]

    Args:
        start: The first; of a single argument the end, and 0 is the first.
        stop: Where they end, itself no value.
        step: From one to the next; below 0 downwards.

    Raises:
        ValueError: A step of 0, something endless, or too many values.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    if all(isinstance(number, int) for number in (start, stop, step)):
        return RangeSweep(start=start, stop=stop, step=step)
    if step == 0 or not all(map(math.isfinite, (start, stop, step))):
        raise ValueError(f"a range takes numbers and a step that is not 0, got {start}, {stop}, {step}")
    first, end, by = (Decimal(str(number)) for number in (start, stop, step))  # as they were written
    num = max(0, math.ceil((end - first) / by))
    if num > MOST:
        raise ValueError(f"a range with fractions has at most {MOST:,} values, not {num:,}")
    return ChoiceSweep(list=[float(first + i * by) for i in builtins.range(num)], simple_form=False)


def _spread(start: Number, stop: Number, num: int, at: Callable[[float], float]) -> ChoiceSweep:
    if not 2 <= num <= MOST:
        raise ValueError(f"between two ends there are 2 to {MOST:,} values, not {num}")
    if not (math.isfinite(start) and math.isfinite(stop)) or start == stop:
        raise ValueError(f"two ends that are numbers, and not the same, are needed, not {start} and {stop}")
    inner = [rounded(at(i / (num - 1))) for i in builtins.range(1, num - 1)]
    values: list[Number] = [start, *inner, stop]
    if isinstance(start, int) and isinstance(stop, int):
        values = [int(value) if float(value).is_integer() else value for value in values]
    if len(set(values)) < num:
        raise ValueError(f"{num} values between {start} and {stop} are not told apart by {DIGITS} digits")
    return ChoiceSweep(list=[*values], simple_form=False)


def parser(config_loader: object) -> OverridesParser:
    """Hydra's parser, which knows these functions too."""
    functions = create_functions()
    for name, ours in (("linspace", linspace), ("logspace", logspace), ("range", range)):
        functions.definitions.pop(name, None)  # registering refuses what is there
        functions.register(name, ours)
    return OverridesParser(functions, config_loader)  # type: ignore[arg-type]
