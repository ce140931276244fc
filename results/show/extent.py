"""What a y-axis shows: its scale, its range, and where intervals must end because the quantity does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import bounds
from batchlab.results.compare.stats import Array
from batchlab.results.words import count

SCALES = ("linear", "log")
BEYOND = 1.0
"""How far a linear axis goes for what diverged or exploded, in heights of all that did not: see `window`."""
FARTHER = 20.0
"""What goes so many times farther up than the middle one has exploded, though it went on to its end."""
FEW = 8
"""Intervals of a plot that are all shown."""
ROOM = 1.0
"""How far an axis goes for more of them on either side, in heights of what the points span."""


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

    def ends(
        self, metric: Metric, kept: Sequence[Array], lost: Sequence[Array], bands: Sequence[Array], *,
        log: bool, whole: bool,
    ) -> tuple[float, float] | None:  # fmt: skip
        """The ends of the axis, as shown: room for all lines, for bands, and for what `window` leaves of the lost.

        The rule: a plot of one line, or of at most `FEW` intervals, holds them all; of more the axis goes on for them
        by at most `ROOM` times the height that the points span on either side, so that these keep a third of it.

        Args:
            metric: What is drawn.
            kept: The lines that neither diverged nor exploded, in the unit in which the metric is stored.
            lost: Those that did.
            bands: The ends of intervals.
            log: Whether the axis is logarithmic.
            whole: Whether all intervals are held, see `held`.

        Returns:
            They; None where nothing is drawn.
        """
        if self.range is not None:
            return self.range
        forward, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
        inner, outer = (forward(np.concatenate([*parts, np.empty(0)])) for parts in (kept, lost))
        if not len(inner) and not len(outer):
            return None
        low, high = window(inner, outer, beyond=math.inf if log else BEYOND)
        first, last = window(inner, np.empty(0)) if len(inner) else (low, high)
        room = math.inf if whole else ROOM * (last - first or abs(last) or 1.0)
        with np.errstate(divide="ignore"):  # of an interval that was cut at 0
            outside = forward(np.concatenate([*bands, np.empty(0)]))
        outside = outside[np.isfinite(outside)]
        if len(outside):
            low, high = min(low, max(first - room, outside.min())), max(high, min(last + room, outside.max()))
        pad = 0.04 * (high - low or 1.0)
        below, above = (metric.quantity.scale * float(back(end)) for end in (low - pad, high + pad))
        return below, above


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


def held(lines: int, intervals: int) -> bool:
    """Whether a plot of so many lines and intervals holds them all, see `Extent.ends`."""
    return lines <= 1 or intervals <= FEW


def window(kept: Array, lost: Array, *, beyond: float = BEYOND) -> tuple[float, float]:
    """The ends of a linear axis, so that no run that exploded makes the others flat.

    The rule: all that neither diverged nor `exploded` is shown, and of what did at most `beyond` times that height on
    either side. Where everything did, all of it is shown. A logarithmic axis shows everything.

    >>> kept = np.array([0.5, 2.5])
    >>> window(kept, np.array([3.0])), window(kept, np.array([2.0, 1e28])), window(kept[:0], np.array([2.0, 1e28]))
    ((0.5, 3.0), (0.5, 4.5), (2.0, 1e+28))

    Args:
        kept: What is drawn of the lines that neither diverged nor exploded, in any order, finite.
        lost: Of those that did.
        beyond: How far the axis may go for them.
    """
    if not len(kept):
        return float(lost.min()), float(lost.max())
    low, high = float(kept.min()), float(kept.max())
    if not len(lost):
        return low, high
    room = beyond * (high - low or abs(high) or 1.0)
    return min(low, max(low - room, float(lost.min()))), max(high, min(high + room, float(lost.max())))


def exploded(metric: Metric, tops: Sequence[float]) -> list[bool]:
    """Which lines went `FARTHER` than the middle one, of what is better small: no share, and nothing that shall grow.

    >>> exploded(Metric("test_loss"), [2.3, 2.4, 1.7e8, 2.3]), exploded(Metric("test_accuracy"), [0.01, 0.9])
    ([False, False, True, False], [False, False])

    Args:
        metric: What is drawn.
        tops: The greatest value of each line.
    """
    middle = sorted(tops)[(len(tops) - 1) // 2] if tops else 0.0
    able = metric.quantity.better == "down" and middle > 0
    return [able and top > FARTHER * middle for top in tops]


def exit_of(x: Array, y: Array, ends: tuple[float, float]) -> tuple[float, bool] | None:
    """Where a line first leaves an axis, and whether upwards; None where it stays.

    >>> exit_of(np.array([0.0, 10.0]), np.array([1.0, 5.0]), (0.0, 3.0))
    (5.0, True)

    Args:
        x: Ascending.
        y: The line there.
        ends: Of the axis.
    """
    low, high = ends
    outside = np.flatnonzero((y < low) | (y > high))
    if not len(outside):
        return None
    i = int(outside[0])
    up = bool(y[i] > high)
    if i == 0:
        return float(x[0]), up
    share = ((high if up else low) - y[i - 1]) / (y[i] - y[i - 1])
    return float(x[i - 1] + share * (x[i] - x[i - 1])), up


CUT = "intervals end where the quantity does"
"""Said of intervals that `cut` has changed, where that is seen."""


@dataclass(frozen=True)
class Interval:
    """Intervals that are drawn, of a line or a point, as shown.

    Attributes:
        low: Their lower ends, within what the quantity can be.
        high: The upper ends.
        moved: Those of all these ends that `cut` has moved.
    """

    low: Array
    high: Array
    moved: Array

    @classmethod
    def of(cls, metric: Metric, low: Array, high: Array, values: Array) -> Interval:
        """Cut them, see `cut`; all in the unit in which the metric is stored."""
        first, last = cut(metric, low, high, values)
        scale = metric.quantity.scale
        return cls(scale * first, scale * last, scale * np.concatenate([first[first > low], last[last < high]]))


def of_intervals(drawn: Sequence[tuple[Interval, tuple[float, float]]]) -> tuple[bool, list[str]]:
    """Whether an end that was cut is seen, and what to say of lines and points whose intervals leave their axis.

    >>> def drawn(low, high, moved=()):
    ...     return Interval(np.array([low]), np.array([high]), np.array(moved)), (80.0, 99.0)
    >>> of_intervals([drawn(70, 90), drawn(85, 100, [100]), drawn(90, 95), drawn(10, 20)])
    (False, ['2 intervals go on beyond the plot'])

    Args:
        drawn: Each with the ends of its axis. What lies wholly beyond them is not seen, and no interval's matter.
    """
    cut_seen, leaving = False, 0
    for own, (least, most) in drawn:
        cut_seen |= bool(((own.moved >= least) & (own.moved <= most)).any())
        seen = (own.high >= least) & (own.low <= most)
        leaving += bool((seen & ((own.low < least) | (own.high > most))).any())
    verb = "goes" if leaving == 1 else "go"
    return cut_seen, [f"{count(leaving, 'interval')} {verb} on beyond the plot"] if leaving else []


def ways(extent: Extent, left: Sequence[str], intervals: Sequence[str]) -> list[str]:
    """What leaves a plot, each with what shows it: a logarithm does not make intervals short."""
    way = "another --ylim" if extent.range else "--scale log or --ylim LOW,HIGH"
    more = "another --ylim" if extent.range else "--ylim LOW,HIGH"
    return [*(f"{said}: {way} shows them" for said in left), *(f"{said}: {more} shows more" for said in intervals)]
