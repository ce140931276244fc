"""Contenders over several problems, in figures: what all of them share, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS
from batchlab.results.compare.problems import Field
from batchlab.results.compare.stats import Array
from batchlab.results.show.drawing import FrameDrawing, without_note
from batchlab.results.show.looks import looks
from batchlab.results.show.numbers import named
from batchlab.results.show.profile_plot import ProfileDrawing
from batchlab.results.words import count

FARTHEST = 50.0
"""The greatest ratio that a profile is drawn to."""


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
        """Problems that some contender has no run of, and runs that are no contender's."""
        without = without_note(self.frame, self.field.hue, *self.field.axes)
        left = [p for p in self.field.problems if p not in self.field.shared]
        some = f"left out, as some {self.field.hue} has no run there that is over: {', '.join(left)}"
        return [*([some] if left else []), *without]


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
