"""Sensitivity curves as points, for a page where they answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from batchlab.results.compare.sensitivity import Line, Point
from batchlab.results.compare.stats import Array
from batchlab.results.show.looks import Looks, log_spaced, numeric
from batchlab.results.show.points import DIAMOND, HOLLOW, RING, Axis, Dots
from batchlab.results.show.points import Point as Shown
from batchlab.results.words import count, written

TRIED = 8
"""Values of a key that are the ticks of its axis; of more, round numbers are."""
ROOM = 0.1
"""The part of an axis that the name of a tick takes up."""


def over(key: str, values: Sequence[Any]) -> tuple[Axis, dict[Any, float]]:
    """The axis of a key, and where each of its values stands on it.

    Args:
        key: What was swept.
        values: In the order of the key.
    """
    if not numeric(key, values):
        places = {value: float(i) for i, value in enumerate(values)}
        return Axis(key, ticks=[(at, str(value)) for value, at in places.items()], words=True), places
    ticks = [(float(value), written(value)) for value in values] if len(values) <= TRIED else []
    return Axis(key, log=log_spaced(values), ticks=ticks), {value: float(value) for value in values}


def apart(ticks: Sequence[tuple[float, str]], *, log: bool) -> list[tuple[float, str]]:
    """Those ticks that have room beside each other, the first of those that have not.

    >>> apart([(1, "1"), (1.01, "1.01"), (9, "9")], log=False)
    [(1, '1'), (9, '9')]
    """
    at = [math.log(place) if log else place for place, _ in ticks]
    kept: list[int] = []
    for i, place in enumerate(at):
        if not kept or place - at[kept[-1]] >= ROOM * (at[-1] - at[0]):
            kept.append(i)
    return [ticks[i] for i in kept]


def dots(line: Line, columns: Sequence[Array], beside: Sequence[Array] | None, known: Looks, said: str) -> Dots:
    """The points of a line.

    Args:
        line: What was measured.
        columns: Place, mean and the ends of the interval of its points, as shown.
        beside: The same of the runs that are judged at the value chosen; None: there are none.
        known: How lines look.
        said: What its entry in the legend says beside its name.
    """
    points = [
        _shown(point, row, line.chosen)
        for point, row in zip(line.points, zip(*columns, strict=True), strict=True)
        if math.isfinite(point.mean)
    ]
    if beside is not None and line.judged is not None:
        (row,) = zip(*beside, strict=True)
        points.append(_shown(line.judged, row, None, judged=True))
    places = {point.value: float(x) for point, x in zip(line.points, columns[0], strict=True)}
    fallen = [(places[point.value], f"×{point.diverged}") for point in line.points if point.diverged]
    look = known[line.hue] | {"marker": known[line.hue]["marker"] or "o"}
    return Dots(str(line.hue), look, points, said, fallen=fallen)


def _shown(point: Point, row: Sequence[float], chosen: Any, *, judged: bool = False) -> Shown:
    x, mean, low, high = map(float, row)
    if point.n < 3:
        low = high = math.nan  # two seeds have an interval of 13 standard errors
    ringed = not judged and chosen is not None and point.value == chosen
    notes = {
        f"{point.diverged} lost": point.diverged,
        f"{point.missed} never reached it": point.missed,
        "chosen": ringed,
        "judged": judged,
    }
    marks = {HOLLOW: not judged and bool(point.diverged or point.missed), RING: ringed, DIAMOND: judged}
    found = tuple(mark for mark, has in marks.items() if has)
    return Shown(x, mean, low, high, point.n, ", ".join(note for note, has in notes.items() if has), found, judged)


def fallen(own: Sequence[Line]) -> list[Line]:
    """Those of which runs diverged."""
    return [line for line in own if any(point.diverged for point in line.points)]


def said_of(own: Sequence[Line]) -> str:
    """What a legend says of lines beside their hue: `n 3, 2 runs diverged; ring 0.01`."""
    points = [point for line in own for point in line.points]
    sizes = sorted({point.n for point in points}) or [0]
    n = f"n {sizes[0]}" if len(sizes) == 1 else f"n {sizes[0]} to {sizes[-1]}"
    diverged = sum(point.diverged for point in points)
    chosen = dict.fromkeys(f"{written(line.chosen)}{'*' * line.edge}" for line in own if line.chosen is not None)
    lost = [f"{count(diverged, 'run')} diverged"] * bool(diverged)
    judged = sorted({line.judged.n for line in own if line.judged})
    beside = f", judged n {judged[0]}{f' to {judged[-1]}' * (len(judged) > 1)}" if judged else ""
    ring = f"; ring {', '.join(chosen)}{beside}" if chosen else ""
    return f"{', '.join([n, *lost])}{ring}"
