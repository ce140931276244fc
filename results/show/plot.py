"""Figures: a metric against samples, steps, epochs, gradients or training time, one line per method.

Lines are means over seeds with a 95 % band (see `curves`). A run that diverged is drawn as a thin line that ends in a
cross, because the mean, which leaves it out, would hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from batchlab.results.compare.caveats import timed, together_note
from batchlab.results.compare.curves import Curve, Track, by_hue, curves
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCK_LABELS, Metric
from batchlab.results.compare.quantities import Quantity
from batchlab.results.compare.replicates import mixed_keys
from batchlab.results.show.drawing import COLORS, DASHES, GREY, INK, MARKS, FrameDrawing
from batchlab.results.show.lettering import name, plain, room
from batchlab.results.store.run import State
from batchlab.results.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY = 7
"""Letters that the line before a label and the space after it take up in a legend."""

Looks = dict[Any, dict[str, Any]]
"""By hue what matplotlib draws its line with."""
MARKED = 8
"""Marks on a line, about."""
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
            is the colour, the second the dash.
        panel: Another one; None: a single row of panels.
        title: Instead of one made from metric and hue.
    """

    together: ClassVar[str] = "lines"

    frame: Frame
    metric: Metric
    clocks: tuple[str, ...] = ("samples",)
    hue: str = "optimizer"
    panel: str | None = None
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", self.metric.of(self.frame))

    @property
    def drawable(self) -> bool:
        """Whether some run has measured the metric."""
        return self.frame.has(self.metric.name)

    @property
    def wide(self) -> bool:
        """Unless it has a single panel per row."""
        return len(self.clocks) > 1

    def groups(self) -> list[list[RunRow]]:
        """The runs of each line."""
        return [runs for part in self._frames() for runs in by_hue(part, self.hue).values()]

    def mixtures(self, options: str = "") -> list[str]:
        """Also of times that runs share: those lines have no interval."""
        asked = any(timed(self.metric, clock) for clock in self.clocks)
        shared = together_note(run for group in self.groups() for run in group) if asked else []
        return [*super().mixtures(options), *(f"{note}; no interval there" for note in shared)]

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
        log, hue = self._log(), self.hue
        drawn = [[curves(part, self.metric, clock, hue, log=log) for clock in self.clocks] for part in self._frames()]
        if not any(lines for row in drawn for lines in row):
            raise ValueError(f"no run has a row of {self.metric.name} yet: see `batchlab status`")
        width = 4.1 * len(self.clocks) + (1.2 if len(self.clocks) == 1 else 0)
        figure = Figure(figsize=(width, 3.1 * len(values) + 0.9), layout="constrained")
        panels = figure.subplots(len(values), len(self.clocks), sharey="row", squeeze=False)
        looks = self._looks()
        for i, (value, row) in enumerate(zip(values, drawn, strict=True)):
            for j, (clock, lines) in enumerate(zip(self.clocks, row, strict=True)):
                axes = panels[i, j]
                self._draw(axes, lines, looks)
                self._dress(axes, clock, first=j == 0, last=i == len(values) - 1, log=log)
                if self.panel and j == 0:
                    title = plain(f"{self.panel} {value}", 50)
                    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
        for row_axes, row in zip(panels, drawn, strict=True):
            everything = [line for lines in row for line in lines]
            _limits(row_axes[0], everything, self.metric.quantity, log=log)
        self._legend(figure, [line for row in drawn for line in row[0]], looks, log=log)
        title = self.title or f"{self._title()} by {self.hue.replace(',', ', ')}"
        title = plain(title, room(figure, 12))
        _grow(figure, title.count("\n"))
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold", color=INK)
        return figure

    def _log(self) -> bool:
        values, valid = self.frame.column(self.metric.name)
        rows = [values[run.rows][valid[run.rows]] for run in self.frame.runs]
        known = np.concatenate(rows) if rows else np.empty(0)
        known = known[np.isfinite(known)]
        above = known[known > 0]  # a gap to the optimum may end in rounding, at and below 0
        wide = 2 * len(above) > len(known) and above.max() > 5 * above.min()
        return bool(self.metric.quantity.log and wide)

    def _draw(self, axes: Axes, lines: Sequence[Curve], looks: Looks) -> None:
        step = self.metric.reduce != "last"
        for line in lines:
            look = looks[line.value]
            color, dash = look["color"], look["ls"]
            scale = self.metric.quantity.scale
            drawstyle = "steps-post" if step else "default"
            every = max(1, len(line.x) // MARKED)
            axes.plot(line.x, scale * line.mean, **look, markevery=every, lw=1.7, ms=4, drawstyle=drawstyle, zorder=3)
            if line.n > 2:  # two seeds have an interval of 13 standard errors: it would hide the rest
                band = axes.fill_between(line.x, scale * line.low, scale * line.high, step="post" if step else None)
                band.set(color=color, alpha=0.16 if len(lines) < 6 else 0.09, linewidth=0, zorder=2)
            shown = _some(line.lost)
            for track in shown:
                axes.plot(track.x, scale * track.y, color=color, ls=dash, lw=0.7, alpha=0.6, drawstyle=drawstyle)
            ends = [(track.x[-1], scale * track.y[-1]) for track in shown if track.state is State.DIVERGED]
            if ends:
                axes.plot(*zip(*ends, strict=True), "x", color=color, ms=6, mew=1.6, zorder=4)

    def _dress(self, axes: Axes, clock: str, *, first: bool, last: bool, log: bool) -> None:
        from matplotlib.ticker import EngFormatter, LogFormatterSciNotation

        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(LogFormatterSciNotation())
            axes.yaxis.set_minor_formatter(LogFormatterSciNotation())  # numbers only where there is no whole decade
        if clock in ("samples", "steps", "gradients"):
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

    def _legend(self, figure: Figure, lines: Sequence[Curve], looks: Looks, *, log: bool) -> None:
        from matplotlib.lines import Line2D

        handles: list[Line2D] = []
        marked = any(look["marker"] for look in looks.values())  # a longer line shows the dash beside the mark
        key = KEY + 2 * marked
        labels, wide = [], room(figure, 8.5)
        for hue in looks:
            own = [line for line in lines if line.value == hue]
            if own:
                handles.append(Line2D([], [], **looks[hue], lw=2, ms=4, label=str(len(handles))))
                labels.append(plain(f"{hue} ({_counts(own)})", wide - key, lines=2))
        longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
        columns = max(1, min(len(handles), 2 + len(self.clocks) // 2 * 2, wide // (longest + key)))
        tall = sum(label.count("\n") + 1 for label in labels) / columns
        _grow(figure, tall - 4)  # so much there is room for beside the panels
        mean = f"{'geometric mean' if log else 'mean'} over {'runs' if mixed_keys(self.groups()) else 'seeds'}"
        some = f" ({THIN} of a line's are drawn)" if any(len(line.lost) > THIN for line in lines) else ""
        stop = ";\n" if len(self.clocks) == 1 else "; "  # one panel is too narrow for the whole line
        legend = figure.legend(
            handles=handles, loc="outside lower left", ncols=columns,
            frameon=False, fontsize=8.5, labelcolor=INK, handlelength=4.4 if marked else 2.6,
            columnspacing=1.4, alignment="left",
            title="\n".join([
                f"{mean}, 95 % t interval (from n = 3 on){stop}thin lines did not finish{some}, × diverged",
                *(plain(note, 90 * len(self.clocks), lines=9) for note in self.mixtures()),
            ]),
            title_fontsize=7.5,
        )  # fmt: skip
        legend.get_title().set_color(GREY)
        name(legend, labels)

    def _looks(self) -> Looks:
        """Colour, dash and mark of each hue. Of two keys (`case,schedule`) the first is the colour, the other the dash.

        Where there are more values than colours or dashes, marks tell apart what would look the same.
        """
        hues = self.frame.values(self.hue)
        if "," not in self.hue:
            return {hue: _look(i, i // len(COLORS), i // (len(COLORS) * len(DASHES))) for i, hue in enumerate(hues)}
        first, _, second = self.hue.partition(",")
        colors, dashes = self.frame.values(first), self.frame.values(second)
        placed = [run for run in self.frame.runs if run.value(self.hue) in hues]
        rounds = -(-len(dashes) // len(DASHES))
        looks = {}
        for run in sorted(placed, key=lambda run: hues.index(run.value(self.hue))):
            i, j = colors.index(run.value(first)), dashes.index(run.value(second))
            looks[run.value(self.hue)] = _look(i, j, i // len(COLORS) * rounds + j // len(DASHES))
        return looks

    @property
    def notes(self) -> list[str]:
        """Also how many lines look like another one."""
        looks = [tuple(look.values()) for look in self._looks().values()] if self.drawable else []
        alike = sum(looks.count(look) > 1 for look in looks)
        said = f"{count(alike, 'line')} look like another one: draw fewer with --where, or put a key in panels"
        return [*super().notes, *([said] if alike else [])]

    def _title(self) -> str:
        word = {"min": "running minimum of ", "max": "running maximum of ", "last": ""}[self.metric.reduce]
        return f"{word}{replace(self.metric, reduce='last').title}"


def _some(tracks: Sequence[Track]) -> Sequence[Track]:
    """At most `THIN` of them, evenly among all."""
    if len(tracks) <= THIN:
        return tracks
    return [tracks[i] for i in np.linspace(0, len(tracks) - 1, THIN).round().astype(int)]


def _counts(lines: Sequence[Curve]) -> str:
    """`n 3`, `n 2 to 3, 1 diverged`: over the panels that a legend speaks for."""
    n = sorted({line.n for line in lines})
    diverged = sum(line.diverged for line in lines)
    unfinished = sum(len(line.lost) for line in lines) - diverged
    lost = [f"{k} {word}" for k, word in ((diverged, "diverged"), (unfinished, "not done")) if k]
    return ", ".join([f"n {n[0]}" if len(n) == 1 else f"n {n[0]} to {n[-1]}", *lost])


def _grow(figure: Figure, lines: float) -> None:
    """Room for more lines of text, so that the panels keep theirs."""
    figure.set_figheight(figure.get_figheight() + 0.18 * max(0.0, lines))


def _look(color: int, dash: int, mark: int) -> dict[str, Any]:
    return {"color": _cycle(COLORS, color), "ls": _cycle(DASHES, dash), "marker": _cycle(MARKS, mark)}


def _cycle(options: Sequence[Any], i: int) -> Any:
    return options[i % len(options)]


def _limits(axes: Axes, lines: Sequence[Curve], known: Quantity, *, log: bool) -> None:
    """Room for all the means and most of the bands: at n = 2 a band alone would take up the whole height."""
    drawn = [part for line in lines for part in (line.mean, *(track.y for track in line.lost)) if len(part)]
    if not drawn:
        return
    forward, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    inner = forward(np.concatenate(drawn))
    low, high = float(inner.min()), float(inner.max())
    room = 0.25 * (high - low or abs(high) or 1.0)
    ends = [part for line in lines if line.n > 2 for part in (line.low, line.high)]
    bands = forward(np.concatenate(ends)) if ends else inner
    bands = bands[np.isfinite(bands)]
    if len(bands):
        low, high = min(low, max(low - room, bands.min())), max(high, min(high + room, bands.max()))
    if known.share:  # a t interval may leave [0, 1], the page need not
        low, high = min(float(inner.min()), max(low, 0.0)), max(float(inner.max()), min(high, 1.0))
    pad = 0.04 * (high - low or 1.0)
    axes.set_ylim(*(known.scale * float(back(end)) for end in (low - pad, high + pad)))
