"""Names as they come, in figures: drawn letter by letter whatever they hold, and no longer than there is room."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from batchlab.results.words import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

FONTS = ("Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Hiragino Sans", "Microsoft YaHei")
"""Where matplotlib's own font lacks a letter, the first of these that is installed and has it."""
LINES = 3
"""What is longer is cut: in the middle, for names differ at their ends."""


def plain(text: object, width: int = 60, lines: int = LINES) -> str:
    r"""A text that matplotlib draws as it is: `$` begins no formula, and long lines are broken.

    >>> plain("$x$"), plain("a" * 9 + "b" * 9, width=5, lines=2)
    ('\\$x\\$', 'aaaa…\nbbbb')

    Args:
        text: any; its ends of lines stay.
        width: letters of a line, about.
        lines: the most that it may take.
    """
    said = [visible(" ".join(line.split())) for line in str(text).splitlines()] or [""]
    whole, keep = " ".join(said), width * lines
    while len(broken := [part for line in said for part in textwrap.wrap(line, width) or [""]]) > lines:
        said, keep = [f"{whole[: (keep + 1) // 2]}…{whole[-(keep // 2) :]}"], keep - 2
    return "\n".join(broken).replace("$", r"\$")


def room(figure: Figure, size: float) -> int:
    """About how many letters of a size in points stand side by side in a figure."""
    return int(figure.get_figwidth() * 72 / (0.6 * size))


def name(legend: Legend, labels: Iterable[str]) -> None:
    """Give a legend's entries their labels: matplotlib would leave out one that begins with an underscore."""
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


@contextmanager
def lettered() -> Iterator[None]:
    """Fonts for all letters, whatever a user's matplotlibrc says of TeX, within the block."""
    from matplotlib import rc_context

    family = ["sans-serif", *_installed()]
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "batchlab",
        "font.family": family,
        "text.usetex": False,
    }
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from")  # `unknown_letters` says it once
        yield


def unknown_letters(texts: Iterable[object]) -> list[str]:
    """One line that names the letters which no font here has; none where there are none."""
    known = _letters()
    lost = dict.fromkeys(
        letter for text in texts for letter in str(text) if letter.isprintable() and letter not in known
    )
    if not lost:
        return []
    return [
        f"no font here has {''.join(lost)[:12]}: they are drawn as boxes; save as .svg, for the reader's fonts, or "
        f"install one of {', '.join(FONTS[:2])}"
    ]


@cache
def _installed() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    return tuple(font for font in FONTS if font in {entry.name for entry in fontManager.ttflist})


@cache
def _letters() -> frozenset[str]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in ("sans-serif", *_installed())]
    return frozenset(chr(code) for font in fonts for code in font.get_charmap())
