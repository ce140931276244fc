"""Contenders over several problems, in figures: performance profiles, interquartile means, chances to be better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS
from batchlab.results.compare.problems import Field
from batchlab.results.compare.stats import Array
from batchlab.results.show.drawing import COLORS, GREY, INK, FrameDrawing
from batchlab.results.show.legend import foot, head
from batchlab.results.show.lettering import plain
from batchlab.results.show.looks import looks
from batchlab.results.show.numbers import named, numbered
from batchlab.results.show.panels import dress
from batchlab.results.show.profile_plot import ProfileDrawing
from batchlab.results.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FARTHEST = 50.0
"""The greatest ratio that a profile is drawn to."""
PAIRS = 15
"""Pairs that are all shown; of more, those with the contender that is ahead."""


@dataclass(frozen=True)
class FieldDrawing(FrameDrawing):
    """A figure of contenders on problems.

    Attributes:
        field: What came of them.
        title: Instead of one made from the metric.
        remarks: How the contenders came about, where they are not as asked for.
    """

    together: ClassVar[str] = "contenders"
    seeds: ClassVar[int] = 1
    """So many of each contender on each problem it takes."""

    field: Field
    title: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What to know before reading it, one line each."""
        return [*self.remarks, *super().notes]

    @property
    def frame(self) -> Frame:  # type: ignore[override]
        """The runs."""
        return self.field.frame

    @property
    def drawable(self) -> bool:
        """Whether there is something to compare."""
        try:
            self.check()
        except ValueError:
            return False
        return True

    @property
    def wide(self) -> bool:
        """It is not."""
        return False

    def check(self) -> None:
        """See that there is something to compare.

        Raises:
            ValueError: There is not, with what is missing.
        """
        self.field.check(seeds=self.seeds)

    def groups(self) -> Sequence[Sequence[RunRow]]:
        """The runs of each contender on each problem."""
        return self.field.groups

    def names(self) -> list[Any]:
        """Contenders, problems, and what is said above."""
        return [*self.field.contenders, *self.field.problems, self.title]

    @cached_property
    def called(self) -> dict[str, str]:
        """By contender how it is written."""
        return {str(value): text for value, text in named(self.frame, self.field.hue).items()}

    @property
    def over(self) -> str:
        """`3 problems, n 2 to 5 seeds each`."""
        sizes = self.field.sizes
        n = f"n {sizes[0]}" if len(sizes) == 1 else f"n {sizes[0]} to {sizes[-1]}"
        return f"{count(len(self.field.shared), 'problem')}, {n} seeds each"

    def left_out(self) -> list[str]:
        """Problems that some contender has no run of."""
        left = [p for p in self.field.problems if p not in self.field.shared]
        return [f"left out, as some {self.field.hue} has no run there that is over: {', '.join(left)}"] if left else []


@dataclass(frozen=True)
class FieldProfiles(FieldDrawing, ProfileDrawing):
    """Performance profiles over problems and seeds."""

    @property
    def farthest(self) -> float:  # type: ignore[override]
        """As far as anybody's cost is, within reason."""
        table = np.array([*self.field.costs.values()])
        least = table.min(axis=0)
        ratios = (table / np.where(np.isfinite(least), least, np.inf))[np.isfinite(table)]
        return float(min(FARTHEST, max(1.5, ratios.max(initial=1.0) * 1.05)))

    def check(self) -> None:
        """Also that the metric is a cost, and somebody came to it at a seed that all have.

        Raises:
            ValueError: With what is missing.
        """
        super().check()
        _ = self.field.cost
        if not any(math.isfinite(value) for own in self.field.costs.values() for value in own):
            raise ValueError(f"nothing has a cost by {self.field.metric} at a seed that every {self.field.hue} has")

    def panels(self) -> Mapping[str, tuple[str, str]]:
        """A single one."""
        return {"": (self.field.cost, "")}

    def profile(self, counted: str, ratios: Array) -> Mapping[str, Array]:
        """As of `Field`."""
        return self.field.profile(ratios)

    def looks(self) -> Mapping[str, dict[str, Any]]:
        """As lines look everywhere."""
        known = {str(value): look for value, look in looks(self.frame, self.field.hue, rows=False).items()}
        return {name: known[name] for name in self.field.contenders}

    def entry(self, name: str) -> str:
        """With how often it arrived."""
        own = self.field.costs[name]
        there = "arrived" if self.field.metric.reduce in CLOCKS else "have a number"
        return f"{self.called[name]} ({sum(map(math.isfinite, own))} of {len(own)} {there})"

    def head(self) -> str:
        """With how many problems and seeds it is over."""
        n = count(len(self.field.instances), "problem and seed", "problems and seeds")
        return self.title or f"{self.field.metric.label}: performance profiles over {n}"

    def said(self) -> Sequence[str]:
        """How to read it, and what is mixed."""
        return [*super().said(), *self.left_out(), *self.remarks, *self.mixtures()]


