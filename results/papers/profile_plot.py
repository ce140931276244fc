"""The performance profiles of `crossing`: at what cost its contenders come to the targets, by three clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchlab.results.compare.stats import Array
from batchlab.results.papers.crossing_costs import CLOCKED, FARTHEST, Costs
from batchlab.results.show.drawing import COLORS, DASHES
from batchlab.results.show.profile_plot import ProfileDrawing
from batchlab.results.words import count

SHOWN = ("samples", "steps", "seconds")


@dataclass(frozen=True)
class Profiles(ProfileDrawing):
    """A panel for each clock; optimizers by colour, batch schedules by dash.

    Attributes:
        costs: What is drawn.
    """

    costs: Costs
    farthest = FARTHEST

    @property
    def drawable(self) -> bool:
        """Whether there is an instance that every contender's run is over of, and somebody came to its target."""
        return bool(self.costs.instances) and any(self.costs.reached(name)[0] for name in self.costs.contenders)

    @property
    def notes(self) -> list[str]:
        """Why times are not to be compared."""
        return [f"time: {reason}" for reason in self.costs.untimely]

    def panels(self) -> Mapping[str, tuple[str, str]]:
        """Of the clocks that the runs have."""
        doubt = " (not to be compared, see the table)" if self.costs.untimely else ""
        clocks = [clock for clock in SHOWN if clock in self.costs.clocks]
        return {c: (CLOCKED[c], f"by {CLOCKED[c]}{doubt if c == 'seconds' else ''}") for c in clocks}

    def profile(self, counted: str, ratios: Array) -> Mapping[str, Array]:
        """As of `Costs`."""
        return self.costs.profile(counted, ratios)

    def entry(self, name: str) -> str:
        """Its name alone: the table has how often it arrived."""
        return name

    def head(self) -> str:
        """With how many problems and seeds it is over."""
        n = count(len(self.costs.instances), "problem and seed", "problems and seeds")
        return f"Cost of the target: performance profiles over {n}"

    def columns(self) -> int:
        """One for each batch schedule."""
        return len({look["ls"] for look in self.looks().values()})

    def looks(self) -> Mapping[str, dict[str, Any]]:
        """Of six optimizers and three batch schedules, which have colours and dashes enough."""
        parts = {name: name.partition(" · ") for name in self.costs.contenders}
        optimizers = list(dict.fromkeys(first for first, _, _ in parts.values()))
        batches = list(dict.fromkeys(last for _, _, last in parts.values()))
        return {
            name: {
                "color": COLORS[optimizers.index(first) % len(COLORS)],
                "ls": DASHES[batches.index(last) % len(DASHES)],
                "marker": "",
            }
            for name, (first, _, last) in parts.items()
        }
