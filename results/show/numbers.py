"""Numbers in figures, at ticks, in legends and over panels, as they are written everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchlab.results.compare.frame import Frame
from batchlab.results.words import written

if TYPE_CHECKING:
    from matplotlib.axis import Axis


def named(frame: Frame, key: str) -> Mapping[Any, str]:
    """By value of a key, or of several with commas between, how it is written."""
    parts = key.split(",")
    return {run.value(key): " ".join(written(run.value(part)) for part in parts) for run in frame.runs}


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
    return written(float(f"{value:.10g}"))
