"""Performance profiles: on which share of the instances a contender's cost is within a ratio of the least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.papers.crossing_costs import CLOCKED, FARTHEST, Costs
from batchlab.results.papers.panels import LEGEND, dress, head
from batchlab.results.show.drawing import COLORS, DASHES, Drawing
from batchlab.results.words import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("samples", "steps", "seconds")


@dataclass(frozen=True)
class Profiles(Drawing):
    """The profiles of all contenders: a panel for each clock; optimizers by colour, batch schedules by dash.

    Attributes:
        costs: What is drawn.
    """

    costs: Costs

    @property
    def drawable(self) -> bool:
        """Whether there is an instance that every contender's run is over of, and somebody came to its target."""
        return bool(self.costs.instances) and any(self.costs.reached(name)[0] for name in self.costs.contenders)

    @property
    def notes(self) -> list[str]:
        """Why times are not to be compared."""
        return [f"time: {reason}" for reason in self.costs.untimely]

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw.
        """
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.ticker import PercentFormatter

        if not self.drawable:
            raise ValueError("no run has come to its target yet: see `batchlab status`")
        clocks = [clock for clock in SHOWN if clock in self.costs.clocks]
        figure = Figure(figsize=(4.1 * len(clocks), 4.4), layout="constrained")
        panels = figure.subplots(1, len(clocks), sharey=True, squeeze=False)[0]
        looks = self._looks()
        ratios = np.geomspace(1.0, FARTHEST, 400)
        for axes, clock in zip(panels, clocks, strict=True):
            for name, shares in self.costs.profile(clock, ratios).items():
                axes.plot(ratios, shares, **looks[name], lw=1.6, drawstyle="steps-post")
            axes.set_xscale("log")
            axes.set_xticks([1, 1.5, 2, 3, 4], ["1", "1.5", "2", "3", "4"])
            axes.minorticks_off()
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            doubt = " (not to be compared, see the table)" if clock == "seconds" and self.costs.untimely else ""
            axes.set_xlabel(f"{CLOCKED[clock]}: times the least")
            dress(axes, f"by {CLOCKED[clock]}{doubt}")
        panels[0].set_ylabel("reached within that")
        lines = [Line2D([], [], **look, lw=1.8, label=name) for name, look in looks.items()]
        figure.legend(
            handles=lines,
            loc="outside lower left",
            ncols=len({look["ls"] for look in looks.values()}),
            handlelength=3,
            **LEGEND,
        )
        n = count(len(self.costs.instances), "problem and seed", "problems and seeds")
        head(figure, f"Cost of the target: performance profiles over {n}")
        return figure

    def _looks(self) -> dict[str, dict[str, Any]]:
        parts = {name: name.partition(" · ") for name in self.costs.contenders}
        optimizers = list(dict.fromkeys(first for first, _, _ in parts.values()))
        batches = list(dict.fromkeys(last for _, _, last in parts.values()))
        return {
            name: {
                "color": COLORS[optimizers.index(first) % len(COLORS)],
                "ls": DASHES[batches.index(last) % len(DASHES)],
            }
            for name, (first, _, last) in parts.items()
        }
