"""A figure of what a mini-batch buys: iterations and passes to a target over its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchlab.results.show.drawing import COLORS, DASHES, GREY, Drawing
from batchlab.results.show.panels import GRID, LEGEND, dress, head
from batchlab.results.show.points import Axis, Dots, Panel, Point, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^D"
LINEAR = "linear speed-up"
SIZES = (1 / 16, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""Mini-batches that are named on the axis."""


@dataclass(frozen=True)
class MiniBatches(Drawing):
    """Iterations on the left, passes on the right, against the batch in units of sqrt(n); one line per data set.

    Attributes:
        measured: Data set -> (b / sqrt(n), iterations, passes), ascending in b; means over seeds.
        title: Over the whole figure.
    """

    measured: Mapping[str, Sequence[tuple[float, float, float]]]
    title: str

    @property
    def drawable(self) -> bool:
        """Whether some data set has two points."""
        return any(len(points) > 1 for points in self.measured.values())

    def figure(self) -> Figure:
        """Draw both on logarithmic axes, with the slope of linear speed-up.

        Raises:
            ValueError: No data set has two batches at which every run reached the target.
        """
        from matplotlib.figure import Figure

        if not self.drawable:
            raise ValueError("no run has reached the target yet: see `batchlab status`")
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        both = figure.subplots(1, 2)
        drawn, sizes = self.points(), sorted({size for points in self.measured.values() for size, _, _ in points})
        for axes, panel in zip(both, drawn.panels, strict=True):
            for line in panel.lines:
                x, y = ([getattr(point, key) for point in line.points] for key in ("x", "y"))
                axes.plot(x, y, label=line.name, **line.look, ms=5, lw=1.5 if line.name == LINEAR else 1.7)
            _scale(axes, panel.y.label)
            dress(axes)
            axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
        both[0].legend(**LEGEND)
        head(figure, self.title)
        return figure

    def points(self) -> Points:
        """As `figure` draws them.

        Raises:
            ValueError: No data set has two batches at which every run reached the target.
        """
        if not self.drawable:
            raise ValueError("no run has reached the target yet: see `batchlab status`")
        sizes = sorted({size for points in self.measured.values() for size, _, _ in points})
        shown = [size for size in SIZES if sizes[0] / 1.1 <= size <= sizes[-1] * 1.1]
        x = Axis("mini-batch size", log=True, ticks=[(size, _size(size)) for size in shown])
        panels = []
        for i, label in enumerate(("iterations", "passes"), 1):
            lines = []
            for k, (name, own) in enumerate(self.measured.items()):
                look = {"color": COLORS[k % len(COLORS)], "marker": MARKERS[k % len(MARKERS)]}
                lines.append(Dots(name, look, [Point(point[0], point[i]) for point in own]))
            panels.append(
                Panel(label, x, Axis(label, log=True, arithmetic=True), [*lines, *([self._linear()] if i == 1 else [])])
            )
        return Points(
            self.title, panels, ["means over seeds; dotted: as many times fewer as the batch is larger"], "cost"
        )

    def _linear(self) -> Dots:
        """Half the iterations at twice the batch, from the first point on."""
        (size, iterations, _), *_ = next(points for points in self.measured.values() if len(points) > 1)
        ends = [Point(size, iterations), Point(math.sqrt(2), iterations * size / math.sqrt(2))]
        return Dots(LINEAR, {"color": GREY, "ls": DASHES[2], "marker": ""}, ends)


def _scale(axes: Axes, label: str) -> None:
    """Logarithmic axes with ticks that people read, and their labels."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axvline(1.0, color=GRID, lw=0.8, alpha=0.7, zorder=0)
    axes.xaxis.set_major_locator(FixedLocator(SIZES))
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
