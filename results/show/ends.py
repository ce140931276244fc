"""What is said and drawn of the ends of lines: intervals beside them, and how many runs they are of."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.compare.curves import Curve
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.stats import Array
from batchlab.results.show.looks import Looks
from batchlab.results.store.run import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BANDS = 8
"""Lines of a panel that have their bands: more bands are one grey, and an interval stands at each end instead."""


def end_bars(
    axes: Axes, lines: Sequence[Curve], known: Looks, scale: float, band: Callable[[Curve], tuple[Array, Array]]
) -> None:
    """Set the interval at the end of each line beside the lines, one after the other, its mark or a dash at the mean.

    Args:
        axes: The panel, with its lines.
        lines: They.
        known: How each looks.
        scale: Shown values are stored values times this.
        band: The interval of a line along it.
    """
    start, stop = axes.dataLim.intervalx
    width = stop - start or float(np.ptp(axes.get_xlim()))
    axes.set_xticks([tick for tick in axes.get_xticks() if start <= tick <= stop])  # none where the clock has ended
    for i, line in enumerate(line for line in lines if line.n > 2 and len(line.x)):
        x, look = stop + (0.02 + 0.012 * i) * width, known[line.value]
        low, high = band(line)
        if not math.isnan(low[-1]):
            axes.vlines(x, scale * low[-1], scale * high[-1], color=look["color"], ls=look["ls"], lw=1.3)
        mark = look["marker"] or "_"  # a dot is another line's mark
        axes.plot([x], [scale * line.mean[-1]], mark, color=look["color"], ms=3 if look["marker"] else 5)


def counts(lines: Sequence[Curve]) -> str:
    """`n 3`, `n 2 to 3, 1 diverged`: over the panels that a legend speaks for."""
    n = sorted({line.n for line in lines})
    diverged = sum(line.diverged for line in lines)
    unfinished = sum(len(line.lost) for line in lines) - diverged
    return ", ".join([f"n {n[0]}" if len(n) == 1 else f"n {n[0]} to {n[-1]}", *_lost(diverged, unfinished)])


def without_line(frame: Frame, hue: str, there: Container[Any]) -> dict[Any, str]:
    """What became of the runs of a hue that has no line, for none of them came to a row: `3 diverged`.

    Args:
        frame: The runs of a panel.
        hue: What its lines differ in.
        there: The values that have one.
    """
    states: dict[Any, list[State]] = {}
    for run in frame.runs:
        value = run.value(hue)
        if value != MISSING and value not in there and run.state not in (State.DONE, State.PENDING):
            states.setdefault(value, []).append(run.state)
    diverged = {value: own.count(State.DIVERGED) for value, own in states.items()}
    return {value: ", ".join(_lost(diverged[value], len(own) - diverged[value])) for value, own in states.items()}


def _lost(diverged: int, unfinished: int) -> list[str]:
    return [f"{k} {word}" for k, word in ((diverged, "diverged"), (unfinished, "not done")) if k]
