"""Where claims stand between two looks: what is decided, and what is left, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.compare.contest import turned
from batchlab.results.show.claims_sheet import counted, outlook_text, pair_text, reading_text, verdict_text
from batchlab.results.show.effects import effect

if TYPE_CHECKING:
    from rich.console import Group

MOST = 8
"""So many open claims have room above the runs of a terminal."""


def standing_lines(judged: Sequence[Judged]) -> list[str]:
    """One line for each claim that is followed, and before them one that counts; none before the first look."""
    followed = _followed(judged)
    if not any(item.ruling and item.ruling.look is not None for item in followed):
        return []
    lines = [_summary(followed)]
    for item in followed:
        if item.claim.pair and item.verdict is Verdict.DOES_NOT_HOLD:
            item = turned(item)
        parts = [_name(item), *(effect(item, c) for c in item.comparisons), _said(item)]
        lines.append("  " + "  ".join(filter(None, parts)))
    return lines


def standing_grid(judged: Sequence[Judged]) -> Group | str:
    """The same for a terminal of any width: of those that are decided how many, and the open ones."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    followed = _followed(judged)
    if not any(item.ruling and item.ruling.look is not None for item in followed):
        return ""
    left = [item for item in followed if item.ruling and item.ruling.open]
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    for item in left[:MOST]:
        shown = effect(item, item.comparisons[0]) if item.comparisons else ""
        grid.add_row(_name(item), shown, Text(f"about {item.needed} seeds" if item.needed else "", "dim"))
    if len(left) > MOST:
        grid.add_row(Text(f"and {len(left) - MOST} more", "dim"), "", "")
    return Group(Text(_summary(followed), "bold"), grid)


def _followed(judged: Sequence[Judged]) -> list[Judged]:
    return [item for item in judged if item.ruling]


def _summary(followed: Sequence[Judged]) -> str:
    decided = sum(item.verdict is not Verdict.UNDECIDED for item in followed)
    left = sum(bool(item.ruling and item.ruling.open) for item in followed)
    given_up = len(followed) - decided - left
    parts = [f"{decided} of {counted(followed)} decided", f"{left} open"]
    return ", ".join([*parts, *([f"{given_up} left undecided"] if given_up else [])])


def _name(item: Judged) -> str:
    where = f" ({reading_text(item.claim)})" if item.claim.at else ""
    return f"{pair_text(item) if item.claim.pair else item.claim.title}{where}"


def _said(item: Judged) -> str:
    text = verdict_text(item)
    return f"{text}: {outlook_text(item)}" if item.verdict is Verdict.UNDECIDED and item.needed else text
