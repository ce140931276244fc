"""A figure of what a mini-batch buys: iterations and passes to a target over its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchlab.results.show.drawing import COLORS, GREY, Drawing
from batchlab.results.show.panels import GRID, LEGEND, dress, head

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^D"


@dataclass(frozen=True)
class MiniBatches(Drawing):
    """Iterations on the left, passes on the right, against the batch in units of sqrt(n); one line per data set.

    Attributes:
        points: Data set -> (b / sqrt(n), iterations, passes), ascending in b; means over seeds.
        title: Over the whole figure.
    """

    points: Mapping[str, Sequence[tuple[float, float, float]]]
    title: str

    @property
    def drawable(self) -> bool:
        """Whether some data set has two points."""
        return any(len(points) > 1 for points in self.points.values())

    def figure(self) -> Figure:
        """Draw both on logarithmic axes, with the slope of linear speed-up.

        Raises:
            ValueError: No data set has two batches at which every run reached the target.
        """
        from matplotlib.figure import Figure

        if not self.drawable:
            raise ValueError("no run has reached the target yet: see `batchlab status`")
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for i, (name, points) in enumerate(self.points.items()):
            batches = [batch for batch, _, _ in points]
            look = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)], "ms": 5, "lw": 1.7}
            left.plot(batches, [iterations for _, iterations, _ in points], label=name, **look)
            right.plot(batches, [passes for _, _, passes in points], label=name, **look)
        first = next(points for points in self.points.values() if len(points) > 1)
        start, stop = first[0][0], math.sqrt(2)
        left.plot([start, stop], [first[0][1], first[0][1] * start / stop], color=GREY, ls=":", label="linear speed-up")
        left.legend(**LEGEND)
        sizes = sorted({size for points in self.points.values() for size, _, _ in points})
        for axes, label in ((left, "iterations"), (right, "passes")):
            _scale(axes, label)
            dress(axes)
            axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
        head(figure, self.title)
        return figure


def _scale(axes: Axes, label: str) -> None:
    """Logarithmic axes with ticks that people read, and their labels."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axvline(1.0, color=GRID, lw=0.8, alpha=0.7, zorder=0)
    axes.xaxis.set_major_locator(FixedLocator([1 / 16, 1 / 4, 1 / 2, 1, 2, 4, 8]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _size(size)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if label == "passes":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("mini-batch size")
    axes.set_ylabel(label)


def _size(size: float) -> str:
    """A batch in units of sqrt(n) for people: `√n/4`, `√n`, `2√n`."""
    if size == 1:
        return "√n"
    return f"{size:g}√n" if size > 1 else f"√n/{1 / size:g}"
