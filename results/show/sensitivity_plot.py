"""Sensitivity curves: a metric at the end of runs against a hyper-parameter, one line per method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.compare.sensitivity import Line
from batchlab.results.show.ends import BANDS
from batchlab.results.show.legend import head, legend
from batchlab.results.show.lettering import plain
from batchlab.results.show.looks import Looks, numeric
from batchlab.results.show.numbers import named, numbered, panel_names
from batchlab.results.show.panels import dress
from batchlab.results.show.plot import ACROSS
from batchlab.results.show.sensitivity_points import apart, fallen, over, said_of
from batchlab.results.show.sensitivity_shown import SensitivityShown, strip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 0.5
"""The width that methods take side by side at a word: on top of each other nobody could tell them apart."""


@dataclass(frozen=True)
class Sensitivity(SensitivityShown):
    """A metric against a key: the mean over seeds at each value, what diverged there, and the value chosen."""

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw, with the way out.
        """
        from matplotlib.figure import Figure

        panels, drawn = self._shown()
        known = self._looks
        across = ACROSS[min(len(panels), len(ACROSS)) - 1] if len(panels) > 2 else len(panels)
        down = -(-len(panels) // across)
        figure = Figure(figsize=(max(5.3, 4.1 * across), 3.4 * down + 0.8), layout="constrained")
        places = figure.subplots(down, across, squeeze=False).flat
        titles = panel_names(self.frame, self.panel) if self.panel else {None: ("", "")}
        for axes, value, own in zip(places, panels, drawn, strict=False):
            self._draw(axes, own, known)
            axes.set_xlabel(plain(self.key, 45))
            axes.set_ylabel(plain(self.metric.title, 45) if axes.get_subplotspec().is_first_col() else "")
            dress(axes, plain(titles[value][1], 50) if self.panel else "")
        for axes in places[len(panels) :]:
            axes.remove()
        names = named(self.frame, self.hue)
        entries = [(known[hue], f"{names[hue]} ({said_of([line for own in drawn for line in own if line.hue == hue])})")
                   for hue in known]  # fmt: skip
        legend(figure, entries, [*self._said(drawn, 90 * across), *self._intervals()[1]], 2 + across // 2 * 2)
        head(figure, self.title or f"{self.metric.title} by {self.key}")
        return figure

    def _draw(self, axes: Axes, own: Sequence[Line], known: Looks) -> None:
        counts = numeric(self.key, self._values)
        x_axis, at = over(self.key, self._values)
        if x_axis.log:
            axes.set_xscale("log")
        if x_axis.words:
            axes.set_xticks([*at.values()], [plain(value, 18) for value in at])
        elif x_axis.ticks:
            axes.set_xticks(*zip(*apart(x_axis.ticks, log=x_axis.log), strict=True))
            axes.minorticks_off()
        else:
            numbered(axes.xaxis, log=x_axis.log)
        log = self.extent.log(self.metric, self._numbers(own))
        if log:
            axes.set_yscale("log")
        numbered(axes.yaxis, log=log, within=self._bounds(own))
        scale = self.metric.quantity.scale
        top = (self._ends(own) or (0.0, math.inf))[1]
        for i, line in enumerate(own):
            look = known[line.hue] | {"marker": known[line.hue]["marker"] or "o"}
            places = at if counts else {value: x + SIDE * (i / len(own) - 0.5) for value, x in at.items()}
            x, mean, low, high = self._columns(line.points, places, own)
            axes.plot(x, scale * mean, **look | ({} if counts else {"ls": ""}), lw=1.6, ms=4.5, zorder=3)
            hollow = np.array([bool(point.missed or point.diverged) for point in line.points])
            axes.plot(
                x[hollow], scale * mean[hollow], look["marker"], color=look["color"], mfc="white", ms=4.5, zorder=4
            )
            shown = np.array([point.n > 2 for point in line.points]) & ~np.isnan(low) & (scale * mean <= top)
            color = look["color"]
            axes.vlines(x[shown], scale * low[shown], scale * high[shown], color=color, lw=1.1, alpha=0.75)
            if counts and len(own) <= BANDS:
                band = axes.fill_between(x, scale * low, scale * high, where=shown.tolist())
                band.set(color=color, alpha=0.13 if len(own) < 6 else 0.08, linewidth=0)
            self._mark(axes, line, places, own, color)
        axes.update_datalim([(x, 1.0) for x in at.values()], updatey=False)  # also where nothing was measured
        self._room(axes, own, at, known)

    def _mark(self, axes: Axes, line: Line, at: dict[Any, float], own: Sequence[Line], color: str) -> None:
        """Ring the value chosen, and set the judged runs beside it."""
        scale = self.metric.quantity.scale
        for point in line.points:
            if point.value == line.chosen:
                ring: dict[str, Any] = {"ms": 11, "mfc": "none", "mec": color, "mew": 1.5, "zorder": 4}
                axes.plot([at[point.value]], [scale * point.mean], "o", **ring)
        if line.judged is not None:
            (x,), (mean,), (low,), (high,) = self._columns([line.judged], at, own)
            axes.plot([x], [scale * mean], "D", color=color, ms=6, zorder=5)
            if line.judged.n > 2 and not np.isnan(low):
                axes.vlines([x], [scale * low], [scale * high], color=color, lw=2.4, zorder=4)

    def _room(self, axes: Axes, own: Sequence[Line], at: dict[Any, float], known: Looks) -> None:
        """Set the range, and below say of each hue how many runs diverged."""
        ends = self._ends(own)
        if ends is not None:
            axes.set_ylim(*ends)
        top = axes.get_ylim()[1]
        for line in own if self.extent.range is None else ():
            for point in line.points:
                if self.metric.quantity.scale * point.mean > top:
                    axes.plot(
                        [at[point.value]], [top], "^", color=known[line.hue]["color"], ms=6, clip_on=False, zorder=5
                    )
        counted = fallen(own)
        for row, line in enumerate(reversed(counted)):
            for point in line.points:
                if point.diverged:
                    up = strip(len(counted)) * (row + 0.6)
                    axes.text(
                        at[point.value], up, f"×{point.diverged}", color=known[line.hue]["color"],
                        transform=axes.get_xaxis_transform(), ha="center", va="center", fontsize=7.5, weight="bold",
                    )  # fmt: skip
