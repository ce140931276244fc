"""What a y-axis shows: its scale, its range, and where intervals must end because the quantity does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.stats import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALES = ("linear", "log")
BEYOND = 1.0
"""How far a linear axis goes for runs that diverged, in heights of all that did not: see `window`."""


@dataclass(frozen=True)
class Extent:
    """What was asked of a y-axis.

    Attributes:
        scale: `linear` or `log`; empty: as the quantity and its values ask for.
        range: The ends, as shown (an accuracy in %); None: room for what is drawn.
    """

    scale: str = ""
    range: tuple[float, float] | None = None

    @classmethod
    def parse(cls, scale: str, ylim: str) -> Extent:
        """Read what a user typed.

        >>> Extent.parse("log", "0.1,10").range
        (0.1, 10.0)

        Args:
            scale: Of `SCALES`, or empty.
            ylim: `LOW,HIGH`, or empty.

        Raises:
            ValueError: For another scale or range, with the way out.
        """
        if scale and scale not in SCALES:
            raise ValueError(f"no scale {scale}: choose {' or '.join(SCALES)}")
        if not ylim:
            return cls(scale)
        try:
            low, high = map(float, ylim.split(","))
        except ValueError:
            raise ValueError(f"--ylim {ylim}: write LOW,HIGH, as the axis shows them: 85,95") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"--ylim {ylim}: the first number must be less than the second")
        if scale == "log" and low <= 0:
            raise ValueError(f"--ylim {ylim}: a logarithmic axis begins above 0")
        return cls(scale, (low, high))

    def log(self, metric: Metric, known: Array) -> bool:
        """Whether the axis is logarithmic.

        Args:
            metric: What is drawn.
            known: Its finite values.

        Raises:
            ValueError: It was asked for, and nothing is above 0.
        """
        above = known[known > 0]  # a gap to the optimum may end in rounding, at and below 0
        if self.scale == "log" and not len(above):
            raise ValueError(f"{metric.name} has no value above 0 for a logarithmic axis: leave out --scale")
        if self.scale:
            return self.scale == "log"
        wide = 2 * len(above) > len(known) and above.max() > 5 * above.min()
        below = self.range is not None and self.range[0] <= 0
        return bool(metric.quantity.log and wide and not below)

    def limit(self, axes: Axes, metric: Metric, means: Sequence[Array], bands: Sequence[Array], *, log: bool) -> None:
        """Set the range: room for all means and most of the bands.

        At n = 2 a band alone would take up the whole height.

        Args:
            axes: A panel.
            metric: What is drawn.
            means: The lines, in the unit in which the metric is stored.
            bands: The ends of intervals.
            log: Whether the axis is logarithmic.
        """
        if self.range is not None:
            axes.set_ylim(*self.range)
            return
        drawn = [part for part in means if len(part)]
        if not drawn:
            return
        forward, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
        inner = forward(np.concatenate(drawn))
        low, high = float(inner.min()), float(inner.max())
        room = 0.25 * (high - low or abs(high) or 1.0)
        with np.errstate(divide="ignore"):  # of an interval that was cut at 0
            ends = forward(np.concatenate(bands)) if bands else inner
        ends = ends[np.isfinite(ends)]
        if len(ends):
            low, high = min(low, max(low - room, ends.min())), max(high, min(high + room, ends.max()))
        pad = 0.04 * (high - low or 1.0)
        axes.set_ylim(*(metric.quantity.scale * float(back(end)) for end in (low - pad, high + pad)))


FREE = Extent()
"""Nothing was asked."""


def cut(metric: Metric, low: Array, high: Array, values: Array) -> tuple[Array, Array]:
    """Intervals within what a quantity can be: a t interval of a share may leave 0 to 1.

    Args:
        metric: What they are of.
        low: Their lower ends; NaN where there is none.
        high: The upper ends.
        values: What the intervals were made of, which say whether the quantity keeps to its bounds at all.

    """
    least, most = bounds(metric.name, metric.quantity, values)
    return np.clip(low, least, most), np.clip(high, least, most)


CUT = "intervals end where the quantity does"
"""Said of intervals that `cut` has changed."""
