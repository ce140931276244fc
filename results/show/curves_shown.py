"""What a figure of curves shows, before it is drawn: lines, what leaves the axes, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from batchlab.results.compare.caveats import timed, together_note
from batchlab.results.compare.curves import Curve, Track, by_hue, curves
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import Array
from batchlab.results.show.drawing import FrameDrawing, without_note
from batchlab.results.show.ends import BANDS, without_line
from batchlab.results.show.extent import FREE, Extent, Interval, cut, exit_of, exploded, held, of_intervals, ways
from batchlab.results.show.numbers import named, panel_names
from batchlab.results.store.run import State
from batchlab.results.words import count


@dataclass(frozen=True)
class CurvesShown(FrameDrawing):
    """What a figure of curves shows: its lines, where its axes end, and what is said of both.

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
        parts = {id(line): [part if few else part[-1:] for part in self._band(line)] for line in shown if line.n > 2}
        whole = all(
            held(
                sum(bool(len(line.x)) for line in lines),
                sum(len(parts[id(line)][0]) for line in lines if id(line) in parts),
            )
            for lines in ([line for own in rows for line in own[j]] for j in range(len(self.clocks)))
        )
        bands = [part for own in parts.values() for part in own]
        return self.extent.ends(self.metric, kept, lost, bands, log=self._log, whole=whole)

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

    def _band(self, line: Curve) -> tuple[Array, Array]:
        """The interval of a line, within what the metric can be."""
        return cut(self.metric, line.low, line.high, self._values)

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
