"""Figures: a metric against samples, steps, epochs, gradients or training time, one line per method.

Lines are means over seeds with a 95 % band (see `curves`), or of many lines an interval at the end. A run that diverged
is drawn as a thin line that ends in a cross, because the mean, which leaves it out, would hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from batchlab.results.compare.caveats import timed, together_note
from batchlab.results.compare.curves import Curve, Track, by_hue, curves
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCK_LABELS, Metric
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.replicates import mixed_keys
from batchlab.results.compare.stats import Array
from batchlab.results.show.drawing import INK, FrameDrawing, without_note
from batchlab.results.show.ends import BANDS, counts, end_bars, without_line
from batchlab.results.show.extent import (
    CUT,
    FREE,
    Extent,
    Interval,
    cut,
    exit_of,
    exploded,
    of_intervals,
    ways,
)
from batchlab.results.show.legend import head, legend
from batchlab.results.show.lettering import plain
from batchlab.results.show.looks import Looks, dotted, looks
from batchlab.results.show.numbers import named, numbered, panel_names
from batchlab.results.store.run import State
from batchlab.results.words import count

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
THIN = 50
"""So many runs that did not finish are drawn of a line: nobody could tell more apart."""


@dataclass(frozen=True)
class Plot(FrameDrawing):
    """A metric over one clock or several: one panel per clock, and one row of panels per value of `panel`.

    Attributes:
        frame: The runs, with the columns of metric and clocks.
        metric: `NAME`, `min:NAME` or `max:NAME`, see `curves`.
        clocks: What is on the x-axes, of `CLOCKS`.
        hue: An axis, label or dotted configuration key: one line per value. Of two with a comma between the first
            is the colour, the second the dash or, of numbers, the shade; see `looks`.
        panel: Another one; None: a single row of panels.
        title: Instead of one made from metric and hue.
        extent: What the y-axis shows, and how.
        remarks: What else to say to who asked for it.
        level: Whether all panels have one y-axis, for what is in them is compared.
    """

    together: ClassVar[str] = "lines"

    frame: Frame
    metric: Metric
    clocks: tuple[str, ...] = ("samples",)
    hue: str = "optimizer"
    panel: str | None = None
    title: str = ""
    extent: Extent = FREE
    remarks: tuple[str, ...] = ()
    level: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", self.metric.of(self.frame))

    @property
    def drawable(self) -> bool:
        """Whether some run has measured the metric."""
        return self.frame.has(self.metric.name)

    @property
    def wide(self) -> bool:
        """Unless it has a single panel per row."""
        return len(self.clocks) > 1 or bool(self.panel and len(self.frame.values(self.panel)) > 2)

    @property
    def notes(self) -> list[str]:
        """Also of what leaves the plot, and what shows it."""
        left = self._intervals()[1] if self.drawable else []
        return [*self.remarks, *super().notes, *ways(self.extent, self._gone(), left), *self._bare()]

    def groups(self) -> list[list[RunRow]]:
        """The runs of each line."""
        return [runs for part in self._frames() for runs in by_hue(part, self.hue).values()]

    def mixtures(self, options: str = "") -> list[str]:
        """Also of times that runs share: those lines have no interval."""
        asked = any(timed(self.metric, clock) for clock in self.clocks)
        shared = together_note(run for group in self.groups() for run in group) if asked else []
        without = without_note(self.frame, self.hue, self.panel)
        return [
            *super().mixtures(options),
            *without,
            *(f"{note}; no interval there" for note in shared),
            *self._uncounted(),
        ]

    def _uncounted(self) -> list[str]:
        """That runs have no place on an axis of FLOPs, where some do not."""
        runs = [run for group in self.groups() for run in group]
        without = sum("flops_per_sample" not in run.info for run in runs) if "flops" in self.clocks else 0
        return [f"{count(without, 'run')} that counted no FLOPs left out there"] if 0 < without < len(runs) else []

    def names(self) -> list[Any]:
        """The values of hue and panel, and what is said above."""
        return [*self.frame.values(self.hue), *(self.frame.values(self.panel) if self.panel else ()), self.title]

    def _frames(self) -> list[Frame]:
        """One frame per row of panels."""
        values = self.frame.values(self.panel) if self.panel else [None]
        return [self.frame.where(**{self.panel: value}) if self.panel else self.frame for value in values]

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

    @cached_property
    def _values(self) -> Array:
        """All values that were recorded of the metric, but for those that are no numbers."""
        values, valid = self.frame.column(self.metric.name)
        rows = [values[run.rows][valid[run.rows]] for run in self.frame.runs]
        known = np.concatenate(rows) if rows else np.empty(0)
        return np.asarray(known[np.isfinite(known)])

    @cached_property
    def _log(self) -> bool:
        return self.extent.log(self.metric, self._values)

    @cached_property
    def _drawn(self) -> list[list[list[Curve]]]:
        """By row of panels and clock the lines."""
        parts, log = self._frames(), self._log
        return [[curves(part, self.metric, clock, self.hue, log=log) for clock in self.clocks] for part in parts]

    def _exploded(self, row: Sequence[Sequence[Curve]]) -> set[int]:
        """The lines (by `id`) that went so far up that a linear axis is not for them, see `exploded`."""
        rows = self._drawn if self.level else [row]
        lines = [line for own in rows for lines in own for line in lines if line.n and len(line.mean)]
        far = exploded(self.metric, [float(line.mean.max()) for line in lines])
        return {id(line) for line, gone in zip(lines, far, strict=True) if gone}

    def _ends(self, row: Sequence[Sequence[Curve]]) -> tuple[float, float] | None:
        """What the y-axis of a row of panels ends at; None where nothing is drawn."""
        rows, far = self._drawn if self.level else [row], self._exploded(row)
        every = [line for own in rows for lines in own for line in lines]
        near = [line for line in every if id(line) not in far]
        tracks = [track for line in every for track in line.lost]
        kept = [line.mean for line in near] + [track.y for track in tracks if track.state is not State.DIVERGED]
        lost = [track.y for track in tracks if track.state is State.DIVERGED]
        lost += [line.mean for line in every if id(line) in far]
        few = all(len(lines) <= BANDS for own in rows for lines in own)
        shown = every if self._log else near
        bands = [part if few else part[-1:] for line in shown if line.n > 2 for part in self._band(line)]
        return self.extent.ends(self.metric, kept, lost, bands, log=self._log)

    def _gone(self) -> list[str]:
        """How many lines and runs leave the plot, where some do."""
        runs, leaving, outside = 0, 0, 0
        for row in self._drawn if self.drawable else ():
            if (ends := self._ends(row)) is None:
                continue
            far = self._exploded(row)
            for line in row[0]:  # every panel of a row is of the same runs
                runs += len(self._exits(line.lost, ends))
                mean = self.metric.quantity.scale * line.mean
                gone = bool(line.n) and bool(((mean < ends[0]) | (mean > ends[1])).all())
                outside += gone
                leaving += not gone and id(line) in far and exit_of(line.x, mean, ends) is not None
        said = [(leaving, "line"), (runs, "diverged run")]
        left = [f"{count(n, noun)} {'leaves' if n == 1 else 'leave'} the plot (arrows)" for n, noun in said if n]
        return [*left, *([f"{count(outside, 'line')} outside the plot"] if outside else [])]

    def _exits(self, tracks: Sequence[Track], ends: tuple[float, float]) -> list[tuple[float, bool]]:
        """Where runs that diverged leave the plot, and whether upwards."""
        scale = self.metric.quantity.scale
        found = (exit_of(track.x, scale * track.y, ends) for track in tracks if track.state is State.DIVERGED)
        return [out for out in found if out is not None]

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

    def _band(self, line: Curve) -> tuple[Array, Array]:
        """The interval of a line, within what the metric can be."""
        return cut(self.metric, line.low, line.high, self._values)

    def _draw(self, axes: Axes, lines: Sequence[Curve], known: Looks, far: set[int]) -> None:
        """Draw the lines of a panel; those that exploded (by `id`) without a band, which would hide the others."""
        step = self.metric.reduce != "last"
        once = len({float(x) for line in lines for x in line.x}) == 1  # side by side, at a single tick
        for i, line in enumerate(lines):
            look = known[line.value]
            color, dash = look["color"], look["ls"]
            scale = self.metric.quantity.scale
            drawstyle = "steps-post" if step else "default"
            every = max(1, len(line.x) // MARKED)
            x = line.x + (i - len(lines) / 2) * SIDE * abs(line.x) if once else line.x
            axes.plot(x, scale * line.mean, **look, markevery=every, lw=1.7, ms=4, drawstyle=drawstyle, zorder=3)
            low, high = self._band(line)
            if (
                line.n > 2 and len(line.x) == 1
            ):  # two seeds have an interval of 13 standard errors: it would hide the rest
                axes.vlines(x, scale * low, scale * high, color=color, lw=1.3)
            elif line.n > 2 and len(lines) <= BANDS and id(line) not in far:
                band = axes.fill_between(line.x, scale * low, scale * high, step="post" if step else None)
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
        mean = f"{'geometric mean' if log else 'mean'} over {'runs' if mixed_keys(self.groups()) else 'seeds'}"
        some = f" ({THIN} of a line's are drawn)" if any(len(line.lost) > THIN for line in lines) else ""
        many = any(len(own) > BANDS and max(len(line.x) for line in own) > 1 for row in self._drawn for own in row)
        where = "at the right the 95 % t interval of each line's end" if many else "95 % t interval"
        cut_seen, leaving = self._intervals()
        stop = ";\n" if across == 1 else "; "  # one panel is too narrow for the whole line
        said = [
            f"{mean}, {where} (from n = 3 on){stop}thin lines did not finish{some}, × diverged",
            *self._gone(),
            *leaving,
            *([CUT] if cut_seen else []),
            *(plain(note, 90 * across, lines=9) for note in [*self._bare(), *self.mixtures()]),
        ]
        legend(figure, entries, said, 2 + across // 2 * 2)

    def _intervals(self) -> tuple[bool, list[str]]:
        """Whether one is seen to end where the quantity does, and what to say of those that leave the plot."""
        drawn = []
        for row in self._drawn:
            ends, far = self._ends(row), set() if self._log else self._exploded(row)
            if ends is None:
                continue
            many = len(row[0]) > BANDS  # then an interval stands at the end of each
            for line in row[0]:  # every panel of a row is of the same runs
                if line.n > 2 and len(line.x) and (many or len(line.x) == 1 or id(line) not in far):
                    low, high = (end[-1:] if many else end for end in (line.low, line.high))
                    drawn.append((Interval.of(self.metric, low, high, self._values), ends))
        return of_intervals(drawn)

    def _bare(self) -> list[str]:
        """The values of hue that have no line, for none of their runs came to a row of the metric."""
        found, names = [], named(self.frame, self.hue)
        for part, row in zip(self._frames(), self._drawn, strict=True):
            lost = without_line(part, self.hue, {line.value for lines in row for line in lines})
            where = (
                f" in {panel_names(part, self.panel)[part.runs[0].value(self.panel)][1]}" if self.panel and lost else ""
            )
            found += [
                f"{names[value]}{where} ({lost[value]})" for value in self.frame.values(self.hue) if value in lost
            ]
        return [f"no line: {', '.join(found)}"] if found else []

    def _title(self) -> str:
        word = {"min": "running minimum of ", "max": "running maximum of ", "last": ""}[self.metric.reduce]
        return f"{word}{replace(self.metric, reduce='last').title}"


def _some(tracks: Sequence[Track]) -> Sequence[Track]:
    """At most `THIN` of them, evenly among all."""
    if len(tracks) <= THIN:
        return tracks
    return [tracks[i] for i in np.linspace(0, len(tracks) - 1, THIN).round().astype(int)]