@dataclass(frozen=True)
class Middles(FieldDrawing):
    """The interquartile mean over all runs of all problems of how far a contender is behind, with its interval."""

    seeds: ClassVar[int] = 2

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw, with what is missing.
        """
        self.check()
        found = self.field.middles
        order = sorted(found, key=lambda name: found[name][0])
        scale, unit = self.field.metric.quantity.scale, self.field.metric.quantity.unit
        shown = {name: tuple(_ratio(v) if self.field.ratio else scale * v for v in found[name]) for name in order}
        figure, axes = _rows(len(order))
        if self.field.ratio:
            axes.set_xscale("log")
        numbered(axes.xaxis, log=self.field.ratio)
        rows = [(plain(self.called[name], 40), shown[name]) for name in order]
        _dots(axes, rows, 1.0 if self.field.ratio else 0.0)
        points = "points" if unit == "%" else unit
        axes.set_xlabel(
            "times the best mean" if self.field.ratio else f"behind the best mean{f' [{points}]' * bool(points)}"
        )
        dress(axes)
        lost = (
            "a run that was lost ends at nothing"
            if self.field.metric.quantity.share and self.field.up
            else "a run that was lost or never arrived is infinitely far behind: no dot where over a quarter are"
        )
        foot(figure, [
            f"over {self.over}. How far a run ends behind its problem's best mean: mean over the middle half of all "
            f"runs, which no outlier moves; line: 95 % interval, bootstrap within problems; {lost}. Further left is "
            "better; intervals that overlap are no test",
            *self.left_out(), *self.remarks, *self.mixtures(),
        ])  # fmt: skip
        head(figure, self.title or f"{self.field.metric.label}: interquartile mean behind the best")
        return figure


@dataclass(frozen=True)
class Improvement(FieldDrawing):
    """The chance that a run of one contender is better than a run of another on the same problem, pair by pair."""

    seeds: ClassVar[int] = 2

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw, with what is missing.
        """
        from matplotlib.ticker import PercentFormatter

        self.check()
        chances = self.field.chances
        order = sorted(chances, key=lambda name: -chances[name])
        pairs = list(combinations(order, 2))
        few = len(pairs) <= PAIRS
        shown = pairs if few else [(order[0], other) for other in order[1:]]
        found = {(a, b): self.field.improvement(a, b) for a, b in shown}
        rows = [
            (f"{plain(self.called[a], 30, 1)} > {plain(self.called[b], 30, 1)}", chance)
            for (a, b), chance in found.items()
        ]
        figure, axes = _rows(len(rows))
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        _dots(axes, rows, 0.5)
        axes.set_xlabel("chance that a run of the first is better")
        dress(axes)
        less = "" if few else f" Of {len(pairs)} pairs those with {self.called[order[0]]}, which is ahead."
        foot(figure, [
            f"over {self.over}. On each problem the share of all pairs of runs of which the first's is better, equals "
            "counting a half, then the mean over problems; line: 95 % interval, bootstrap within problems. 50 %: "
            f"neither; it says how often, not by how much. No line: all pairs agree, and resampling cannot "
            f"say how sure that is.{less}",
            *self.left_out(), *self.remarks, *self.mixtures(),
        ])  # fmt: skip
        head(figure, self.title or f"{self.field.metric.label}: probability of improvement")
        return figure


def _ratio(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _rows(n: int) -> tuple[Figure, Axes]:
    """A figure of a row for each of n."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 0.3 * n + 1.7), layout="constrained")
    return figure, figure.subplots()


def _dots(axes: Axes, rows: Sequence[tuple[str, Sequence[float]]], neutral: float) -> None:
    """A dot and an interval in each row, from the top; a line where nothing is different.

    Args:
        axes: The panel, its scale set.
        rows: A name with the estimate, the lower and the upper end.
        neutral: Where that line is.
    """
    known = [value for _, own in rows for value in own if math.isfinite(value)]
    farthest = max(known, default=neutral)
    axes.axvline(neutral, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
    for i, (_, (middle, low, high)) in enumerate(rows):
        if math.isfinite(low):
            axes.hlines(i, low, min(high, farthest), color=COLORS[0], lw=2.2, alpha=0.55, zorder=2)
        if math.isfinite(middle):
            axes.plot([middle], [i], "o", color=COLORS[0], ms=6, zorder=3)
        if not math.isfinite(high):
            axes.plot([farthest], [i], ">", color=COLORS[0], ms=6, zorder=3)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8, color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
