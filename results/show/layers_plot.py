"""Figures of what each layer did over a run, from the rows of layers.parquet: one row of colours per layer.

Where the layers were recorded at one time only there is nothing that colours could follow: a dot stands for each then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from batchlab.results.compare.curves import by_hue, curves
from batchlab.results.compare.derived import split
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCK_LABELS, Metric
from batchlab.results.compare.stats import Array
from batchlab.results.show.cells import Cells
from batchlab.results.show.drawing import COLORS, GREY, INK, FrameDrawing
from batchlab.results.show.lettering import plain, room

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

NAMES = 40
"""How many layers are named at the side; of more, only every second, third, ... is."""


WIDTH = 48
"""Letters of a layer's name; a longer one is cut."""


@dataclass(frozen=True)
class Layers(FrameDrawing):
    """Layers from the input down, one above the other, against samples or steps; colour is the metric.

    One column of panels per metric, and one row of them per value of `panel`; means over the runs of a panel that are
    done.

    Attributes:
        frame: Runs with the rows of their stream `layers`.
        metrics: What the colours are.
        panel: An axis, label or dotted configuration key; None: all runs in one panel.
        clock: What is on the x-axis, one of `CLOCKS`.
        title: Instead of one made from the metrics.
    """

    together: ClassVar[str] = "panels"

    frame: Frame
    metrics: tuple[Metric, ...]
    panel: str | None = None
    clock: str = "samples"
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(metric.of(self.frame) for metric in self.metrics))

    @property
    def drawable(self) -> bool:
        """Whether some run wrote rows of layers with these metrics."""
        wanted = {"layer", *(metric.name for metric in self.metrics)}
        return wanted <= self.frame.names and any(run.rows.stop > run.rows.start for run in self.frame.runs)

    @property
    def wide(self) -> bool:
        """Unless it has a single column."""
        return len(self.metrics) > 1

    def groups(self) -> list[list[RunRow]]:
        """The runs of each panel."""
        return list(by_hue(self.frame, self.panel).values()) if self.panel else [self.frame.runs]

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When no run that is done has rows of its layers.
        """
        from matplotlib.figure import Figure

        grids = self._grids
        values = (self.frame.values(self.panel) if self.panel else [None]) if grids else []
        if not any(len(grid.x) for row in grids for grid in row):
            raise ValueError("no run that is done has rows of its layers: train with +measure=gsnr")
        once = all(len(grid.x) < 2 for row in grids for grid in row)
        tallest = max(len(grid.layers) for row in grids for grid in row)
        height = min(max(1.6, 0.55 + 0.145 * tallest), 7.0) + (0.4 if once else 0.0)
        figure = Figure(figsize=(4.1 * len(self.metrics) + 1.6, height * len(values) + 0.9), layout="constrained")
        panels = figure.subplots(len(values), len(self.metrics), sharey="row", sharex=False, squeeze=False)
        for j, metric in enumerate(self.metrics):
            top = max((float(np.nanmax(row[j].z)) for row in grids if row[j].z.size), default=1.0)
            image = None
            for i, (value, row) in enumerate(zip(values, grids, strict=True)):
                axes, grid = panels[i, j], row[j]
                if once:
                    _dots(axes, grid, metric, top, named=j == 0)
                else:
                    image = _draw(axes, grid, metric, top, named=j == 0) or image
                over = [plain(metric.title, 45)] if i == 0 and len(self.metrics) > 1 else []
                if self.panel and j == 0:
                    over.append(plain(f"{self.panel} {value}", 50))
                axes.set_title("\n".join(over), loc="left", fontsize=9.5, color=INK)
                axes.set_title(_counted(grid, self.clock, once=once), loc="right", fontsize=7.5, color=GREY)
                if i == len(values) - 1:
                    label = plain(metric.title, 45) if once else CLOCK_LABELS[self.clock]
                    axes.set_xlabel(label, fontsize=9, color=INK)
            if image is not None:
                bar = figure.colorbar(image, ax=list(panels[:, j]), location="bottom", aspect=30, shrink=0.9, pad=0.02)
                bar.set_label(plain(metric.title, 50), fontsize=9, color=INK)
                bar.ax.tick_params(labelsize=8, colors=INK)
                bar.outline.set_visible(False)
        figure.suptitle(
            plain(self.title or self._title(), room(figure, 12)),
            x=0.01,
            ha="left",
            fontsize=11,
            weight="bold",
            color=INK,
        )
        notes = "\n".join(plain(note, room(figure, 7.5), lines=9) for note in self.mixtures())
        figure.supxlabel(notes, x=0.01, ha="left", fontsize=7.5, color=GREY)
        return figure

    @cached_property
    def _grids(self) -> list[list[_Grid]]:
        """By panel and metric what is drawn."""
        if not self.drawable:
            return []
        parts = split(self.frame, "layer")
        frames = [parts.where(**{self.panel: value}) for value in self.frame.values(self.panel)] if self.panel else []
        return [[_grid(part, metric, self.clock) for metric in self.metrics] for part in frames or [parts]]

    def cells(self, figure: Figure) -> list[tuple[Axes, Cells]]:
        """The mean of each layer at each time."""
        grids, found = self._grids, []
        values = self.frame.values(self.panel) if self.panel else [None]
        once = all(len(grid.x) < 2 for row in grids for grid in row)
        for axes, (value, metric, grid) in zip(
            figure.axes,
            [(value, *pair) for value, row in zip(values, grids, strict=True)
             for pair in zip(self.metrics, row, strict=True)],
            strict=False,  # colour bars follow
        ):  # fmt: skip
            if not len(grid.x):
                continue
            over = [f"{self.panel} {value}"] if self.panel else []
            several = [metric.label] if len(self.metrics) > 1 else []
            edges = list(axes.get_xlim()) if once else _edges(grid.x).tolist()
            found.append((axes, Cells(
                ", ".join([*over, *several]), "layer", [str(name) for name in grid.layers], CLOCK_LABELS[self.clock],
                [f"{x:,.6g}" for x in grid.x], edges, range(len(grid.layers) + 1), [metric.title, "n"],
                [grid.z.tolist(), [[grid.runs] * len(grid.x)] * len(grid.layers)],
            )))  # fmt: skip
        return found

    def names(self) -> list[Any]:
        """The values of the panel, the layers, and what is said above."""
        layers = split(self.frame, "layer").values("layer") if self.drawable else []
        return [*(self.frame.values(self.panel) if self.panel else ()), *layers, self.title]

    def _title(self) -> str:
        names = ", ".join(metric.label for metric in self.metrics)
        return f"{names} by layer{f' and {self.panel}' if self.panel else ''}"


@dataclass(frozen=True)
class _Grid:
    """What one panel shows.

    Attributes:
        layers: Their names, from the input down.
        x: What the clock says, of shape (points,), strictly increasing.
        z: The metric as shown, of shape (layers, points).
        runs: How many runs it is the mean of.
    """

    layers: Sequence[Any]
    x: Array
    z: Array
    runs: int


def _grid(part: Frame, metric: Metric, clock: str) -> _Grid:
    lines = [line for line in curves(part, metric, clock, "layer", log=False) if len(line.x)]
    x = np.unique(np.concatenate([line.x for line in lines])) if lines else np.empty(0)
    scale = metric.quantity.scale
    rows = [scale * np.interp(x, line.x, line.mean) for line in lines]
    return _Grid(
        [line.value for line in lines],
        x,
        np.stack(rows) if rows else np.empty((0, 0)),
        max((line.n for line in lines), default=0),
    )


def _edges(x: Array) -> Array:
    """Where the columns of times begin, and where the last one ends."""
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    return np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])  # nothing is known beyond the ends


def _draw(axes: Axes, grid: _Grid, metric: Metric, top: float, *, named: bool) -> ScalarMappable | None:
    from matplotlib.ticker import EngFormatter

    axes.tick_params(colors=INK, labelsize=7.5, length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not len(grid.x):
        _nothing(axes)
        return None
    share = metric.quantity.share
    image = axes.pcolormesh(
        _edges(grid.x), np.arange(len(grid.layers) + 1), grid.z, vmin=0, vmax=metric.quantity.scale if share else top,
        cmap="Blues" if share else "viridis", rasterized=grid.z.size > 2000,
    )  # fmt: skip
    _name_layers(axes, grid, named=named)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return image


def _dots(axes: Axes, grid: _Grid, metric: Metric, top: float, *, named: bool) -> None:
    """A dot for each layer, on one scale for all panels of a metric."""
    from batchlab.results.show.panels import dress

    dress(axes)
    axes.tick_params(axis="y", length=2, labelsize=7.5)
    if not len(grid.x):
        _nothing(axes)
        return
    places = np.arange(len(grid.layers)) + 0.5
    axes.hlines(places, 0, grid.z[:, 0], color=COLORS[0], lw=0.8, alpha=0.35)
    axes.plot(grid.z[:, 0], places, "o", color=COLORS[0], ms=4)
    axes.set_xlim(0, 1.05 * (metric.quantity.scale if metric.quantity.share else top or 1.0))
    axes.set_ylim(0, len(grid.layers))
    _name_layers(axes, grid, named=named)


def _name_layers(axes: Axes, grid: _Grid, *, named: bool) -> None:
    """Put the input's side on top, and names beside the layers."""
    if not axes.yaxis_inverted():  # an axis that panels share is turned once
        axes.invert_yaxis()
    if named:
        every = -(-len(grid.layers) // NAMES)
        shown = range(0, len(grid.layers), every)
        axes.set_yticks([i + 0.5 for i in shown], [plain(grid.layers[i], WIDTH, lines=1) for i in shown], fontsize=6.5)


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no run is done", ha="center", va="center", color=GREY, fontsize=8, transform=axes.transAxes)


def _counted(grid: _Grid, clock: str, *, once: bool) -> str:
    """`mean of 3 runs`, and at what time that was where it was one."""
    if not len(grid.x):
        return ""
    counted = f"mean of {grid.runs} runs" if grid.runs > 1 else "one run"
    return f"{counted}, at {grid.x[0]:,.6g} {CLOCK_LABELS[clock]}" if once else counted
