"""Estimates with their intervals in rows: interquartile means of contenders, and their chances to be better."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from batchlab.results.show.drawing import COLORS, GREY, INK
from batchlab.results.show.field_plots import FieldDrawing
from batchlab.results.show.legend import foot, head
from batchlab.results.show.lettering import plain
from batchlab.results.show.numbers import numbered
from batchlab.results.show.panels import dress
from batchlab.results.show.points import OPEN, Axis, Dots, Panel, Point, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS = 15
"""Pairs that are all shown; of more, those with the contender that is ahead."""
Row = tuple[str, Sequence[float]]
"""A name with the estimate, the lower and the upper end, as shown."""


@dataclass(frozen=True)
class Intervals(FieldDrawing):
    """An estimate with its interval in each row."""

    seeds: ClassVar[int] = 2
    row: ClassVar[str]
    """What a row is."""
    estimate: ClassVar[str]
    """What its dot is."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """From above."""

    @abstractmethod
    def axis(self) -> Axis:
        """What they are drawn along."""

    @abstractmethod
    def read(self) -> str:
        """How to read it."""

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw, with what is missing.
        """
        from matplotlib.figure import Figure

        self.check()
        rows, axis = self.rows(), self.axis()
        figure = Figure(figsize=(6.2, 0.3 * len(rows) + 1.7), layout="constrained")
        axes = figure.subplots()
        if axis.log:
            axes.set_xscale("log")
        if math.isfinite(axis.least + axis.most):
            room = 0.02 * (axis.most - axis.least)
            axes.set_xlim(axis.least - room, axis.most + room)
        numbered(axes.xaxis, log=axis.log)
        self._draw(axes, rows, axis.neutral)
        axes.set_xlabel(f"{axis.label}{f' [{axis.unit}]' * bool(axis.unit)}")
        dress(axes)
        foot(figure, self._said())
        head(figure, self._head())
        return figure

    def points(self) -> Points:
        """As `figure` draws them.

        Raises:
            ValueError: When there is nothing to draw, with what is missing.
        """
        self.check()
        rows = self.rows()
        places = Axis(self.row, ticks=[(float(i), name) for i, (name, _) in enumerate(rows)], words=True)
        found = [_point(i, *own) for i, (_, own) in enumerate(rows)]
        beyond = [(float(i), "∞") for i, (_, (middle, *_)) in enumerate(rows) if math.isinf(middle)]
        line = Dots(self.estimate, {"color": COLORS[0], "marker": "o"}, found, "95 % bootstrap interval", fallen=beyond)
        panel = Panel("", places, self.axis(), [line], rows=True)
        return Points(self._head(), [panel], self._said(), joined=False)

    def _head(self) -> str:
        return self.title or f"{self.field.metric.label}: {self.estimate}"

    def _said(self) -> list[str]:
        return [f"over {self.over}. {self.read()}", *self.left_out(), *self.remarks, *self.mixtures()]

    @staticmethod
    def _draw(axes: Axes, rows: Sequence[Row], neutral: float) -> None:
        """A dot and an interval in each row, from the top; a line where nothing is different."""
        known = [value for _, own in rows for value in own if math.isfinite(value)]
        farthest = max(known, default=neutral)
        axes.axvline(neutral, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
        for i, (_, (middle, low, high)) in enumerate(rows):
            if math.isfinite(low):
                axes.hlines(i, low, min(high, farthest), color=COLORS[0], lw=2.2, alpha=0.55, zorder=2)
            if math.isfinite(middle):
                axes.plot([middle], [i], "o", color=COLORS[0], ms=6, zorder=3)
            if not math.isfinite(high) and not math.isnan(high):
                axes.plot([farthest], [i], ">", color=COLORS[0], ms=6, zorder=3)
        axes.set_yticks(range(len(rows)), [plain(name, 40, 2) for name, _ in rows], fontsize=8, color=INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)


@dataclass(frozen=True)
class Middles(Intervals):
    """The interquartile mean over all runs of all problems of how far a contender is behind, with its interval."""

    row: ClassVar[str] = "contender"
    estimate: ClassVar[str] = "interquartile mean behind the best"

    def rows(self) -> list[Row]:
        """The contenders, who is nearest to the best first."""
        found, scale = self.field.middles, self.field.metric.quantity.scale
        order = sorted(found, key=lambda name: found[name][0])
        return [
            (self.called[name], tuple(_ratio(v) if self.field.ratio else scale * v for v in found[name]))
            for name in order
        ]

    def axis(self) -> Axis:
        """Ratios, or differences."""
        if self.field.ratio:
            return Axis("times the best mean", log=True, neutral=1.0)
        unit = self.field.metric.quantity.unit
        return Axis("behind the best mean", unit="points" if unit == "%" else unit, linear=True, neutral=0.0)

    def read(self) -> str:
        """What is lost counts too."""
        lost = (
            "a run that was lost ends at nothing"
            if self.field.metric.quantity.share and self.field.up
            else "a run that was lost or never arrived is infinitely far behind: no dot where over a quarter are"
        )
        return (
            "How far a run ends behind its problem's best mean: mean over the middle half of all runs, which no "
            f"outlier moves; line: 95 % interval, bootstrap within problems; {lost}. Further left is better; intervals "
            "that overlap are no test"
        )


@dataclass(frozen=True)
class Improvement(Intervals):
    """The chance that a run of one contender is better than a run of another on the same problem, pair by pair."""

    row: ClassVar[str] = "pair"
    estimate: ClassVar[str] = "probability of improvement"

    def _pairs(self) -> tuple[list[tuple[str, str]], str]:
        """Those that are shown, who is ahead first, and what is said of those that are not."""
        chances = self.field.chances
        order = sorted(chances, key=lambda name: -chances[name])
        pairs = list(combinations(order, 2))
        if len(pairs) <= PAIRS:
            return pairs, ""
        less = f" Of {len(pairs)} pairs those with {self.called[order[0]]}, which is ahead."
        return [(order[0], other) for other in order[1:]], less

    def rows(self) -> list[Row]:
        """The pairs, as shares of 100."""
        pairs, _ = self._pairs()
        found = {(a, b): self.field.improvement(a, b) for a, b in pairs}
        return [
            (f"{self.called[a]} > {self.called[b]}", tuple(100 * value for value in chance))
            for (a, b), chance in found.items()
        ]

    def axis(self) -> Axis:
        """Shares of all pairs of runs."""
        label = "chance that a run of the first is better"
        return Axis(label, unit="%", linear=True, least=0.0, most=100.0, neutral=50.0)

    def read(self) -> str:
        """What it does not say too."""
        return (
            "On each problem the share of all pairs of runs of which the first's is better, equals counting a half, "
            "then the mean over problems; line: 95 % interval, bootstrap within problems. 50 %: neither; it says how "
            "often, not by how much. No line: all pairs agree, and resampling cannot say how sure that is."
            f"{self._pairs()[1]}"
        )


def _point(i: int, middle: float, low: float, high: float) -> Point:
    """A row's: one that has no end is open there, one that has no dot is said apart."""
    return Point(float(i), middle, low, high, marks=(OPEN,) if math.isinf(high) else ())


def _ratio(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
