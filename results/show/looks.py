"""How lines look, so that no two look the same: colour, dash and mark of each value of a hue.

Names have colours that are told apart, numbers colours in an order, the greater the darker: one scale over a single
key, and where a key of numbers stands behind one of few values, a ramp of shades for each of those. Of three keys one
is the colour, numbers before names, the others dash and mark. Every colour stands out on a white page and on a dark one
(3:1), and what the eye could not keep apart is refused.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from batchlab.results.compare.curves import by_hue
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.replicates import NOMINAL
from batchlab.results.show.drawing import COLORS, DASHES, MARKS
from batchlab.results.show.vision import TOLD, apart
from batchlab.results.words import as_typed, count

Looks = dict[Any, dict[str, Any]]
"""By hue what matplotlib draws its line with."""
MOST = 20
"""Lines of a panel by two keys, of which colour and dash say one each: of more, nobody finds the one a legend names."""
ALONE = 14
"""Lines of a panel by one key: each colour with two dashes."""
POINTED = 40
"""Lines of a panel of which a reader can point at one, hide others and isolate it."""
PANELS = 12
"""Panels that are made of what is too much for one."""
STEPS = 5
"""Colours of a scale that are told apart at a glance; of more, neighbours have another dash too."""
SCALE = ("#e07806", "#c57464", "#897d80", "#8f5a86", "#8c35bd")
"""From the least to the greatest number: each darker than the one before, and `TOLD` from every other."""
RAMPS = (("#0799bb", "#0d7283"), ("#ba8a55", "#8a5e00"), ("#808f7f", "#356e47"), ("#ff22b3", "#bb0973"))
"""Each from its lightest to its darkest shade, of which none is another's."""
POINTS = (*MARKS[1:], "*", "<", ">", "p", "h", "d", "8", "H")
"""Marks of points, by dash and mark of the line that they stand for."""


def looks(frame: Frame, hue: str, *, rows: bool = True, limit: int | None = None) -> Looks:
    """Colour, dash and mark of each hue. Of two keys the first is the colour, the other dash or shade; see `_three`.

    A key with one value, or a number that goes with another number of the hue, tells nothing apart and has no look.

    Args:
        frame: The runs.
        hue: An axis, label or dotted configuration key, or several with commas between.
        rows: Only of hues of which a run has rows: the others have no lines.
        limit: The most lines; None: as many as are told apart on paper.

    Raises:
        TooManyLinesError: For more than the eye can tell apart, with the way out.
    """
    groups = by_hue(frame, hue)
    drawn = [run for runs in groups.values() for run in runs] if rows else frame.runs
    lines = {run.value(hue): run for run in drawn if run.value(hue) in groups}
    if len(lines) > (limit or most(hue)):
        raise _too_many(frame, lines, hue)
    keys = _telling(frame, lines, hue.split(","))
    if len(keys) > 2 and (found := _three(frame, lines, keys)):
        return found
    first, second = keys[0], ",".join(keys[1:])
    pairs = {value: (run.value(first), run.value(second) if second else None) for value, run in lines.items()}
    colors, dashes = (_there(frame, lines, key) for key in (first, second))
    shaded = len(dashes) > 1 and numeric(second, dashes) and (len(colors) <= len(RAMPS) or len(dashes) > len(DASHES))
    found = {}
    for value, (one, two) in sorted(pairs.items(), key=lambda item: _place(item[1], colors, dashes)):
        i = colors.index(one)
        own = [other for other in dashes if (one, other) in pairs.values()] if shaded else dashes
        color, dash = _two(colors, i, own, own.index(two), first, shaded=shaded) if second else _one(colors, i, first)
        found[value] = _look(color, DASHES[dash % len(DASHES)], found.values())
    if any(look["marker"] is None for look in found.values()):
        raise _too_many(frame, lines, hue)
    return found


def _too_many(frame: Frame, lines: Mapping[Any, RunRow], hue: str) -> TooManyLinesError:
    first, _, second = hue.partition(",")
    return TooManyLinesError(len(lines), hue, *(_there(frame, lines, key) for key in (first, second)))


