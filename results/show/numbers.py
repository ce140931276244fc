"""Numbers in figures, at ticks, in legends and over panels, as they are written everywhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.compare.frame import Frame
from batchlab.results.compare.stats import Array
from batchlab.results.words import written

if TYPE_CHECKING:
    from matplotlib.axis import Axis

ROUNDING = 1e-9
"""What a tick may be beyond a bound, for it is a multiple of a step."""


def named(frame: Frame, key: str) -> Mapping[Any, str]:
    """By value of a key, or of several with commas between, how it is written.

    Where more than one is a number, which does not say what it is of, these have the ends of their keys before them:
    `adamw, lr 0.001, size 8`.
    """
    parts = key.split(",")
    bare = [part for part in parts if any(isinstance(run.value(part), (int, float)) for run in frame.runs)]
    if len(bare) < 2:
        return {run.value(key): " ".join(written(run.value(part)) for part in parts) for run in frame.runs}
    ends = Counter(part.rpartition(".")[2] for part in parts)

    def spelled(part: str, text: str) -> str:
        end = part.rpartition(".")[2]
        return f"{end if ends[end] == 1 else part} {text}" if part in bare else text

    return {run.value(key): ", ".join(spelled(part, written(run.value(part))) for part in parts) for run in frame.runs}


def panel_names(frame: Frame, panel: str) -> Mapping[Any, tuple[str, str]]:
    """By value of a panel's keys what it is called in a menu, and over its plot: `Adam 256`, `pair Adam, batch 256`."""
    keys, spelled = panel.split(","), named(frame, panel)
    runs = {run.value(panel): run for run in frame.runs}
    return {
        value: (spelled[value], ", ".join(f"{key} {written(runs[value].value(key))}" for key in keys))
        for value in frame.values(panel)
    }


def numbered(axis: Axis, *, log: bool = False, within: tuple[float, float] = (-math.inf, math.inf)) -> None:
    """Have the ticks of an axis written like this; on a logarithmic one also between decades, where there are few.

    Args:
        axis: Its scale and its locator set.
        log: Whether that is logarithmic.
        within: What the quantity can be: nothing else is written, though the axis may go on.
    """
    from matplotlib.ticker import FuncFormatter, Locator, LogFormatter

    least, most = within

    class Within(Locator):
        """Those ticks of another locator that the quantity can be."""

        def __init__(self, own: Locator) -> None:
            self.own = own

        def set_axis(self, axis: Any) -> None:
            super().set_axis(axis)
            self.own.set_axis(axis)

        def __call__(self) -> Array:  # type: ignore[override]
            return self._possible(self.own())

        def tick_values(self, vmin: float, vmax: float) -> Array:  # type: ignore[override]
            return self._possible(self.own.tick_values(vmin, vmax))

        def nonsingular(self, v0: float, v1: float) -> tuple[float, float]:
            return self.own.nonsingular(v0, v1)

        def view_limits(self, dmin: float, dmax: float) -> tuple[float, float]:
            return self.own.view_limits(dmin, dmax)

        @staticmethod
        def _possible(ticks: Any) -> Array:
            own: Array = np.asarray(ticks, np.float64)
            return np.asarray(own[(own >= least - ROUNDING) & (own <= most * (1 + ROUNDING))])

    class Decades(LogFormatter):
        """Writes what matplotlib would write, as numbers are written here."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return spelled(x) if super().__call__(x, pos) else ""

    def spelled(value: float) -> str:
        """In one style along the axis: where one tick needs an exponent, each has one."""
        first, last = sorted(axis.get_view_interval())
        ticks = [*axis.get_majorticklocs(), *axis.get_minorticklocs()]
        short = any("e" in _tick(tick) for tick in ticks if first <= tick <= last)
        mantissa, power = f"{value:.9e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}" if short and value else _tick(value)

    if log:
        axis.set_major_formatter(Decades())
        axis.set_minor_formatter(Decades(minor_thresholds=(1.5, 0.6)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: spelled(value)))
    if math.isfinite(least) or math.isfinite(most):
        axis.set_major_locator(Within(axis.get_major_locator()))
        axis.set_minor_locator(Within(axis.get_minor_locator()))


def _tick(value: float) -> str:
    """Without what rounding left at its end."""
    return written(float(f"{value:.10g}"))
