"""The legend below a figure: what each look is, and what the lines are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchlab.results.show.drawing import GREY, INK
from batchlab.results.show.lettering import name, plain, room

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = 7
"""Letters that the line before a label and the space after it take up."""


def legend(figure: Figure, entries: Sequence[tuple[Mapping[str, Any], str]], said: Sequence[str], columns: int) -> None:
    """Put a legend below the panels; the figure grows where it takes more room than there is beside them.

    Args:
        figure: Of its final width.
        entries: Each look with its label.
        said: Lines above the entries.
        columns: The most that stand side by side.
    """
    from matplotlib.lines import Line2D

    marked = any(look["marker"] for look, _ in entries)  # a longer line shows the dash beside the mark
    key, wide = KEY + 2 * marked, room(figure, 8.5)
    labels = [plain(label, wide - key, lines=2) for _, label in entries]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    columns = max(1, min(len(entries), columns, wide // (longest + key)))
    grow(figure, sum(label.count("\n") + 1 for label in labels) / columns - 4)  # so much there is room for already
    made = figure.legend(
        handles=[Line2D([], [], **look, lw=2, ms=4, label=str(i)) for i, (look, _) in enumerate(entries)],
        loc="outside lower left", ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK,
        handlelength=4.4 if marked else 2.6, columnspacing=1.4, alignment="left",
        title="\n".join(said), title_fontsize=7.5,
    )  # fmt: skip
    made.get_title().set_color(GREY)
    name(made, labels)


def grow(figure: Figure, lines: float) -> None:
    """Room for more lines of text, so that the panels keep theirs."""
    figure.set_figheight(figure.get_figheight() + 0.18 * max(0.0, lines))


def head(figure: Figure, title: str) -> None:
    """Put a title over the whole figure, at its left, broken where it is longer than the figure is wide."""
    text = plain(title, room(figure, 12))
    grow(figure, text.count("\n"))
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, weight="bold", color=INK)


def foot(figure: Figure, said: Sequence[str]) -> None:
    """Put lines below the panels that say how to read them, broken where they are longer than the figure is wide."""
    text = "\n".join(plain(line, room(figure, 6.6), lines=9) for line in said)
    grow(figure, text.count("\n"))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7.5, color=GREY)
