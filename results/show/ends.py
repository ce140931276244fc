"""What is said and drawn of the ends of lines: intervals beside them, and how many runs they are of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from batchlab.results.compare.curves import Curve
from batchlab.results.compare.stats import Array
from batchlab.results.show.looks import Looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def end_bars(
    axes: Axes, lines: Sequence[Curve], known: Looks, scale: float, band: Callable[[Curve], tuple[Array, Array]]
) -> None:
    """Set the interval at the end of each line beside the lines, one after the other, with a dot at the mean.

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
        axes.plot([x], [scale * line.mean[-1]], look["marker"] or "o", color=look["color"], ms=3)


def counts(lines: Sequence[Curve]) -> str:
    """`n 3`, `n 2 to 3, 1 diverged`: over the panels that a legend speaks for."""
    n = sorted({line.n for line in lines})
    diverged = sum(line.diverged for line in lines)
    unfinished = sum(len(line.lost) for line in lines) - diverged
    lost = [f"{k} {word}" for k, word in ((diverged, "diverged"), (unfinished, "not done")) if k]
    return ", ".join([f"n {n[0]}" if len(n) == 1 else f"n {n[0]} to {n[-1]}", *lost])
