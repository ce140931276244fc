"""What stands on top of the report: of each paper and each comparison one line a claim, with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.show.headline import tally_text
from batchlab.results.show.sheet import Sheet, Text

LINES = 40
"""Of more claims only those that were decided have a line, and of them so many."""


@dataclass(frozen=True)
class Line:
    """A claim at a glance.

    Attributes:
        claim: What is claimed, or which pair is compared.
        at: What it was read at.
        effect: The difference with its interval.
        p: Corrected.
        n: Seeds.
        verdict: In words.
        tone: Of its colour.
        detail: When it was decided, or what would.
        anchor: Where the details are.
    """

    claim: str
    at: str
    effect: str
    p: str
    n: str
    verdict: str
    tone: str
    detail: str
    anchor: str


@dataclass(frozen=True)
class Glance:
    """What came of a paper, or of a comparison.

    Attributes:
        title: Which.
        anchor: Its section.
        summary: How many claims came to what.
        answer: What came of it in a sentence or two; may be empty.
        lines: A line a claim.
        more: Claims that have no line.
    """

    title: str
    anchor: str
    summary: str
    answer: str
    lines: Sequence[Line]
    more: int = 0


def glance(title: str, anchor: str, rows: str, sheet: Sheet, judged: Sequence[Judged], answer: str = "") -> Glance:
    """The claims of a sheet at a glance.

    Args:
        title: Of the section.
        anchor: Of the section.
        rows: What the rows of the sheet are named after, see `render.to_html`.
        sheet: A row for each claim: what is said here and there is the same.
        judged: The claims of the rows, in their order.
        answer: What came of it all in words.
    """
    lines = [_line(sheet, i, item, rows) for i, item in enumerate(judged)]
    shown = lines
    if len(lines) > LINES:
        decided = [line for line, item in zip(lines, judged, strict=True) if item.verdict is not Verdict.UNDECIDED]
        shown = decided[:LINES]
    return Glance(title, anchor, tally_text(judged), answer, shown, len(lines) - len(shown))


def _line(sheet: Sheet, i: int, item: Judged, rows: str) -> Line:
    cells = {
        column.header[-1].partition(" [")[0]: cell for column, cell in zip(sheet.columns, sheet.rows[i], strict=True)
    }

    def text(*names: str) -> Text:
        return next((cells[name] for name in names if name in cells), Text(""))

    verdict = text("verdict")
    return Line(
        cells["pair"].text if "pair" in cells else item.claim.text,
        text("read at").text,
        text("effect", "ratio", "difference").text,
        " ".join(filter(None, [text("p").text, text("p").detail])),
        text("n").text,
        verdict.text,
        verdict.tone or _tone(verdict),
        verdict.detail,
        f"{rows}-{i + 1}",
    )


def _tone(verdict: Text) -> str:
    """Of a pair, where either side may be the better one."""
    return ("good" if verdict.text.endswith("is better") else "plain") if verdict.bold else "dim"
