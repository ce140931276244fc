"""One way to write numbers in figures: at ticks, in legends and over panels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchlab.results.compare.frame import Frame

if TYPE_CHECKING:
    from matplotlib.axis import Axis

LONG = 6
"""Digits of a whole number that are all written; of more, round ones have an exponent."""


def number(value: Any) -> str:
    """A number as short as it can be without another value; what is no number as it is.

    >>> [number(value) for value in (1e9, 1.0, 0.0003, 1e-05, 2.5e-7, 50000, 1_500_000, 1_234_567, "1.0", True)]
    ['1e9', '1', '0.0003', '1e-5', '2.5e-7', '50000', '1.5e6', '1234567', '1.0', 'True']
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        sign, text = "-" * (value < 0), str(abs(int(value)))
        digits = text.rstrip("0")
        if len(text) <= LONG or len(digits) > 3:
            return sign + text
        return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{len(text) - 1}"
    mantissa, e, exponent = repr(float(value)).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if e else mantissa


def named(frame: Frame, key: str) -> Mapping[Any, str]:
    """By value of a key, or of several with commas between, how it is written."""
    parts = key.split(",")
    return {run.value(key): " ".join(number(run.value(part)) for part in parts) for run in frame.runs}


def numbered(axis: Axis, *, log: bool = False) -> None:
    """Have the ticks of an axis written like this; on a logarithmic one also between decades, where there are few.

    Args:
        axis: Its scale set.
        log: Whether that is logarithmic.
    """
    from matplotlib.ticker import FuncFormatter, LogFormatter

    class Decades(LogFormatter):
        """Writes what matplotlib would write, as numbers are written here."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return _tick(x) if super().__call__(x, pos) else ""

    if log:
        axis.set_major_formatter(Decades())
        axis.set_minor_formatter(Decades(minor_thresholds=(1.5, 0.6)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _tick(value: float) -> str:
    """Without what rounding left at its end."""
    return number(float(f"{value:.10g}"))
