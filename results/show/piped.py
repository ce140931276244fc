"""A sheet as text for a file or a pipe: rich's layout without its width, for rich takes a minute for 50,000 runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from batchlab.results.show.sheet import Sheet, Text

Lines = list[str]
"""Of a cell."""


def piped(sheet: Sheet) -> str:
    """A sheet whose control characters are visible, as text. Bold is a star, nothing is wrapped."""
    lines = [sheet.title]
    if sheet.rows:
        lines += _table(sheet)
    else:
        lines.append(sheet.empty)
    lines += [note.replace("bold:", "*:", 1) for note in sheet.notes]
    return "\n".join([*lines, *([""] if sheet.notes else []), ""])


def _table(sheet: Sheet) -> Lines:
    headers = [list(column.header) or [""] for column in sheet.columns]
    depth = max(map(len, headers))
    rows = [[_lines(cell) for cell in row] for row in sheet.rows]
    widths = [max(1, *map(_cells, own)) for own in _columns([headers, *rows])]
    right = [column.align == "right" for column in sheet.columns]

    def printed(row: Sequence[Lines]) -> Lines:
        made = []
        for texts in zip_longest(*row, fillvalue=""):
            padded = [_padded(text, width, flush) for text, width, flush in zip(texts, widths, right, strict=True)]
            made.append(f" {'   '.join(padded)} ")
        return made

    across = sum(widths) + 3 * (len(widths) - 1)
    blank, rule = " " * (across + 2), f" {'─' * across} "
    head = printed([[*[""] * (depth - len(header)), *header] for header in headers])
    return [blank, *head, rule, *(line for row in rows for line in printed(row)), blank]


def _lines(cell: Text) -> Lines:
    text = f"*{cell.text}" if cell.bold else cell.text
    lines = text.split("\n") if "\n" in text else [text]
    return [*lines, *cell.detail.split("\n")] if cell.detail else lines


def _columns(rows: Sequence[Sequence[Lines]]) -> list[Lines]:
    """All lines of each column."""
    return [[line for cell in column for line in cell] for column in zip(*rows, strict=True)]


def _padded(text: str, width: int, right: bool) -> str:
    room = " " * (width - _cells(text))
    return room + text if right else text + room


def _cells(text: str) -> int:
    """How wide a text is on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
