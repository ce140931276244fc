"""What stands on top of the report: of each paper and each comparison its claims at a glance, with their verdicts.

What is decided comes first. A claim that was read at several budgets is said once, with a line for each; of what is not
decided only the first lines are seen at once, the others are folded away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.show.claims_sheet import P, family_text
from batchlab.results.show.effects import corrected_for, effect, heading, levels_text
from batchlab.results.show.headline import FIRST, tally_text
from batchlab.results.show.sheet import Sheet, Text

DECIDED = 24
"""Lines of claims that are decided, before others are folded away."""
OPEN = 6
"""The same of those that are not."""
MOST = 200
"""Lines in all: of more claims the last have none."""


@dataclass(frozen=True)
class Line:
    """A claim at a glance, as it was read at one budget.

    Attributes:
        at: What it was read at.
        effect: The difference with its interval, of the comparison that the verdict rests on.
        p: Corrected.
        n: Seeds.
        verdict: In words.
        tone: Of its colour.
        detail: When it was decided, or what would; of several rivals, which one the effect is against.
        marks: Places, from 1, among `Glance.remarks`.
        anchor: Where the details are.
    """

    at: str
    effect: str
    p: str
    n: str
    verdict: str
    tone: str
    detail: str
    marks: Sequence[int]
    anchor: str


@dataclass(frozen=True)
class Claimed:
    """What is claimed, or which pair is compared, with a line for each budget that it was read at."""

    text: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Glance:
    """What came of a paper, or of a comparison.

    Attributes:
        title: Which.
        anchor: Its section.
        summary: How many claims came to what.
        answer: What came of it in a sentence or two; may be empty.
        claims: What is seen at once.
        folded: What is seen where somebody asks for it.
        rest: What that is, in words.
        remarks: What was lost, and why nothing was decided, each once.
        more: Lines that are neither.
        effects: The title of the effects.
        levels: Of which levels their intervals are, and of what those are, where they have several.
        family: Over how many claims p is corrected; empty: of none, or of one.
    """

    title: str
    anchor: str
    summary: str
    answer: str = ""
    claims: Sequence[Claimed] = ()
    folded: Sequence[Claimed] = ()
    rest: str = ""
    remarks: Sequence[str] = field(default=())
    more: int = 0
    effects: str = "effect"
    levels: str = ""
    family: str = ""

    @property
    def sentences(self) -> list[str]:
        """Those of the answer."""
        return sentences(self.answer)

    @property
    def lines(self) -> list[Line]:
        """All lines."""
        return [line for claim in (*self.claims, *self.folded) for line in claim.lines]

    @property
    def readings(self) -> bool:
        """Whether there is a column of what they were read at: not where that is the same for all."""
        return len({line.at for line in self.lines}) > 1


def sentences(text: str) -> list[str]:
    """A text in parts that are read one by one.

    >>> sentences("With all: 68.47 %. So: any.")
    ['With all: 68.47 %.', 'So: any.']
    """
    return re.split(r"(?<=\.) ", text)


def glance(title: str, anchor: str, rows: str, sheet: Sheet, judged: Sequence[Judged], answer: str = "") -> Glance:
    """The claims of a sheet at a glance.

    Args:
        title: Of the section.
        anchor: Of the section.
        rows: What the rows of the sheet are named after, see `hypertext.to_html`.
        sheet: A row for each claim: what is said here and there is the same.
        judged: The claims of the rows, in their order.
        answer: What came of it all in words.
    """
    groups: dict[str, list[int]] = {}
    for i, item in enumerate(judged):
        groups.setdefault(_cells(sheet, i)["pair"].text if _paired(sheet) else item.claim.title, []).append(i)
    order = sorted(groups, key=lambda text: min(_place(judged[i]) for i in groups[text]))
    seen, folded, left = _parted([(text, groups[text]) for text in order], judged)
    remarks: dict[str, int] = {}
    shown, more = (
        [Claimed(text, [_line(sheet, i, judged[i], rows, remarks) for i in own]) for text, own in part]
        for part in (seen, folded)
    )
    rest = _rest([judged[i] for _, own in folded for i in own])
    listed = [judged[i] for part in (seen, folded) for _, own in part for i in own]
    effects, levels = heading("effect", listed), levels_text(listed)
    several = "" if levels in effects else f"{levels}, each of the level of its {corrected_for(listed)} of claims"
    family = family_text(listed) if any(item.family > 1 for item in listed) else ""
    marked = list(remarks)
    return Glance(title, anchor, tally_text(judged), answer, shown, more, rest, marked, left, effects, several, family)


def _place(item: Judged) -> int:
    """Where a claim stands among others; of pairs those that are decided stay in the order of the contenders."""
    won = item.claim.pair and item.verdict is Verdict.DOES_NOT_HOLD
    return FIRST.index(Verdict.HOLDS if won else item.verdict)


def _parted(
    groups: Sequence[tuple[str, list[int]]], judged: Sequence[Judged]
) -> tuple[list[tuple[str, list[int]]], list[tuple[str, list[int]]], int]:
    """What is seen at once, what is folded away, and how many lines are left out."""
    seen: list[tuple[str, list[int]]] = []
    folded: list[tuple[str, list[int]]] = []
    lines = {True: 0, False: 0}
    left = shown = 0
    for text, own in groups:
        decided = any(judged[i].verdict is not Verdict.UNDECIDED for i in own)
        room = lines[decided] + len(own) <= (DECIDED if decided else OPEN) or not seen
        if shown + len(own) > MOST and seen:
            left += len(own)
            continue
        shown += len(own)
        if room and not folded:
            lines[decided] += len(own)
            seen.append((text, own))
        else:
            folded.append((text, own))
    if sum(len(own) for _, own in folded) == 1:  # nobody is asked to open what is as short as the asking
        return [*seen, *folded], [], left
    return seen, folded, left


def _rest(folded: Sequence[Judged]) -> str:
    if not folded:
        return ""
    if all(item.verdict is Verdict.UNDECIDED for item in folded):
        return f"{len(folded)} more {'is' if len(folded) == 1 else 'are'} not decided"
    return f"more: {tally_text(folded)}"


def _paired(sheet: Sheet) -> bool:
    return bool(sheet.columns) and sheet.columns[0].header[-1] == "pair"


def _cells(sheet: Sheet, i: int) -> dict[str, Text]:
    titles = (column.header[-1].partition(" [")[0] for column in sheet.columns)
    return dict(zip(titles, sheet.rows[i], strict=True))


def _line(sheet: Sheet, i: int, item: Judged, rows: str, remarks: dict[str, int]) -> Line:
    cells = _cells(sheet, i)

    def text(*names: str) -> Text:
        return next((cells[name] for name in names if name in cells), Text(""))

    verdict, measured = text("verdict"), text("effect", "ratio", "difference").text
    said = [text for text in (cells["effect"].detail if "effect" in cells else "", *verdict.detail.split("\n")) if text]
    if "\n" in measured and (shown := item.resting_on) is not None:
        measured = effect(item, shown)
        said.append(f"effect against {shown.rival.label}")
    lost = [part for text in said if text.startswith("† ") for part in text.removeprefix("† ").split("; ")]
    name = "not decided" if item.verdict is Verdict.UNDECIDED else verdict.text  # n has a column of its own
    return Line(
        text("read at").text,
        measured,
        text(P).text,
        str(item.seeds) if "\n" in text("n").text else text("n").text,
        name,
        verdict.tone or _tone(verdict),
        ", ".join(text for text in said if not text.startswith("† ")),
        [remarks.setdefault(text, len(remarks) + 1) for text in lost],
        f"{rows}-{i + 1}",
    )


def _tone(verdict: Text) -> str:
    """Of a pair, where either side may be the better one."""
    return ("good" if verdict.text.endswith("is better") else "plain") if verdict.bold else "dim"
