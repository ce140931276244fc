"""How lines look, so that no two look the same: colour, dash and mark of each value of a hue.

Names have colours that are told apart, numbers colours in an order, the greater the darker: one scale over a single
key, and where a key of numbers stands behind another one a ramp of shades for each value of that. What the eye could
not keep apart is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from batchlab.results.compare.curves import by_hue
from batchlab.results.compare.frame import Frame
from batchlab.results.show.drawing import COLORS, DASHES, MARKS
from batchlab.results.words import count

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

Looks = dict[Any, dict[str, Any]]
"""By hue what matplotlib draws its line with."""
MOST = 40
"""Lines of a figure: nobody follows more."""
STEPS = 9
"""Colours of a scale that are told apart by themselves; of more, neighbours have another dash or mark too."""
SHADES = 15
"""Shades of a ramp that are told apart with a dash each, as every fifth has the same one; there are no more."""
RAMPS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Of `COLORS` those whose light and dark shades are no other's."""
SCALE = (0.13, 0.84)
"""The part of matplotlib's plasma that is dark enough for white paper and light enough for a dark page."""
NOMINAL = ("seed", "data_seed")
"""Numbers that are names: no order is meant."""


def looks(frame: Frame, hue: str, *, rows: bool = True) -> Looks:
    """Colour, dash and mark of each hue. Of two keys the first is the colour, the other dash or shade.

    Args:
        frame: The runs.
        hue: An axis, label or dotted configuration key, or several with commas between.
        rows: Only of hues of which a run has rows: the others have no lines.

    Raises:
        ValueError: For more than the eye can tell apart, with the way out.
    """
    groups = by_hue(frame, hue)
    drawn = [run for runs in groups.values() for run in runs] if rows else frame.runs
    lines = {run.value(hue): run for run in drawn if run.value(hue) in groups}
    first, _, second = hue.partition(",")
    pairs = {value: (run.value(first), run.value(second) if second else None) for value, run in lines.items()}
    colors = [value for value in frame.values(first) if value in (one for one, _ in pairs.values())]
    dashes = [
        value for value in (frame.values(second) if second else ()) if value in (two for _, two in pairs.values())
    ]
    shaded = len(dashes) > 1 and numeric(second, dashes)
    found = {}
    for value, (one, two) in sorted(pairs.items(), key=lambda item: _place(item[1], colors, dashes)):
        i = colors.index(one)
        own = [other for other in dashes if (one, other) in pairs.values()] if shaded else dashes
        found[value] = _two(colors, i, own, own.index(two), first, shaded=shaded) if second else _one(colors, i, first)
    same = len({tuple(look.items()) for look in found.values()}) < len(found)
    if len(found) > MOST or same or any(look["marker"] is None for look in found.values()):
        raise ValueError(f"{_too_many(len(found))}: {_way_out(first, second, colors)}")
    return found


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

    >>> places([0.1, 1, 10]), places([1, 1.01, 1.02, 9])[1]
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
    return even if n > STEPS or near < 0.5 / (n - 1) else at


def _one(values: Sequence[Any], i: int, key: str) -> dict[str, Any]:
    """The look of one key's value."""
    if len(values) > 1 and numeric(key, values):
        return _look(_on_scale(values, i), i if len(values) > STEPS else 0, 0)
    return _look(COLORS[i % len(COLORS)], i // len(COLORS), i // (len(COLORS) * len(DASHES)))


def _two(colors: Sequence[Any], i: int, dashes: Sequence[Any], j: int, first: str, *, shaded: bool) -> dict[str, Any]:
    """The look of a pair of values: where marks are needed for both keys, each pair of rounds has its own.

    Args:
        colors: Those of the first key.
        i: The place in them.
        dashes: Those of the second; of numbers only those beside this value of the first.
        j: The place in them.
        first: The first key.
        shaded: Whether the second key's are numbers.
    """
    if shaded:
        return _look(_shade(RAMPS[i % len(RAMPS)], places(dashes)[j]), j, i // len(RAMPS) + (j // SHADES) * len(MARKS))
    rounds = -(-len(dashes) // len(DASHES))
    if len(colors) > 1 and numeric(first, colors):
        apart = i % 5 if len(colors) > STEPS else 0
        return _look(_on_scale(colors, i), j, apart * rounds + j // len(DASHES))
    return _look(COLORS[i % len(COLORS)], j, i // len(COLORS) * rounds + j // len(DASHES))


def _place(pair: tuple[Any, Any], colors: Sequence[Any], dashes: Sequence[Any]) -> tuple[int, int]:
    """Where a line stands in the legend."""
    return colors.index(pair[0]), dashes.index(pair[1]) if dashes else 0


def _look(color: str, dash: int, mark: int) -> dict[str, Any]:
    return {"color": color, "ls": DASHES[dash % len(DASHES)], "marker": MARKS[mark] if mark < len(MARKS) else None}


def _on_scale(values: Sequence[float], i: int) -> str:
    from matplotlib.colors import to_hex

    low, high = SCALE
    return to_hex(_plasma()(high - (high - low) * places(values)[i]))


@cache
def _plasma() -> Colormap:
    from matplotlib import colormaps

    return colormaps["plasma"]  # a copy each time, which takes milliseconds


def _shade(base: str, at: float) -> str:
    """A colour's shade, from light at 0 over itself at a half to dark at 1."""
    parts = [int(base[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    end, amount = (1.0, 0.55 * (1 - 2 * at)) if at < 0.5 else (0.0, 0.32 * (2 * at - 1))
    mixed = [part + amount * (end - part) for part in parts]
    return "#" + "".join(f"{round(255 * part):02x}" for part in mixed)


def _unevenness(gaps: Sequence[float]) -> float:
    """Standard deviation of some gaps over their mean."""
    mean = sum(gaps) / len(gaps)
    return math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) / mean


def _too_many(lines: int) -> str:
    return f"{count(lines, 'line')} in one figure are more than the eye can tell apart"


def _way_out(first: str, second: str, colors: Sequence[Any]) -> str:
    said = ",".join(str(value) for value in colors[:2])
    panels = f", or use panels (--panel {first} --hue {second})" if second else ""
    return f"draw fewer (--where {first}={said}){panels}"
