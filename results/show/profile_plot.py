"""Performance profiles (Dolan and Moré, 2002): the share of instances that a contender is near the least cost on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.compare.stats import Array
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.legend import head, legend
from batchlab.results.show.lettering import plain
from batchlab.results.show.panels import dress
from batchlab.results.show.points import Axis, Dots, Panel, Point, Points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ = (
    "at 1: the share on which a contender's cost is the least; at 2: on which it is at most twice the least. Further "
    "up is better; who never arrives counts on neither"
)
TICKS = (1, 1.2, 1.5, 2, 3, 4, 6, 10, 20, 50, 100)


class ProfileDrawing(Drawing):
    """The profiles of all contenders, a panel for each cost that is counted."""

    farthest: float = 4.0
    """The ratio that the axis ends at."""

    @abstractmethod
    def panels(self) -> Mapping[str, tuple[str, str]]:
        """By what is counted its words, and the title of its panel."""

    @abstractmethod
    def profile(self, counted: str, ratios: Array) -> Mapping[str, Array]:
        """By contender the share of instances within each ratio of the least cost."""

    @abstractmethod
    def looks(self) -> Mapping[str, dict[str, Any]]:
        """By contender how its line looks."""

    @abstractmethod
    def entry(self, name: str) -> str:
        """What the legend says of a contender."""

    @abstractmethod
    def head(self) -> str:
        """What stands over the figure."""

    def columns(self) -> int:
        """The most of the legend's entries that stand side by side."""
        return 2 + len(self.panels()) // 2 * 2

    def check(self) -> None:
        """See that there is something to draw.

        Raises:
            ValueError: There is not.
        """
        if not self.drawable:
            raise ValueError("no run has come to its target yet: see `batchlab status`")

    def said(self) -> Sequence[str]:
        """Lines on how to read it."""
        return [READ]

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullLocator, PercentFormatter

        self.check()
        counted, looks = self.panels(), self.looks()
        width = max(5.3, 4.1 * len(counted))
        figure = Figure(figsize=(width, 4.4), layout="constrained")
        panels = figure.subplots(1, len(counted), sharey=True, squeeze=False)[0]
        ratios = self.ratios()
        shown = [tick for tick in TICKS if tick <= self.farthest]
        for axes, (key, (words, title)) in zip(panels, counted.items(), strict=True):
            for name, shares in self.profile(key, ratios).items():
                axes.plot(ratios, shares, **looks[name], markevery=57, ms=4, lw=1.6, drawstyle="steps-post")
            axes.set_xscale("log")
            axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(1.0, self.farthest)
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_xlabel(plain(f"{words}: times the least", 50))
            dress(axes, plain(title, 60))
        panels[0].set_ylabel("within that")
        said = [plain(line, int(16 * width), lines=9) for line in self.said()]
        legend(figure, [(look, self.entry(name)) for name, look in looks.items()], said, self.columns())
        head(figure, self.head())
        return figure

    def points(self) -> Points:
        """As `figure` draws them: each where its share changes, and at both ends.

        Raises:
            ValueError: When there is nothing to draw.
        """
        self.check()
        looks, ratios = self.looks(), self.ratios()
        ticks = [(tick, f"{tick:g}") for tick in TICKS if tick <= self.farthest]
        panels = []
        for key, (words, title) in self.panels().items():
            found = [
                Dots(name, looks[name], _changes(ratios, 100 * shares), self._beside(name))
                for name, shares in self.profile(key, ratios).items()
            ]
            share = Axis("within that", unit="%", linear=True, least=0.0, most=100.0)
            panels.append(Panel(title, Axis(f"{words}: times the least", True, ticks), share, found))
        return Points(self.head(), panels, self.said(), "cost", step=True)

    def _beside(self, name: str) -> str:
        """What a legend says of a contender beside its name."""
        return self.entry(name).removeprefix(name).strip(" ()")

    def ratios(self) -> Array:
        """The ratios that are drawn."""
        return np.geomspace(1.0, self.farthest, 400)


def _changes(x: Array, y: Array) -> list[Point]:
    """The points of a step function where it steps, and its ends."""
    keep = np.flatnonzero(np.diff(y, prepend=np.nan) != 0)
    return [Point(float(x[i]), float(y[i])) for i in dict.fromkeys([*keep.tolist(), len(x) - 1])]
