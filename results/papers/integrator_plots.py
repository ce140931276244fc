"""Figures of the integrators of arXiv 2409.04707: order of accuracy, stability limit, learning-rate grids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.show.drawing import COLORS, DASHES, GREY, INK, Drawing
from batchlab.results.show.panels import LEGEND, dress, head
from batchlab.results.show.points import DIAMOND, HOLLOW, Axis, Dots, Panel, Point, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*Xh"
FILL = "#8fb3d1"
SHARES = "learning rate, in shares of the scheme's own limit"
ORDER, LIMIT = "Order of accuracy", "Stability limit"
UNMEASURED = "the integrators were not measured: `batchlab reproduce numerical_sgd` does it"
TITLE = "Train loss at the end over each scheme's learning rates (×: learnt nothing, or a run was lost)"


@dataclass(frozen=True)
class Integrators(Drawing):
    """How closely each scheme follows the flow, and how long its steps may be: measured, and in theory.

    Attributes:
        steps: Into how many steps the time from 0 to 1 is cut.
        errors: Scheme -> its distance from the exact flow at time 1, for each of `steps`. The legend gives the slope
            against the step length.
        limits: Scheme -> the largest learning rate x curvature at which a quadratic still converges.
        theory: Scheme -> that limit by the formula, where it is known.
    """

    steps: Sequence[int]
    errors: Mapping[str, Sequence[float]]
    limits: Mapping[str, float]
    theory: Mapping[str, float]

    @property
    def drawable(self) -> bool:
        """Whether they were measured."""
        return bool(self.errors and self.limits)

    def figure(self) -> Figure:
        """Draw errors on the left, limits on the right.

        Raises:
            ValueError: The schemes were not measured.
        """
        from matplotlib.figure import Figure

        if not self.drawable:
            raise ValueError(UNMEASURED)
        figure = Figure(figsize=(12.5, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        self._errors(left)
        self._limits(right)
        dress(left, ORDER)
        dress(right, LIMIT)
        return figure

    def points(self) -> Points:
        """As `figure` draws them: errors against the step length, then limits with those of theory.

        Raises:
            ValueError: The schemes were not measured.
        """
        if not self.drawable:
            raise ValueError(UNMEASURED)
        lengths = [1 / n for n in self.steps]
        places = {scheme: float(i) for i, scheme in enumerate(self.limits)}
        known = [Point(places[s], limit, marks=(DIAMOND, HOLLOW)) for s, limit in self.theory.items() if s in places]
        looks = {scheme: _look(i) for i, scheme in enumerate(dict.fromkeys([*self.errors, *self.limits]))}
        errors = [
            Dots(scheme, looks[scheme], [Point(*at) for at in sorted(zip(lengths, values, strict=True))],
                 f"slope {slope(lengths, values):.2f}")
            for scheme, values in self.errors.items()
        ]  # fmt: skip
        limits = [Dots(s, looks[s], [Point(places[s], limit)]) for s, limit in self.limits.items()]
        x = Axis(
            "step length",
            True,
            [(length, f"1/{n}") for n, length in sorted(zip(self.steps, lengths, strict=True), reverse=True)],
        )
        named = Axis("scheme", ticks=[(at, scheme) for scheme, at in places.items()], words=True)
        theory = Dots("theory", {"color": GREY, "marker": "D"}, known)
        panels = [
            Panel(ORDER, x, Axis("distance from the exact flow at time 1", True), errors),
            Panel(
                LIMIT, named, Axis("largest stable learning rate × curvature", least=0.0), [theory, *limits], rows=True
            ),
        ]
        return Points("Integrators: order of accuracy and stability limit", panels)

    def _errors(self, axes: Axes) -> None:
        lengths = [1 / n for n in self.steps]
        for i, (scheme, values) in enumerate(self.errors.items()):
            label = f"{scheme}: {slope(lengths, values):.2f}"
            axes.loglog(lengths, values, lw=1.3, ms=5, label=label, **_look(i))
        axes.set_xticks(lengths, [f"1/{n}" for n in self.steps])
        axes.minorticks_off()
        axes.set_xlabel("step length")
        axes.set_ylabel("distance from the exact flow at time 1")
        legend = axes.legend(title="slope", loc="upper left", bbox_to_anchor=(1, 1), **LEGEND)
        legend.get_title().set_color(GREY)

    def _limits(self, axes: Axes) -> None:
        schemes = list(self.limits)
        axes.barh(schemes, list(self.limits.values()), color=FILL, height=0.62)
        for row, scheme in enumerate(schemes):
            limit = self.limits[scheme]
            if scheme in self.theory:
                axes.plot([self.theory[scheme]] * 2, [row - 0.31, row + 0.31], color=COLORS[1], lw=2)
            axes.annotate(
                f"{limit:.3f}", (limit, row), (6, 0), textcoords="offset points", va="center", fontsize=8, color=INK
            )
        axes.plot([], [], color=COLORS[1], lw=2, label="theory")
        axes.invert_yaxis()
        axes.set_xlim(0, max(self.limits.values()) * 1.18)
        axes.set_xlabel("largest stable learning rate × curvature")
        axes.legend(loc="lower right", **LEGEND)


@dataclass(frozen=True)
class LossByShare(Drawing):
    """The loss at the end against the learning rate in shares of the scheme's own limit, one panel per problem.

    Attributes:
        losses: Problem -> scheme -> share -> loss; infinite where some run did not finish.
        ceiling: Problem -> loss above which nothing was learnt; what lies above is drawn as a cross on the edge.
    """

    losses: Mapping[str, Mapping[str, Mapping[float, float]]]
    ceiling: Mapping[str, float]

    @property
    def drawable(self) -> bool:
        """Whether some run has ended."""
        return any(math.isfinite(loss) for losses in self.losses.values() for _, _, loss in _points(losses))

    def figure(self) -> Figure:
        """Draw one panel per problem.

        Raises:
            ValueError: No run has a loss.
        """
        from matplotlib.figure import Figure

        if not self.drawable:
            raise ValueError("no run has a loss yet: see `batchlab status`")
        figure = Figure(figsize=(4.2 * len(self.losses) + 0.4, 4.3), layout="constrained")
        panels = figure.subplots(1, len(self.losses), squeeze=False)[0]
        drawn = self.points()
        for axes, panel in zip(panels, drawn.panels, strict=True):
            self._panel(axes, panel)
            axes.set_xlabel(panel.x.label)
            dress(axes, panel.title)
        panels[0].set_ylabel(drawn.panels[0].y.label)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, **LEGEND)
        head(figure, TITLE)
        return figure

    def points(self) -> Points:
        """As `figure` draws them.

        Raises:
            ValueError: No run has a loss.
        """
        if not self.drawable:
            raise ValueError("no run has a loss yet: see `batchlab status`")
        schemes = list(dict.fromkeys(scheme for losses in self.losses.values() for scheme in losses))
        panels = []
        for problem, losses in self.losses.items():
            ceiling = self.ceiling.get(problem, math.inf)
            shares = sorted({share for own in losses.values() for share in own})
            lines = []
            for i, scheme in enumerate(schemes):
                own = losses.get(scheme, {})
                good = [Point(share, own[share]) for share in sorted(own) if 0 < own[share] <= ceiling]
                lost = [(share, "×") for share in own if not 0 < own[share] <= ceiling]
                lines.append(Dots(scheme, _look(i), good, fallen=lost))
            x = Axis(SHARES, True, [(share, share_text(share)) for share in shares])
            panels.append(Panel(problem, x, Axis("train loss at the end", True, least=0.0), lines))
        return Points(TITLE, panels, panel="problem", edge="top")

    @staticmethod
    def _panel(axes: Axes, panel: Panel) -> None:
        from matplotlib.transforms import offset_copy

        for i, line in enumerate(panel.lines):
            drawn = [point.x for point in line.points], [point.y for point in line.points]
            axes.plot(*drawn, **line.look, ms=4.5, lw=1.3, label=line.name)
            lost = [share for share, _ in line.fallen]
            if lost:  # beside each other, so that nine crosses at one share can be told apart
                aside = offset_copy(
                    axes.get_xaxis_transform(),
                    axes.get_figure(root=True),
                    x=5.0 * (i - len(panel.lines) / 2),
                    units="points",
                )
                color = line.look["color"]
                axes.plot(lost, [1.0] * len(lost), "x", color=color, ms=6, mew=1.6, transform=aside, clip_on=False)
        shares = [share for share, _ in panel.x.ticks]
        inside = [point.y for line in panel.lines for point in line.points]
        axes.set_xscale("log")
        axes.set_xlim(shares[0] / 1.5, shares[-1] * 1.5)
        axes.set_xticks(shares, [text for _, text in panel.x.ticks])
        axes.minorticks_off()
        axes.set_yscale("log")
        if inside:
            axes.set_ylim(min(inside) / 1.6, max(inside) * 2.5)


def _look(i: int) -> dict[str, Any]:
    """How the i-th scheme is drawn."""
    look = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
    return {**look, "ls": DASHES[i // len(COLORS)]}


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least-squares line through log(y) against log(x), both (points,): the order of accuracy."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def share_text(share: float) -> str:
    """A share for people: `0.25`, `1/64`."""
    return f"{share:.3g}" if share >= 0.1 else f"1/{round(1 / share)}"


def _points(losses: Mapping[str, Mapping[float, float]]) -> list[tuple[str, float, float]]:
    return [(scheme, share, loss) for scheme, own in losses.items() for share, loss in own.items()]
