"""Order of accuracy and stability of the integrators of arXiv 2409.04707, drawn from measured numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; the markers carry the same distinction.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def plot_order(axes: Axes, etas: Sequence[float], errors: Mapping[str, Sequence[float]]) -> None:
    """Draw the global error at a fixed time against the step length, on logarithmic axes.

    Args:
        axes: where to draw.
        etas: step lengths, units of the flow's time.
        errors: scheme -> the error at each of `etas`; the legend gives the slope between the two shortest
            steps.
    """
    import numpy as np

    order = np.argsort(np.asarray(etas))[::-1]
    x = np.asarray(etas, dtype=float)[order]
    for i, (scheme, values) in enumerate(errors.items()):
        y = np.asarray(values, dtype=float)[order]
        slope = np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2])
        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "markersize": 5}
        axes.loglog(x, y, linewidth=1.2, label=f"{scheme}  {slope:.2f}", **style)
    axes.set_xticks(x, [f"1/{1 / value:.0f}" for value in x])
    axes.minorticks_off()
    axes.set_xlabel("step length η")
    axes.set_ylabel("distance from the exact flow at t = 1")
    axes.set_title("Order of accuracy", loc="left")
    axes.legend(title="scheme  slope", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def plot_stability(axes: Axes, measured: Mapping[str, float], theory: Mapping[str, float]) -> None:
    """Draw the largest stable learning rate x curvature of each scheme, measured (bars) and in theory
    (ticks).

    Args:
        axes: where to draw.
        measured: scheme -> limit found on the optimizer.
        theory: scheme -> limit of the formula, for the schemes for which it is known.
    """
    schemes = list(measured)
    heights = [measured[scheme] for scheme in schemes]
    axes.barh(schemes, heights, color="#B8CDE0", height=0.62)
    for row, scheme in enumerate(schemes):
        if scheme in theory:
            axes.plot([theory[scheme]] * 2, [row - 0.31, row + 0.31], color="#D55E00", linewidth=2)
        axes.annotate(
            f"{measured[scheme]:.3f}", (measured[scheme], row), (6, 0), textcoords="offset points", va="center"
        )
    axes.plot([], [], color="#D55E00", linewidth=2, label="theory")
    axes.invert_yaxis()
    axes.set_xlim(0, max(heights) * 1.18)
    axes.set_xlabel("largest stable η λ on a quadratic of curvature λ")
    axes.set_title("Stability limit", loc="left")
    axes.legend(frameon=False, loc="lower right")


def figure(
    etas: Sequence[float],
    errors: Mapping[str, Sequence[float]],
    measured: Mapping[str, float],
    theory: Mapping[str, float],
) -> Figure:
    """Both plots beside each other, 11 x 4.4 inches, not tied to any window: save it with `savefig`."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = drawn.subplots(1, 2)
    plot_order(left, etas, errors)
    plot_stability(right, measured, theory)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return drawn
