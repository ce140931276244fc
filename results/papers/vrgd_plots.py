"""Figures of VRGD (arXiv 2309.13681): the toy's weights over time, and accuracy against the learning rate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.compare.curves import curves
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.replicates import Key
from batchlab.results.compare.stats import summarize
from batchlab.results.papers.beside import ours_of
from batchlab.results.show.drawing import COLORS, GREY, Drawing
from batchlab.results.show.panels import LEGEND, dress, head
from batchlab.results.show.points import RING, Axis, Dots, Panel, Point, Points
from batchlab.results.store.run import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^D"
WINDOW = 10
RATIO = "signal-to-noise ratio"
ACCURACY = "test_accuracy"
READ = "mean over seeds, a dot for each run"
LOST = "×k: of so many seeds the run diverged"
RINGED = "ring: the rate that was chosen, on seeds of its own"


@dataclass(frozen=True)
class Weights(Drawing):
    """Each weight against the steps, one column per method; below it the signal-to-noise ratio of its gradient.

    Attributes:
        frame: Runs with the label `method` and the columns w1, gsnr_w1, ...
        weights: Which weights, counted from 1.
        title: Over the whole figure.
    """

    frame: Frame
    weights: Sequence[int]
    title: str = ""

    @property
    def drawable(self) -> bool:
        """Whether the weights were recorded."""
        return self.frame.has(*(f"w{i}" for i in self.weights))

    def figure(self) -> Figure:
        """Draw means over the runs that are done.

        Raises:
            ValueError: The weights were not recorded.
        """
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        drawn = self.points().panels
        columns = len(drawn) // 2
        figure = Figure(figsize=(3.7 * columns + 0.9, 5.6), layout="constrained")
        panels = figure.subplots(2, columns, sharex=True, sharey="row", squeeze=False)
        for axes, panel in zip(panels.flat, drawn, strict=True):
            for line in panel.lines:
                x, y = ([getattr(point, key) for point in line.points] for key in ("x", "y"))
                axes.plot(x, y, color=line.look["color"], lw=1.5)
        for (above, below), panel in zip(panels.T, drawn[:columns], strict=True):
            dress(above, panel.title)
            dress(below)
            below.set_xlabel(panel.x.label)
            if not below.lines:
                below.text(0.5, 0.5, "not measured", ha="center", color=GREY, fontsize=8, transform=below.transAxes)
        panels[1, 0].set_yscale("log")
        panels[0, 0].set_ylabel("weight")
        panels[1, 0].set_ylabel(f"{RATIO}\n(geometric mean of {WINDOW} steps)")
        looks = {line.name: line.look for line in drawn[0].lines}
        handles = [Line2D([], [], color=look["color"], lw=2, label=name) for name, look in looks.items()]
        figure.legend(handles=handles, loc="outside right center", **LEGEND)
        head(figure, self.title)
        return figure

    def points(self) -> Points:
        """As `figure` draws them: the weights of each method, then the ratios.

        Raises:
            ValueError: The weights were not recorded.
        """
        from matplotlib import colormaps
        from matplotlib.colors import to_hex

        if not self.drawable:
            raise ValueError("the weights were not recorded: train with +measure=parameters")
        shades = dict(zip(self.weights, colormaps["viridis"](np.linspace(0, 0.93, len(self.weights))), strict=True))
        panels = []
        for before, label, log in (("", "weight", False), ("gsnr_", RATIO, True)):
            for method in self.frame.values("method"):
                part = self.frame.where(method=method)
                lines = [
                    Dots(f"w{i}", {"color": to_hex(shade), "marker": ""}, self._line(part, f"{before}w{i}", log=log))
                    for i, shade in shades.items()
                ]
                panels.append(Panel(str(method), Axis("steps"), Axis(label, log, arithmetic=not log), lines))
        note = f"means over seeds; the ratios are geometric means over seeds and {WINDOW} steps"
        return Points(self.title, panels, [note], "method")

    @staticmethod
    def _line(part: Frame, name: str, *, log: bool) -> list[Point]:
        if name not in part.names:
            return []
        found = curves(part, Metric(name), "steps", "method", log=log)
        if not found:
            return []
        (line,) = found
        x, y = line.x, line.mean
        if log and len(y) >= WINDOW:  # one step's ratio is noisy, and flips where the step overshoots
            y = np.exp(np.lib.stride_tricks.sliding_window_view(np.log(y), WINDOW).mean(axis=1))
            x = x[WINDOW - 1 :]
        return [Point(*point) for point in zip(x.tolist(), y.tolist(), strict=True)]


@dataclass(frozen=True)
class AccuracyByBatch(Drawing):
    """Test accuracy against the batch size: one panel per pair, one line per variant.

    Attributes:
        frame: Runs at their best learning rates, with the labels `pair`, `batch` and `variant`.
        title: Over the whole figure.
    """

    frame: Frame
    title: str = ""

    @property
    def drawable(self) -> bool:
        """Whether some run has an accuracy."""
        return self.frame.has(ACCURACY)

    def figure(self) -> Figure:
        """Draw means over the seeds that are done, with a standard deviation either way, and how many were lost.

        Raises:
            ValueError: No run has an accuracy.
        """
        from matplotlib.figure import Figure

        if not self.drawable:
            raise ValueError(f"no run has a row of {ACCURACY} yet: see `batchlab status`")
        drawn = self.points()
        variants = [line.name for line in drawn.panels[0].lines]
        figure = Figure(figsize=(2.7 * len(drawn.panels) + 0.6, 3.5), layout="constrained")
        panels = figure.subplots(1, len(drawn.panels), sharey=True, squeeze=False)[0]
        for i, (axes, panel) in enumerate(zip(panels, drawn.panels, strict=True)):
            for k, line in enumerate(panel.lines):
                self._line(axes, line, k, len(variants))
            axes.set_xscale("log")
            axes.set_xticks(*zip(*panel.x.ticks, strict=True))
            axes.minorticks_off()
            axes.set_xlabel(panel.x.label)
            if i == 0:
                axes.set_ylabel(f"{panel.y.label} [{panel.y.unit}]")
            dress(axes, panel.title)
        return _named(figure, variants, self.title)

    def points(self) -> Points:
        """As `figure` draws them.

        Raises:
            ValueError: No run has an accuracy.
        """
        if not self.drawable:
            raise ValueError(f"no run has a row of {ACCURACY} yet: see `batchlab status`")
        pairs, batches, variants = (self.frame.values(key) for key in ("pair", "batch", "variant"))
        x = Axis("batch size", log=True, ticks=[(batch, f"{batch:,}") for batch in batches])
        y = Axis("test accuracy", unit="%", least=0.0, most=100.0, arithmetic=True)
        parts = {pair: self.frame.where(pair=pair) for pair in pairs}
        panels = [
            Panel(str(pair), x, y, [self._dots(part.where(variant=name), batches, k, name)
                                    for k, name in enumerate(variants)])
            for pair, part in parts.items()
        ]  # fmt: skip
        note = "mean over seeds, each with its standard deviation either way; † lost: not in the mean"
        return Points(self.title, panels, [note], "pair", bars=True)

    @staticmethod
    def _dots(part: Frame, batches: Sequence[int], k: int, name: Any) -> Dots:
        points, fallen = [], []
        for batch in batches:
            found = ours_of(part.where(batch=batch), Metric(ACCURACY))
            lost = f"† {found.lost} lost" if found and found.lost else ""
            if found and found.values:
                own = found.summary
                spread = own.std if own.n > 1 else math.nan
                points.append(Point(batch, own.mean, own.mean - spread, own.mean + spread, own.n, lost))
            if lost:
                fallen.append((float(batch), lost))
        return Dots(str(name), {"color": COLORS[k], "marker": MARKERS[k]}, points, fallen=fallen)

    @staticmethod
    def _line(axes: Axes, line: Dots, k: int, lines: int) -> None:
        places = [point.x * _aside(k, lines) for point in line.points]
        spreads = [0.0 if math.isnan(point.high) else point.high - point.y for point in line.points]
        means = [point.y for point in line.points]
        axes.errorbar(places, means, spreads, color=COLORS[k], marker=MARKERS[k], ms=4, lw=1.5, capsize=2)
        for batch, text in line.fallen:
            look: dict[str, Any] = {"ha": "center", "fontsize": 7, "color": COLORS[k]}
            axes.annotate(text, (batch, 0.02 + 0.06 * k), xycoords=("data", "axes fraction"), **look)


@dataclass(frozen=True)
class MetricByRate(Drawing):
    """A metric against the learning rate: one row per pair, one column per batch size, one line per variant.

    Attributes:
        frame: Runs with the labels `pair`, `batch`, `variant` and `lr`.
        metric: What is drawn: a dot for each run, and a line through the means.
        title: Over the whole figure.
        chosen: By pair, variant and batch size the rate that was chosen.
    """

    frame: Frame
    metric: Metric
    title: str = ""
    chosen: Mapping[Key, Any] = field(default_factory=dict)

    @property
    def drawable(self) -> bool:
        """Whether some run measured the metric."""
        return self.frame.has(self.metric.name)

    def figure(self) -> Figure:
        """Draw means over the seeds that are done; a cross on the axis is a run that diverged.

        Raises:
            ValueError: No run has measured the metric.
        """
        from matplotlib.figure import Figure

        if not self.drawable:
            raise ValueError(f"no run has a row of {self.metric.name} yet: see `batchlab status`")
        pairs, batches, variants = (self.frame.values(key) for key in ("pair", "batch", "variant"))
        figure = Figure(figsize=(3.1 * len(batches) + 0.6, 2.2 * len(pairs) + 0.9), layout="constrained")
        panels = figure.subplots(len(pairs), len(batches), squeeze=False)
        shown = self.points()
        drawn = iter(shown.panels)
        for i, pair in enumerate(pairs):
            for j, batch in enumerate(batches):
                axes, panel = panels[i, j], next(drawn)
                for k, line in enumerate(panel.lines):
                    self._line(axes, line, k, len(panel.lines))
                axes.set_xscale("log")
                axes.set_xticks([at for at, _ in panel.x.ticks], [text for _, text in panel.x.ticks])
                axes.minorticks_off()
                if i == len(pairs) - 1:
                    axes.set_xlabel(panel.x.label)
                if j == 0:
                    axes.set_ylabel(f"{pair}\n{self.metric.title}")
                dress(axes, "" if i else f"batch {batch}")
        return _named(figure, variants, self.title, shown.notes)

    def points(self) -> Points:
        """As `figure` draws them: a panel for each pair and batch size, pair by pair.

        Raises:
            ValueError: No run has measured the metric.
        """
        if not self.drawable:
            raise ValueError(f"no run has a row of {self.metric.name} yet: see `batchlab status`")
        pairs, batches, variants = (self.frame.values(key) for key in ("pair", "batch", "variant"))
        bound, panels = self.metric.of(self.frame), []
        measured = self.metric.measure(self.frame).values
        ends = bounds(bound.name, bound.quantity, measured[np.isfinite(measured)])
        least, most = (bound.quantity.scale * end for end in ends)
        for pair, batch in product(pairs, batches):
            part = self.frame.where(pair=pair, batch=batch)
            rates = sorted({float(run.value("lr")) for run in part.runs})
            x = Axis("learning rate", log=True, ticks=[(rate, f"{rate:g}") for rate in rates])
            lines = [
                self._dots(part.where(variant=name), k, (pair, name, batch), (least, most))
                for k, name in enumerate(variants)
            ]
            y = Axis(bound.label, unit=bound.quantity.unit, least=least, most=most, arithmetic=True)
            panels.append(Panel(f"pair {pair}, batch {batch}", x, y, lines, f"{pair} {batch}"))
        every = [line for panel in panels for line in panel.lines]
        points = [point for line in every for point in line.points]
        spread = any(math.isfinite(point.high) for point in points)
        ringed = any(RING in point.marks for point in points)
        said = [f"{READ}{', 95 % t interval (from n = 3 on)' if spread else ''}"]
        said += [LOST] * any(line.fallen for line in every) + [RINGED] * ringed
        return Points(self.title, panels, said, "pair, batch", bars=True)

    def _dots(self, part: Frame, k: int, cell: Key, within: tuple[float, float]) -> Dots:
        values = self.metric.quantity.scale * self.metric.measure(part).values
        rates = np.array([float(run.value("lr")) for run in part.runs])
        keep = np.array([run.state is State.DONE for run in part.runs], dtype=bool) & np.isfinite(values)
        lost = Counter(float(run.value("lr")) for run in part.runs if run.state is State.DIVERGED)
        points = []
        for rate in np.unique(rates[keep]).tolist():
            own = values[keep & (rates == rate)]
            ring = rate == self.chosen.get(cell)
            note = ", ".join([f"{lost[rate]} diverged"] * bool(lost[rate]) + ["chosen"] * ring)
            summary = summarize(own)
            low, high = map(float, np.clip([summary.low, summary.high], *within) if len(own) > 2 else [math.nan] * 2)
            points.append(Point(rate, summary.mean, low, high, len(own), note, (RING,) * ring))
        single = list(zip(rates[keep].tolist(), values[keep].tolist(), strict=True))
        fallen = [(rate, f"×{n}") for rate, n in sorted(lost.items())]
        return Dots(str(cell[1]), {"color": COLORS[k], "marker": MARKERS[k]}, points, single=single, fallen=fallen)

    @staticmethod
    def _line(axes: Axes, line: Dots, k: int, lines: int) -> None:
        color, aside = COLORS[k], _aside(k, lines)
        axes.plot(
            [aside * point.x for point in line.points],
            [point.y for point in line.points],
            color=color,
            lw=1.7,
            zorder=3,
        )
        each = [aside * x for x, _ in line.single], [y for _, y in line.single]
        axes.plot(*each, MARKERS[k], color=color, ms=3.5, alpha=0.6, mew=0, zorder=2)
        for point in line.points:
            axes.vlines([aside * point.x], [point.low], [point.high], color=color, lw=1.1, alpha=0.75)
            if RING in point.marks:
                axes.plot([aside * point.x], [point.y], "o", ms=11, mfc="none", mec=color, mew=1.5, zorder=4)
        rates = [rate for rate, _ in line.fallen]
        if rates:
            height = [0.02 * (k + 1)] * len(rates)
            axes.plot(rates, height, "x", color=color, transform=axes.get_xaxis_transform(), zorder=4)


def _aside(k: int, lines: int) -> float:
    """By what the k-th of several lines stands aside on a logarithmic axis, for bars would hide each other."""
    return float(1.035 ** (k - (lines - 1) / 2))


def _named(figure: Figure, variants: Sequence[Any], title: str, said: Sequence[str] = ()) -> Figure:
    """The figure with its title, a legend of what each colour and marker is, and lines above that."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLORS[k], marker=MARKERS[k], ms=4, lw=1.7, label=str(variant))
        for k, variant in enumerate(variants)
    ]
    read = {"title": "\n".join(said), "title_fontsize": 7.5, "alignment": "left"}
    figure.legend(handles=handles, loc="outside lower left", ncols=4, **LEGEND, **read).get_title().set_color(GREY)
    head(figure, title)
    return figure
