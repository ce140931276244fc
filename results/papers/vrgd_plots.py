"""Figures of VRGD (arXiv 2309.13681): the toy's weights over time, and accuracy against the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.compare.curves import curves
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.papers.beside import ours_of
from batchlab.results.show.drawing import COLORS, GREY, Drawing
from batchlab.results.show.panels import LEGEND, dress, head
from batchlab.results.store.run import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^D"
WINDOW = 10
ACCURACY = "test_accuracy"


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
        from matplotlib import colormaps
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        if not self.drawable:
            raise ValueError("the weights were not recorded: train with +measure=parameters")
        methods = self.frame.values("method")
        figure = Figure(figsize=(3.7 * len(methods) + 0.9, 5.6), layout="constrained")
        panels = figure.subplots(2, len(methods), sharex=True, sharey="row", squeeze=False)
        shades = colormaps["viridis"](np.linspace(0, 0.93, len(self.weights)))
        for j, method in enumerate(methods):
            part = self.frame.where(method=method)
            for i, shade in zip(self.weights, shades, strict=True):
                self._line(panels[0, j], part, f"w{i}", shade, log=False)
                self._line(panels[1, j], part, f"gsnr_w{i}", shade, log=True)
            dress(panels[0, j], str(method))
            dress(panels[1, j])
            panels[1, j].set_xlabel("steps")
            if not panels[1, j].lines:
                panels[1, j].text(
                    0.5, 0.5, "not measured", ha="center", color=GREY, fontsize=8, transform=panels[1, j].transAxes
                )
        panels[1, 0].set_yscale("log")
        panels[0, 0].set_ylabel("weight")
        panels[1, 0].set_ylabel(f"signal-to-noise ratio\n(geometric mean of {WINDOW} steps)")
        handles = [Line2D([], [], color=c, lw=2, label=f"w{i}") for i, c in zip(self.weights, shades, strict=True)]
        figure.legend(handles=handles, loc="outside right center", **LEGEND)
        head(figure, self.title)
        return figure

    def _line(self, axes: Axes, part: Frame, name: str, shade: Any, *, log: bool) -> None:
        if name not in part.names:
            return
        for line in curves(part, Metric(name), "steps", "method", log=log):
            y = line.mean
            x = line.x
            if log and len(y) >= WINDOW:  # one step's ratio is noisy, and flips where the step overshoots
                y = np.exp(np.lib.stride_tricks.sliding_window_view(np.log(y), WINDOW).mean(axis=1))
                x = x[WINDOW - 1 :]
            axes.plot(x, y, color=shade, lw=1.5)


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
        pairs, batches, variants = (self.frame.values(key) for key in ("pair", "batch", "variant"))
        figure = Figure(figsize=(2.7 * len(pairs) + 0.6, 3.5), layout="constrained")
        panels = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
        for i, (axes, pair) in enumerate(zip(panels, pairs, strict=True)):
            for k, variant in enumerate(variants):
                self._line(axes, self.frame.where(pair=pair, variant=variant), batches, k, len(variants))
            axes.set_xscale("log")
            axes.set_xticks(batches, [f"{batch:,}" for batch in batches])
            axes.minorticks_off()
            axes.set_xlabel("batch size")
            if i == 0:
                axes.set_ylabel("test accuracy [%]")
            dress(axes, str(pair))
        return _named(figure, variants, self.title)

    def _line(self, axes: Axes, part: Frame, batches: Sequence[int], k: int, lines: int) -> None:
        places, means, spreads = [], [], []
        for batch in batches:
            found = ours_of(part.where(batch=batch), Metric(ACCURACY))
            if found and found.values:
                summary = found.summary
                places.append(batch * 1.035 ** (k - (lines - 1) / 2))  # side by side: bars would hide each other
                means.append(summary.mean)
                spreads.append(summary.std if summary.n > 1 else 0.0)
            if found and found.lost:
                at = (batch, 0.02 + 0.06 * k)
                look: dict[str, Any] = {"ha": "center", "fontsize": 7, "color": COLORS[k]}
                axes.annotate(f"† {found.lost} lost", at, xycoords=("data", "axes fraction"), **look)
        axes.errorbar(places, means, spreads, color=COLORS[k], marker=MARKERS[k], ms=4, lw=1.5, capsize=2)


@dataclass(frozen=True)
class MetricByRate(Drawing):
    """A metric against the learning rate: one row per pair, one column per batch size, one line per variant.

    Attributes:
        frame: Runs with the labels `pair`, `batch`, `variant` and `lr`.
        metric: What is drawn: a dot for each run, and a line through the means.
        title: Over the whole figure.
    """

    frame: Frame
    metric: Metric
    title: str = ""

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
        for i, pair in enumerate(pairs):
            for j, batch in enumerate(batches):
                axes = panels[i, j]
                part = self.frame.where(pair=pair, batch=batch)
                for k, variant in enumerate(variants):
                    self._line(axes, part.where(variant=variant), k)
                axes.set_xscale("log")
                rates = sorted({run.value("lr") for run in part.runs})
                axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
                axes.minorticks_off()
                if i == len(pairs) - 1:
                    axes.set_xlabel("learning rate")
                if j == 0:
                    axes.set_ylabel(f"{pair}\n{self.metric.title}")
                dress(axes, "" if i else f"batch {batch}")
        return _named(figure, variants, self.title)

    def _line(self, axes: Axes, part: Frame, k: int) -> None:
        values = self.metric.quantity.scale * self.metric.measure(part).values
        done = [run.state is State.DONE for run in part.runs]
        rates = np.array([float(run.value("lr")) for run in part.runs])
        keep = np.array(done, dtype=bool) & np.isfinite(values)
        x = np.unique(rates[keep])
        color = COLORS[k]
        axes.plot(x, [values[keep & (rates == rate)].mean() for rate in x], color=color, lw=1.7, zorder=3)
        axes.plot(rates[keep], values[keep], MARKERS[k], color=color, ms=3.5, alpha=0.6, mew=0, zorder=2)
        lost = np.array([run.state is State.DIVERGED for run in part.runs], dtype=bool)
        if lost.any():
            height = np.full(int(lost.sum()), 0.02 * (k + 1))
            axes.plot(rates[lost], height, "x", color=color, transform=axes.get_xaxis_transform(), zorder=4)


def _named(figure: Figure, variants: Sequence[Any], title: str) -> Figure:
    """The figure with its title, and a legend of what each colour and marker is."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLORS[k], marker=MARKERS[k], ms=4, lw=1.7, label=str(variant))
        for k, variant in enumerate(variants)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, **LEGEND)
    head(figure, title)
    return figure
