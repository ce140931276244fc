"""How far colours are apart for who sees them: CIEDE2000, also without the red or the green receptor.

The difference is that of CIE 142-2001 (Sharma, Wu and Dalal, 2005, with their test data), of sRGB under D65. The
matrices are those of Machado, Oliveira and Fernandes (2009) at severity 1, on linear RGB: protanopia and deuteranopia,
which two men in a hundred have, and many more in part.
"""

from __future__ import annotations

import math
from functools import cache

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]

TOLD = 10.0
"""The least distance of two lines of one dash and mark.

1 is just noticed between large patches side by side. Thin lines, and a line and its entry in a legend far from it, take
several times that; 10 is a little less than what the nearest two of Okabe and Ito's colours, which were made to be told
apart by everybody, keep without the red receptor (12).
"""
SIGHTS: tuple[Matrix, ...] = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
)
"""What linear RGB becomes: all receptors, without red, without green."""
XYZ: Matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE: Triple = (0.95047, 1.0, 1.08883)


@cache
def apart(a: str, b: str) -> float:
    """The distance of two colours (`#rrggbb`) for whoever sees it least."""
    return min(difference(one, other) for one, other in zip(_seen(a), _seen(b), strict=True))


def difference(one: Triple, other: Triple) -> float:
    """CIEDE2000 of two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    grey = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturated(grey)
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    middle = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    cosines = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    hues = 1 + sum(weight * math.cos(math.radians(k * middle + shift)) for weight, k, shift in cosines)
    of_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2))
    of_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    of_hue = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * hues)
    blue = 60 * math.exp(-(((middle - 275) / 25) ** 2))
    both = -math.sin(math.radians(blue)) * 2 * _saturated(chroma) * of_chroma * of_hue
    return math.sqrt(max(0.0, of_light**2 + of_chroma**2 + of_hue**2 + both))


def _saturated(chroma: float) -> float:
    return math.sqrt(chroma**7 / (chroma**7 + 25.0**7))


@cache
def _seen(color: str) -> tuple[Triple, ...]:
    """A colour in CIELAB as each of `SIGHTS` has it."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return tuple(_lab(_times(sight, (red, green, blue))) for sight in SIGHTS)


def _lab(linear: Triple) -> Triple:
    red, green, blue = (min(1.0, max(0.0, part)) for part in linear)
    scaled = (part / white for part, white in zip(_times(XYZ, (red, green, blue)), WHITE, strict=True))
    x, y, z = (math.cbrt(part) if part > (6 / 29) ** 3 else part / (3 * (6 / 29) ** 2) + 4 / 29 for part in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _times(matrix: Matrix, vector: Triple) -> Triple:
    x, y, z = (sum(entry * part for entry, part in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z
