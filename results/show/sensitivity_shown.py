"""What sensitivity curves show, before they are drawn: points, where the axes end, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.sensitivity import Line, Point, lines, moving, parts, said
from batchlab.results.compare.stats import Array
from batchlab.results.show.drawing import FrameDrawing, without_note
from batchlab.results.show.extent import CUT, FREE, Extent, Interval, cut, exploded, held, of_intervals, ways
from batchlab.results.show.lettering import plain
from batchlab.results.show.looks import Looks, dotted, looks, numeric
from batchlab.results.show.numbers import panel_names
from batchlab.results.show.points import Axis, Panel, Points
from batchlab.results.show.sensitivity_points import dots, fallen, over, said_of
from batchlab.results.words import count, listing

FEWEST = 2
"""Values of a key that a curve is drawn over."""
WHOLE = 10_000
"""Letters of a line that is not broken."""
STRIP, MOST = 0.075, 0.3
"""The parts of a panel's height that a line of counts takes up below what is drawn, and that all of them do at most."""


def strip(lines: int) -> float:
    """The part of a panel's height for each of so many lines of counts; many come closer to each other."""
    return min(STRIP, MOST / (lines + 0.5))


@dataclass(frozen=True)
class SensitivityShown(FrameDrawing):
    """What a figure of sensitivity curves shows: its points, where its axes end, and what is said of both.

    Attributes:
        frame: The runs, those with the label `tuning` too.
        metric: One number of a run.
        key: A configuration key or label that was swept.
        hue: One line per value, as of `Plot`.
        panel: Another key: a panel for each of its values; None: one panel.
        title: Instead of one made from metric and key.
        extent: What the y-axis shows, and how.
        remarks: What else to say to who asked for it.
        level: Whether all panels have one y-axis, for what is in them is compared.
    """

    together: ClassVar[str] = "points"

    frame: Frame
    metric: Metric
    key: str
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
        """Whether some run has measured the metric, at several values."""
        return self.frame.has(*self.metric.columns) and len(self._values) >= FEWEST

    @property
    def wide(self) -> bool:
        """Where it has several panels."""
        return self.panel is not None and len(self.frame.values(self.panel)) > 1

    @property
    def notes(self) -> list[str]:
        """What to know before reading it, one line each."""
        left = self._intervals()[1] if self.drawable else []
        return [*self.remarks, *super().notes, *ways(self.extent, self._outside(), left)]

    def mixtures(self, options: str = "") -> list[str]:
        """Also of keys that move with the one on the x-axis, and of runs that have no place."""
        with_it = moving(self.frame, self.key, ",".join(filter(None, (self.hue, self.panel))))
        moved = f"{listing(with_it)} move{'s' * (len(with_it) == 1)} with {self.key}: no curve tells them apart"
        return [
            *([moved] if with_it else []),
            *super().mixtures(options),
            *without_note(parts(self.frame)[0], self.hue, self.panel, self.key),
        ]

    def groups(self) -> list[list[RunRow]]:
        """The runs of each point."""
        found: dict[Any, list[RunRow]] = {}
        for run in parts(self.frame)[0].runs:
            place = tuple(run.value(key) for key in (self.hue, self.key, self.panel) if key)
            if MISSING not in place:
                found.setdefault(place, []).append(run)
        return list(found.values())

    def names(self) -> list[Any]:
        """The values of hue and panel, and what is said above."""
        return [*self.frame.values(self.hue), *(self.frame.values(self.panel) if self.panel else ()), self.title]

    @cached_property
    def _values(self) -> list[Any]:
        """The values of the key that a run has."""
        return [value for value in parts(self.frame)[0].values(self.key) if value != MISSING]

    @cached_property
    def _looks(self) -> Looks:
        """By hue; over words, where no line joins the points, without what only a line shows."""
        found = looks(self.frame, self.hue, rows=False)
        return found if numeric(self.key, self._values) else {hue: dotted(look) for hue, look in found.items()}

    @cached_property
    def _drawn(self) -> list[list[Line]]:
        """By panel the lines."""
        panels = self.frame.values(self.panel) if self.panel else [None]
        frames = [self.frame.where(**{self.panel: value}) if self.panel else self.frame for value in panels]
        return [lines(frame, self.metric, self.key, self.hue) for frame in frames]

    def _outside(self) -> list[str]:
        """How many points are left out: by the range that was asked for, or since they exploded."""
        if not self.drawable:
            return []
        gone, scale = 0, self.metric.quantity.scale
        for own in self._drawn:
            low, high = self._ends(own) or (-math.inf, math.inf)
            means = [point.mean for line in own for point in line.points if math.isfinite(point.mean)]
            gone += sum(not low <= scale * mean <= high for mean in means)
        return [f"{count(gone, 'point')} outside the plot{'' if self.extent.range else ' (arrows)'}"] if gone else []

    def _shown(self) -> tuple[list[Any], list[list[Line]]]:
        """The values of the panels, and the lines of each.

        Raises:
            ValueError: When there is nothing to draw, with the way out.
        """
        if len(self._values) < FEWEST:
            raise ValueError(
                f"every run has {self.key}={self._values[0]}: a curve over it takes a sweep of several values"
                if self._values
                else f"no run has a value of {self.key}"
            )
        if not any(self._drawn):
            raise ValueError(f"no run is over that has a number of {self.metric}: see `batchlab status`")
        return self.frame.values(self.panel) if self.panel else [None], self._drawn

    def points(self) -> Points:
        """As `figure` draws them.

        Raises:
            ValueError: When there is nothing to draw, with the way out.
        """
        panels, drawn = self._shown()
        known, scale = self._looks, self.metric.quantity.scale
        x, at = over(self.key, self._values)

        def shown(points: Sequence[Point], own: Sequence[Line]) -> list[Array]:
            place, *rest = self._columns(points, at, own)
            return [place, *(scale * column for column in rest)]

        made = []
        titles = panel_names(self.frame, self.panel) if self.panel else {None: ("", "")}
        for value, own in zip(panels, drawn, strict=True):
            log, known_as = self.extent.log(self.metric, self._numbers(own)), self.metric.quantity
            least, most = self._bounds(own)
            y = Axis(self.metric.label, log, unit=known_as.unit, least=least, most=most, arithmetic=not known_as.log)
            found = [
                dots(line, shown(line.points, own), shown([line.judged], own) if line.judged else None, known,
                     said_of([line]))
                for line in own
            ]  # fmt: skip
            key, over_it = titles[value]
            made.append(Panel(over_it, x, y, found, key))
        title = self.title or f"{self.metric.title} by {self.key}"
        return Points(
            title, made, self._said(drawn, WHOLE), self.panel or "", joined=numeric(self.key, self._values), bars=True
        )

    def _columns(
        self, points: Sequence[Point], at: dict[Any, float], own: Sequence[Line]
    ) -> tuple[Array, Array, Array, Array]:
        """Place, mean, and the interval within what the metric can be, each of shape (points,)."""
        x = np.array([at[point.value] for point in points])
        mean, low, high = (np.array([getattr(point, end) for point in points]) for end in ("mean", "low", "high"))
        return x, mean, *cut(self.metric, low, high, self._numbers(own))

    def _intervals(self) -> tuple[bool, list[str]]:
        """Whether one is seen to end where the quantity does, and what to say of those that leave the plot."""
        drawn = []
        for own in self._drawn:
            ends = self._ends(own) or (-math.inf, math.inf)
            points = [point for line in own for point in [*line.points, *([line.judged] if line.judged else [])]]
            for point in points:
                if point.n > 2 and self.metric.quantity.scale * point.mean <= ends[1]:
                    low, high = np.array([point.low]), np.array([point.high])
                    drawn.append((Interval.of(self.metric, low, high, self._numbers(own)), ends))
        return of_intervals(drawn)

    @staticmethod
    def _numbers(own: Sequence[Line]) -> Array:
        means = np.array([point.mean for line in own for point in line.points])
        return np.asarray(means[np.isfinite(means)])

    def _bounds(self, own: Sequence[Line]) -> tuple[float, float]:
        """Between what the metric lies, as shown."""
        known = self.metric.quantity
        least, most = bounds(self.metric.name, known, self._numbers(own))
        return known.scale * least, known.scale * most

    def _span(self, own: Sequence[Line]) -> tuple[float, float] | None:
        """What the y-axis of a panel ends at; None where nothing is drawn."""
        log = self.extent.log(self.metric, self._numbers(own))
        every = [point for line in own for point in [*line.points, *([line.judged] if line.judged else [])]]
        every = [point for point in every if math.isfinite(point.mean)]
        far = exploded(self.metric, [point.mean for point in every])
        near = [point for point, gone in zip(every, far, strict=True) if log or not gone]
        shown = [point for point in near if point.n > 2]
        low, high = (np.array([getattr(point, end) for point in shown]) for end in ("low", "high"))
        ends = cut(self.metric, low, high, self._numbers(own))
        kept, lost = (
            np.array([point.mean for point in every if (point in near) == inside]) for inside in (True, False)
        )
        whole = held(len(own), int(np.isfinite(high).sum()))
        return self.extent.ends(self.metric, [kept], [lost], ends, log=log, whole=whole)

    def _ends(self, own: Sequence[Line]) -> tuple[float, float] | None:
        """The ends of the y-axis of a panel, or of all where they have one, with room for the counts below."""
        found = [ends for lines in (self._drawn if self.level else [own]) if (ends := self._roomy(lines)) is not None]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    def _roomy(self, own: Sequence[Line]) -> tuple[float, float] | None:
        """What `_span` gives, with a line of counts below for each hue of which runs diverged."""
        span, rows = self._span(own), len(fallen(own))
        if span is None or not rows or self.extent.range is not None:
            return span
        log = self.extent.log(self.metric, self._numbers(own))
        low, high = np.log(span) if log else np.array(span)
        low -= (high - low) * strip(rows) * (rows + 0.5) / (1 - strip(rows) * (rows + 0.5))
        return (float(np.exp(low)) if log else float(low)), span[1]

    def _said(self, drawn: Sequence[Sequence[Line]], wide: int) -> list[str]:
        every = [line for own in drawn for line in own]
        points = [point for line in every for point in line.points]
        kind = "geometric mean" if self.metric.quantity.log else "mean"
        if kind == "mean" and any(self.extent.log(self.metric, self._numbers(own)) for own in drawn if own):
            kind = "arithmetic mean"
        mean = f"{kind} over seeds"
        by = said(self.frame, self.metric)
        ringed = any(line.chosen is not None for line in every)
        beside = [line.judged for line in every if line.judged]
        ends = any(point.n > 2 and math.isfinite(point.high) for point in [*points, *beside])
        found = [f"{mean}, 95 % t interval (from n = 3 on)" if ends else mean]
        if any(point.diverged for point in points):
            found.append("×k, hollow: of so many seeds a run diverged or failed there; the mean is over the others")
        if any(point.missed for point in points):
            found.append("hollow: a target never reached counts as the whole budget, and there is no interval")
        if self._intervals()[0]:
            found.append(CUT)
        found += self._outside()
        if by and ringed:
            diamond = "; diamond: the judged runs at it" if any(line.judged for line in every) else ""
            found.append(f"ring: {by}{diamond}")
        if any(line.edge for line in every):
            found.append("*: the least or the greatest value tried, so a better one may lie beyond")
        return [plain(text, wide, lines=9) for text in (*found, *self.mixtures())]