def _there(frame: Frame, lines: Mapping[Any, RunRow], key: str) -> list[Any]:
    """The values of a key that lines have, in order; none of no key."""
    own = {run.value(key) for run in lines.values()} if key else set()
    return [value for value in frame.values(key) if value in own] if key else []


def _telling(frame: Frame, lines: Mapping[Any, RunRow], keys: Sequence[str]) -> list[str]:
    """The keys that tell lines apart: neither those of one value, nor a number that goes with an earlier one."""
    kept: list[str] = []
    counts = {key: _there(frame, lines, key) for key in keys}
    for key in (key for key in keys if len(counts[key]) > 1):
        numbers = [other for other in kept if numeric(other, counts[other])] if numeric(key, counts[key]) else []
        if all(len(_there(frame, lines, f"{other},{key}")) > len(counts[other]) for other in numbers):
            kept.append(key)
    return kept or [keys[0]]


def _three(frame: Frame, lines: Mapping[Any, RunRow], keys: Sequence[str]) -> Looks:
    """Looks by three keys or more: the first of numbers, or else the first, is the colour, others dash and mark.

    Returns:
        None of any where these do not tell the lines apart.
    """
    values = {key: _there(frame, lines, key) for key in keys}
    colored = next((key for key in keys if numeric(key, values[key])), keys[0])
    dashed, *rest = (key for key in keys if key != colored)
    marked = ",".join(rest)
    marks = len(POINTS) // len(DASHES)  # as many as have a point's mark for each dash
    values[marked] = _there(frame, lines, marked)
    if len(values[dashed]) > len(DASHES) or len(values[marked]) > marks:
        dashed, marked = marked, dashed
    if len(values[dashed]) > len(DASHES) or len(values[marked]) > marks:
        return {}
    found: Looks = {}
    for value, run in sorted(lines.items(), key=lambda line: [values[key].index(line[1].value(key)) for key in keys]):
        i, j, k = (values[key].index(run.value(key)) for key in (colored, dashed, marked))
        color = _on_scale(values[colored], i) if numeric(colored, values[colored]) else COLORS[i % len(COLORS)]
        found[value] = {"color": color, "ls": DASHES[j], "marker": MARKS[k]}
    alike = (a for a, b in combinations(found.values(), 2) if (a["ls"], a["marker"]) == (b["ls"], b["marker"])
             and apart(a["color"], b["color"]) < TOLD)  # fmt: skip
    return {} if any(alike) else found


def most(hue: str) -> int:
    """How many lines by a hue a panel can show."""
    return MOST if "," in hue else ALONE


class TooManyLinesError(ValueError):
    """More lines than the eye can tell apart, with the way out.

    Attributes:
        said: How many.
        panels: What to put into panels, and the hue within each; None: that is no way out.
    """

    def __init__(self, lines: int, hue: str, colors: Sequence[Any], dashes: Sequence[Any]) -> None:
        """Of so many lines by a hue; colors are the values of its first key, dashes those of the rest."""
        first, _, rest = hue.partition(",")
        self.said = f"{count(lines, 'line')} in one panel, of which the eye tells {most(hue)} apart"
        self.panels = (first, rest) if 0 < len(dashes) <= most(rest) and len(colors) <= PANELS else None
        way = f", or use panels (--panel {first} --hue {rest})" if self.panels else ""
        fitting = most(hue) * len(colors) // lines  # of as many lines each
        some = ",".join(map(as_typed, colors[: max(1, min(2, fitting))]))
        wanted = shlex.quote(f"{first}={some}")
        super().__init__(f"{self.said}: draw fewer (--where {wanted}){way}")


def dotted(look: Mapping[str, Any]) -> dict[str, Any]:
    """The look of something that is drawn as a point, where no dash is seen: each dash has a mark, too."""
    i = DASHES.index(look["ls"]) + len(DASHES) * MARKS.index(look["marker"])
    return {**look, "marker": POINTS[i % len(POINTS)]}


