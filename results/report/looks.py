"""How the lines of an interactive figure look: no two of them alike.

Up to 7 colours times 5 dashes can be told apart. Values that are numbers are a sequence, from dark to light, with
dashes that tell neighbours apart; of two keys the first is the colour, and the second its shade and dash. Of more
lines none has a look of its own: the browser draws them grey until few enough are left to tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchlab.results.compare.frame import Frame
from batchlab.results.show.drawing import COLORS, DASHES

PLAIN = 7
"""Steps of a sequence that are told apart without dashes."""
MAP = {"light": ("plasma", 0.0, 0.82), "dark": ("plasma", 0.22, 1.0)}
"""The colour map of a sequence, and how much of it is seen on a page of that colour."""
SHADES = {"light": (-0.35, 0.35), "dark": (-0.1, 0.6)}
"""How far a shade goes to black (below 0) and to white."""

Look = dict[str, Any]
DASHED: list[list[float]] = [[] if dash == "-" else list(dash[1]) for dash in DASHES]
"""Lengths of lines and gaps, in widths of the line."""
PALETTE: list[Look] = [{"light": color, "dark": color, "dash": dash} for dash in DASHED for color in COLORS]
"""The looks of lines that are not numbers, in order."""


def looks(frame: Frame, hue: str, values: Sequence[Any]) -> dict[Any, Look | None]:
    """The look of each line; None for all of them where there are too many to tell apart.

    Args:
        frame: The runs.
        hue: One key, or two with a comma between.
        values: Those of the hue that have lines, in order.

    Returns:
        `light` and `dark`, a colour for a page of each kind, and `dash`.
    """
    if len(values) > len(PALETTE):
        return dict.fromkeys(values)
    first, _, second = hue.partition(",")
    if second and "," not in second:
        made = _of_two(frame, hue, first, second, values)
    elif _numbers(values):
        made = {value: _step(i, len(values)) for i, value in enumerate(values)}
    else:
        made = dict(zip(values, PALETTE, strict=False))
    return made if _differ(made) else dict(zip(values, PALETTE, strict=False))


def _numbers(values: Sequence[Any]) -> bool:
    """Whether the values are a sequence: three numbers or more."""
    return len(values) > 2 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _differ(made: dict[Any, Look]) -> bool:
    """Whether all looks differ, on pages of either colour."""
    return all(len({(look[theme], *look["dash"]) for look in made.values()}) == len(made) for theme in MAP)


def _step(i: int, n: int) -> Look:
    """The i-th of n steps of a sequence."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    colors = {
        theme: to_hex(colormaps[name](low + (high - low) * i / (n - 1))) for theme, (name, low, high) in MAP.items()
    }
    return {**colors, "dash": DASHED[i % len(DASHED)] if n > PLAIN else []}


def _of_two(frame: Frame, hue: str, first: str, second: str, values: Sequence[Any]) -> dict[Any, Look]:
    """The first key is the colour, the second the dash, and the shade too where it is a number."""
    colors, dashes = frame.values(first), frame.values(second)
    found = {run.value(hue): (run.value(first), run.value(second)) for run in frame.runs}
    made = {}
    for value in values:
        i, j = colors.index(found[value][0]), dashes.index(found[value][1])
        color, dash = COLORS[i % len(COLORS)], DASHED[j % len(DASHED)]
        step = j / (len(dashes) - 1) if _numbers(dashes) else None
        made[value] = {theme: _shaded(color, theme, step) for theme in SHADES} | {"dash": dash}
    return made


def _shaded(color: str, theme: str, step: float | None) -> str:
    """A colour nearer to black or to white: from dark to light as `step` goes from 0 to 1."""
    if step is None:
        return color
    low, high = SHADES[theme]
    to = low + (high - low) * step
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 * (to > 0) - part) * abs(to)):02x}" for part in parts)
