"""Figures: a metric against samples, steps, epochs, gradients or training time, one line per method.

Lines are means over seeds with a 95 % band (see `curves`), or of many lines an interval at the end. A run that diverged
is drawn as a thin line that ends in a cross, because the mean, which leaves it out, would hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batchlab.results.compare.curves import Curve, Track
from batchlab.results.compare.metrics import CLOCK_LABELS
from batchlab.results.compare.quantities import bounds
from batchlab.results.show.curves_shown import CurvesShown
from batchlab.results.show.drawing import INK
from batchlab.results.show.ends import BANDS, counts, end_bars
from batchlab.results.show.extent import (
    CUT,
    exit_of,
)
from batchlab.results.show.legend import head, legend
from batchlab.results.show.lettering import plain
from batchlab.results.show.looks import Looks, dotted, looks
from batchlab.results.show.numbers import named, numbered, panel_names
from batchlab.results.store.run import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKED = 8
"""Marks on a line, about."""
ACROSS = (1, 1, 2, 2, 3)
"""By how many panels there are, how many of them stand side by side, where there is one clock."""
SIDE = 0.002
"""How far apart the points of lines of one point are, as a part of where they are."""
WHOLE = ("samples", "steps", "gradients", "batch_size")
"""What has no parts, so that no tick stands between."""
COUNTED = ("samples", "steps", "gradients", "flops")
"""Clocks whose ticks have a k for a thousand."""
HELD = 0.02
"""Of the width: a running extreme keeps its last value so far, whose step were else a mere stroke at the edge."""
THIN = 50
"""So many runs that did not finish are drawn of a line: nobody could tell more apart."""


@dataclass(frozen=True)
class Plot(CurvesShown):
    """A metric over one clock or several: one panel per clock, and one row of panels per value of `panel`."""

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When no run has a row of the metric, or for an axis that no run has.
        """
        from matplotlib.figure import Figure

        values = self.frame.values(self.panel) if self.panel else [None]
        log, drawn = self._log, self._drawn
        if not any(lines for row in drawn for lines in row):
            raise ValueError(f"no run has a row of {self.metric.name} yet: see `batchlab status`")
        across = len(self.clocks) if len(self.clocks) > 1 else ACROSS[min(len(values), len(ACROSS)) - 1]
        wrapped = across > len(self.clocks)
        down = -(-len(values) // across) if wrapped else len(values)
        width = 4.1 * across + (1.2 if across == 1 else 0)
        figure = Figure(figsize=(width, 3.1 * down + 0.9), layout="constrained")
        panels = figure.subplots(down, across, sharey=False if wrapped else "row", squeeze=False)
        known = looks(self.frame, self.hue)
        titles = panel_names(self.frame, self.panel) if self.panel else {}
        if any(len(line.x) == 1 for row in drawn for lines in row for line in lines):
            known = {hue: dotted(look) for hue, look in known.items()}
        for i, (value, row) in enumerate(zip(values, drawn, strict=True)):
            own = [panels[divmod(i, across)]] if wrapped else list(panels[i])
            last = i + across >= len(values) if wrapped else i == len(values) - 1
            for j, (axes, clock, lines) in enumerate(zip(own, self.clocks, row, strict=True)):
                self._draw(axes, lines, known, set() if log else self._exploded(row))
                self._dress(axes, clock, first=j == 0 and (not wrapped or i % across == 0), last=last, log=log)
                if len(places := {float(x) for line in lines for x in line.x}) == 1:
                    axes.set_xticks([*places])
                    axes.margins(x=0.08)
                elif len(lines) > BANDS:
                    end_bars(axes, lines, known, self.metric.quantity.scale, self._band)
                if self.panel and j == 0:
                    title = plain(titles[value][1], 50)
                    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
            if (ends := self._ends(row)) is not None:
                own[0].set_ylim(*ends)
                for j, axes in enumerate(own):
                    self._arrows(axes, row, j, known, ends)
        for axes in panels.flat[len(values) if wrapped else panels.size :]:
            axes.remove()
        self._legend(figure, [line for row in drawn for line in row[0]], known, across, log=log)
        head(figure, self.title or f"{self._title()} by {self.hue.replace(',', ', ')}")
        return figure

    def _arrows(
        self, axes: Axes, row: Sequence[Sequence[Curve]], j: int, known: Looks, ends: tuple[float, float]
    ) -> None:
        """Mark where lines that exploded and runs that diverged leave the plot."""
        far = self._exploded(row)
        for line in row[j]:
            outs = self._exits(_some(line.lost), ends)
            if id(line) in far and (out := exit_of(line.x, self.metric.quantity.scale * line.mean, ends)):
                outs.append(out)
            for x, up in outs:
                look = {"color": known[line.value]["color"], "ms": 6, "clip_on": False, "zorder": 5}
                axes.plot([x], [ends[up]], "^" if up else "v", **look)

    def _draw(self, axes: Axes, lines: Sequence[Curve], known: Looks, far: set[int]) -> None:
        """Draw the lines of a panel; those that exploded (by `id`) without a band, which would hide the others."""
        step = self.metric.reduce != "last"
        tracks = [*(line.x for line in lines), *(track.x for line in lines for track in line.lost)]
        places = np.concatenate([*tracks, np.empty(0)])
        once = len({float(x) for line in lines for x in line.x}) == 1  # side by side, at a single tick
        held = HELD * float(np.ptp(places)) if step and len(places) else 0.0
        for i, line in enumerate(lines):
            look = known[line.value]
            color, dash = look["color"], look["ls"]
            scale = self.metric.quantity.scale
            drawstyle = "steps-post" if step else "default"
            marked = [*range(0, len(line.x), max(1, len(line.x) // MARKED))]
            x = line.x + (i - len(lines) / 2) * SIDE * abs(line.x) if once else line.x
            low, high = self._band(line)
            mean = line.mean
            if held and len(x) > 1:
                x, mean, low, high = np.append(x, x[-1] + held), *(np.append(y, y[-1]) for y in (mean, low, high))
            axes.plot(x, scale * mean, **look, markevery=marked, lw=1.7, ms=4, drawstyle=drawstyle, zorder=3)
            if (
                line.n > 2 and len(line.x) == 1
            ):  # two seeds have an interval of 13 standard errors: it would hide the rest
                axes.vlines(x, scale * low, scale * high, color=color, lw=1.3)
            elif line.n > 2 and len(lines) <= BANDS and id(line) not in far:
                band = axes.fill_between(x, scale * low, scale * high, step="post" if step else None)
                band.set(color=color, alpha=0.16 if len(lines) < 6 else 0.09, linewidth=0, zorder=2)
            shown = _some(line.lost)
            for track in shown:
                axes.plot(track.x, scale * track.y, color=color, ls=dash, lw=0.7, alpha=0.6, drawstyle=drawstyle)
            ends = [(track.x[-1], scale * track.y[-1]) for track in shown if track.state is State.DIVERGED]
            if ends:
                axes.plot(*zip(*ends, strict=True), "x", color=color, ms=6, mew=1.6, zorder=4)

    def _dress(self, axes: Axes, clock: str, *, first: bool, last: bool, log: bool) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        if log:
            axes.set_yscale("log")
        elif self.metric.name in WHOLE:
            axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
        scale = self.metric.quantity.scale
        least, most = bounds(self.metric.name, self.metric.quantity, self._values)
        numbered(axes.yaxis, log=log, within=(scale * least, scale * most))
        if clock in WHOLE:
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
        if clock in COUNTED:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(which="both", colors=INK, labelsize=8, labelbottom=True)
        axes.grid(True, which="major", color="#8c959f", alpha=0.25, lw=0.6)
        axes.margins(x=0.01)
        if last:
            unit = " [s]" if clock == "seconds" else ""
            axes.set_xlabel(f"{CLOCK_LABELS[clock]}{unit}", fontsize=9, color=INK)
        if first:
            axes.set_ylabel(plain(self._title(), 45), fontsize=9, color=INK)

    def _legend(self, figure: Figure, lines: Sequence[Curve], known: Looks, across: int, *, log: bool) -> None:
        owns = {hue: [line for line in lines if line.value == hue] for hue in known}
        names = named(self.frame, self.hue)
        entries = [(known[hue], f"{names[hue]} ({counts(own)})") for hue, own in owns.items() if own]
        mean = f"{'geometric mean' if log else 'mean'} over seeds"
        some = f" ({THIN} of a line's are drawn)" if any(len(line.lost) > THIN for line in lines) else ""
        many = any(len(own) > BANDS and max(len(line.x) for line in own) > 1 for row in self._drawn for own in row)
        ends = any(line.n > 2 and bool(np.isfinite(line.low).any()) for line in lines)
        where = "at the right the 95 % t interval of each line's end" if many else "95 % t interval"
        lost = [track.state for line in lines for track in line.lost]
        crosses = ", × diverged" if State.DIVERGED in lost else ""
        cut_seen, leaving = self._intervals()
        stop = ";\n" if across == 1 and ends else "; "  # one panel is too narrow for the whole line
        said = [
            f"{mean}{f', {where} (from n = 3 on)' if ends else ''}"
            f"{f'{stop}thin lines did not finish{some}{crosses}' if lost else ''}",
            *self._gone(),
            *leaving,
            *([CUT] if cut_seen else []),
            *(plain(note, 90 * across, lines=9) for note in [*self._bare(), *self.mixtures()]),
        ]
        legend(figure, entries, said, 2 + across // 2 * 2)


def _some(tracks: Sequence[Track]) -> Sequence[Track]:
    """At most `THIN` of them, evenly among all."""
    if len(tracks) <= THIN:
        return tracks
    return [tracks[i] for i in np.linspace(0, len(tracks) - 1, THIN).round().astype(int)]