def numeric(key: str, values: Sequence[Any]) -> bool:
    """Whether the values of a key are numbers with an order."""
    usable = (isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    return key not in NOMINAL and all(usable)


def log_spaced(values: Sequence[float]) -> bool:
    """Whether numbers are spread by factors rather than by steps.

    >>> log_spaced([0.01, 0.03, 0.1, 0.3]), log_spaced([1, 2, 3, 4, 5, 6]), log_spaced([0, 1, 10])
    (True, False, False)
    """
    ordered = sorted(set(values))
    if len(ordered) < 2 or ordered[0] <= 0 or ordered[-1] < 5 * ordered[0]:
        return False
    steps = _unevenness([b - a for a, b in pairwise(ordered)])
    factors = _unevenness([math.log(b / a) for a, b in pairwise(ordered)])
    return factors <= steps


def places(values: Sequence[float]) -> list[float]:
    """Where numbers stand on a scale from 0 to 1, by their logarithm where they are spread by factors.

    Those that would stand too near to be told apart are set at even distances.

    >>> places([1, 10, 100]), places([1, 1.01, 1.02, 9])[1]
    ([0.0, 0.5, 1.0], 0.3333333333333333)

    Args:
        values: Ascending, each once.
    """
    n = len(values)
    if n == 1:
        return [0.5]
    even = [i / (n - 1) for i in range(n)]
    scaled = [math.log(value) for value in values] if log_spaced(values) else [float(value) for value in values]
    at = [(value - scaled[0]) / (scaled[-1] - scaled[0]) for value in scaled]
    near = min(b - a for a, b in pairwise(at))
    return even if n > STEPS or near < 1 / (STEPS - 1) else at


def _one(values: Sequence[Any], i: int, key: str) -> tuple[str, int]:
    """Colour and dash of one key's value."""
    if len(values) > 1 and numeric(key, values):
        return _on_scale(values, i), i if len(values) > STEPS else 0
    return COLORS[i % len(COLORS)], i // len(COLORS)


def _two(colors: Sequence[Any], i: int, dashes: Sequence[Any], j: int, first: str, *, shaded: bool) -> tuple[str, int]:
    """Colour and dash of a pair of values.

    Args:
        colors: Those of the first key.
        i: The place in them.
        dashes: Those of the second; of numbers only those beside this value of the first.
        j: The place in them.
        first: The first key.
        shaded: Whether the second key's are numbers.
    """
    if shaded:
        return _mixed(*RAMPS[i % len(RAMPS)], places(dashes)[j]), j
    if len(colors) > 1 and numeric(first, colors):
        return _on_scale(colors, i), j
    return COLORS[i % len(COLORS)], j


def _look(color: str, dash: Any, others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The look of a line, with the first mark that keeps it apart from others; the mark is None where none does."""
    taken = {look["marker"] for look in others if look["ls"] == dash and apart(look["color"], color) < TOLD}
    return {"color": color, "ls": dash, "marker": next((mark for mark in MARKS if mark not in taken), None)}


def _place(pair: tuple[Any, Any], colors: Sequence[Any], dashes: Sequence[Any]) -> tuple[int, int]:
    """Where a line stands in the legend."""
    return colors.index(pair[0]), dashes.index(pair[1]) if dashes else 0


def _on_scale(values: Sequence[float], i: int) -> str:
    """The colour of a number among others."""
    at = places(values)[i] * (len(SCALE) - 1)
    k = min(int(at), len(SCALE) - 2)
    return _mixed(SCALE[k], SCALE[k + 1], at - k)


def _mixed(color: str, other: str, share: float) -> str:
    """A colour with a share of another one in it."""
    pairs = [(int(color[k : k + 2], 16), int(other[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(own + share * (end - own)):02x}" for own, end in pairs)


def _unevenness(gaps: Sequence[float]) -> float:
    """Standard deviation of some gaps over their mean."""
    mean = sum(gaps) / len(gaps)
    return math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) / mean
