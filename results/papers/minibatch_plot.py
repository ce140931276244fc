"""A figure of what a mini-batch buys: iterations and passes to a target over its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchlab.results.show.drawing import COLORS, GREY, INK, Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^D"


@dataclass(frozen=True)
class MiniBatches(Drawing):
    """Iterations on the left, passes on the right, against the batch in units of sqrt(n); a line a data set."""

    points: Mapping[str, Sequence[tuple[float, float, float]]]
    """name -> (b / sqrt(n), iterations, passes), ascending in b; means over seeds."""
    title: str

    @property
    def drawable(self) -> bool:
        """Whether some data set has two points."""
        return any(len(points) > 1 for points in self.points.values())

    def figure(self) -> Figure:
        """Both on logarithmic axes, with the slopes of linear speed-up and of none."""
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
        left.legend(frameon=False, fontsize=8.5, labelcolor=INK)
        sizes = sorted({size for points in self.points.values() for size, _, _ in points})
        for axes, label in ((left, "iterations"), (right, "passes")):
            _dress(axes, label)
            axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
        figure.suptitle(self.title, x=0.01, ha="left", fontsize=11, weight="bold", color=INK)
        return figure


def _dress(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axvline(1.0, color="#8c959f", lw=0.8, alpha=0.7, zorder=0)
    axes.xaxis.set_major_locator(FixedLocator([1 / 16, 1 / 4, 1 / 2, 1, 2, 4, 8]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _size(size)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if label == "passes":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("mini-batch size", fontsize=9, color=INK)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(True, which="major", color="#8c959f", alpha=0.25, lw=0.6)


def _size(size: float) -> str:
    """`√n/4`, `√n`, `2√n`."""
    if size == 1:
        return "√n"
    return f"{size:g}√n" if size > 1 else f"√n/{1 / size:g}"
