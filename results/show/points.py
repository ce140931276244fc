"""What a figure is drawn from that is no curve over a clock: points, with what is known of each.

A `Drawing` whose points these are draws them itself, and gives them to the report, where they answer a pointer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

HOLLOW, RING, DIAMOND, OPEN = "hollow", "ring", "diamond", "open"
"""Marks of a point: not all of its runs are in the mean, it was chosen, it is of runs that chose nothing, and its
interval has no upper end."""


@dataclass(frozen=True)
class Axis:
    """What points stand over or reach up to.

    Attributes:
        label: What it is.
        log: Whether it is logarithmic.
        ticks: Places that have names, and these; none: round numbers.
        unit: Of what stands there, as shown.
        words: Whether its places are names and nothing else.
        linear: Whether it has no logarithm: a share is of all.
        least: What nothing there can be below, as shown.
        most: What nothing there can be above.
        neutral: Where nothing is better than another; NaN: nowhere.
        arithmetic: Whether arithmetic means are drawn there, whatever its scale.
    """

    label: str
    log: bool = False
    ticks: Sequence[tuple[float, str]] = ()
    unit: str = ""
    words: bool = False
    linear: bool = False
    least: float = -math.inf
    most: float = math.inf
    neutral: float = math.nan
    arithmetic: bool = False


@dataclass(frozen=True)
class Point:
    """One point, as shown.

    Attributes:
        x: Where it stands.
        y: What is there.
        low: The lower end of its interval; NaN: it has none.
        high: The upper end.
        n: Over how many it is; None: that says nothing.
        note: What else is to be said of it.
        marks: Of `HOLLOW`, `RING`, `DIAMOND`.
        beside: Whether no line goes through it.
    """

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    n: int | None = None
    note: str = ""
    marks: tuple[str, ...] = ()
    beside: bool = False


@dataclass(frozen=True)
class Dots:
    """The points of one line.

    Attributes:
        name: What it is.
        look: Its colour, dash and mark, as matplotlib takes them.
        points: Ascending in x.
        said: What its entry in a legend says beside its name.
        single: x and y of what the points are means of.
        fallen: x of what was lost, and how it is said.
    """

    name: str
    look: Mapping[str, Any]
    points: Sequence[Point]
    said: str = ""
    single: Sequence[tuple[float, float]] = ()
    fallen: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Panel:
    """The lines of one plot.

    Attributes:
        title: Over it.
        x: Its axes.
        y: The other one.
        lines: In the order of the legend.
        key: What it is called in a menu, where several figures may have it; empty: as over it.
        rows: Whether the places of x are rows, one below the other, and y goes to the right.
    """

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Dots]
    key: str = ""
    rows: bool = False


@dataclass(frozen=True)
class Points:
    """A figure of points.

    Attributes:
        title: Over it.
        panels: Its plots.
        notes: How to read it, one line each.
        panel: What panels differ in.
        joined: Whether lines go through the points.
        step: Whether they keep their value until the next one.
        bars: Whether intervals stand beside each other, as they would hide each other.
        edge: Where it is said what was lost.
    """

    title: str
    panels: Sequence[Panel]
    notes: Sequence[str] = ()
    panel: str = ""
    joined: bool = True
    step: bool = False
    bars: bool = False
    edge: Literal["top", "bottom"] = "bottom"
