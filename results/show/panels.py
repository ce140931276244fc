"""How the panels of figures look that are not lines over a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchlab.results.show.drawing import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = "#8c959f"
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8.5, "labelcolor": INK}
"""Arguments of a legend."""


def dress(axes: Axes, title: str = "") -> None:
    """Give a panel its lines, grid, letters and title, once its scales and labels are set."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(which="both", colors=INK, labelsize=8)
    axes.grid(True, which="major", color=GRID, alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)
    if title:
        axes.set_title(title, loc="left", fontsize=9.5, color=INK)


def head(figure: Figure, title: str) -> None:
    """Put a title over the whole figure, at its left."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold", color=INK)
