"""A sheet as lines of text: one table where there is room, else narrower columns, blocks of columns, or a list.

rich's own tables fold a name wherever the column ends, and take a minute for 50,000 runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.wrap import PROSE, cells, least, wrapped

Piece = tuple[str, str]
"""A text with its style, as rich names it."""
Line = list[Piece]
NARROW = 20
"""A column of prose is not made narrower than this."""
TONES = {"": "", "good": "green", "bad": "red", "dim": "dim"}


def laid_out(sheet: Sheet, width: int | None = None, *, stars: bool = True, wide: bool = False) -> list[Line]:
    """The lines of a sheet whose control characters are visible.

    Args:
        sheet: What to lay out.
        width: Of the terminal; None: tables stay whole, and only prose is wrapped.
        stars: Whether bold is a star before the text, where there is no bold.
        wide: Nothing is wrapped.
    """
    prose = None if wide else min(width or PROSE, PROSE)
    lines = _styled(sheet.title, "bold", None if width is None else prose)
    if sheet.rows:
        lines += _table(_Grid.of(sheet, stars), None if wide else width)
    else:
        lines += _styled(sheet.empty, "dim", prose)
    for note in sheet.notes:
        lines += _styled(note.replace("bold:", "*:", 1) if stars else note, "dim", prose)
    return [*lines, []] if sheet.notes else lines


def _styled(text: str, style: str, width: int | None) -> list[Line]:
    lines = text.split("\n") if width is None else wrapped(text, width, "  ", whole=True)
    return [[(line, style)] for line in lines]


@dataclass(frozen=True)
class _Grid:
    """Columns, and the lines of their cells."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Sequence[Piece]]]

    @classmethod
    def of(cls, sheet: Sheet, stars: bool) -> _Grid:
        return cls(sheet.columns, [[_cell(text, stars) for text in row] for row in sheet.rows])

    def chosen(self, places: Sequence[int]) -> _Grid:
        return _Grid([self.columns[i] for i in places], [[row[i] for i in places] for row in self.rows])

    def body(self, i: int) -> list[str]:
        return [text for row in self.rows for text, _ in row[i]]


def _cell(text: Text, stars: bool) -> list[Piece]:
    style = f"{'bold ' if text.bold and not stars else ''}{TONES[text.tone]}".strip()
    shown = f"*{text.text}" if text.bold and stars else text.text
    lines = [(line, style) for line in shown.split("\n")]
    return [*lines, *((line, "dim") for line in text.detail.split("\n"))] if text.detail else lines


def _table(grid: _Grid, width: int | None) -> list[Line]:
    if len(grid.columns) == 1 and grid.columns[0].align == "left":  # one column of text is prose
        width = min(width or PROSE, PROSE)
    natural = [_natural(grid, i) for i in range(len(grid.columns))]
    if width is None or _across(natural) <= width:
        return _printed(grid, natural)
    for tier in (0, 1):
        if widths := _narrowed(grid, natural, width, tier):
            return _printed(grid, widths)
    return _blocks(grid, natural, width) or _list(grid, width)


def _natural(grid: _Grid, i: int) -> int:
    return max(1, *map(cells, grid.columns[i].header), *map(cells, grid.body(i)))


def _across(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * (len(widths) - 1) + 2


def _least(grid: _Grid, i: int, tier: int) -> int:
    """How narrow a column may become: prose to some words a line, numbers not at all, notes on them to a line each."""
    head = max((least(text, tier) for text in grid.columns[i].header), default=0)
    if grid.columns[i].align == "right":
        return max(1, head, *(cells(part) for text in grid.body(i) for part in text.split("  ")))
    return max(1, head, *(max(least(text, tier), min(cells(text), NARROW)) for text in grid.body(i)))


def _narrowed(grid: _Grid, natural: Sequence[int], width: int, tier: int) -> list[int]:
    """Widths that fit, as even as the columns need them; none where there is no room."""
    low = [_least(grid, i, tier) for i in range(len(natural))]
    if _across(low) > width:
        return []
    level, widths = 1, low
    while _across(wider := [min(own, max(floor, level)) for own, floor in zip(natural, low, strict=True)]) <= width:
        level, widths = level + 1, wider
        if wider == list(natural):
            break
    return widths


def _blocks(grid: _Grid, natural: Sequence[int], width: int) -> list[Line]:
    """As many columns as fit beside the first ones, which name the row, and the rest beneath; empty where none fits."""
    stub = next((i for i, column in enumerate(grid.columns) if column.align == "right"), len(grid.columns))
    rest = range(stub, len(grid.columns))
    if not rest or any(grid.columns[i].align == "left" for i in rest):
        return []
    for tier in (0, 1, 2):
        narrow = [min(own, _least(grid, i, tier)) for i, own in enumerate(natural)]
        if all(_across([*narrow[:stub], narrow[i]]) <= width for i in rest):
            break
    else:
        return []
    units = [[*own] for _, own in groupby(rest, key=lambda i: grid.columns[i].header[:-1] or (i,))]
    fits = all(_across([*narrow[:stub], *(narrow[i] for i in own)]) <= width for own in units)
    blocks: list[list[int]] = []
    for own in units if fits else [[i] for i in rest]:  # columns under one heading stay together if they can
        if blocks and _across([*narrow[:stub], *(narrow[i] for i in [*blocks[-1], *own])]) <= width:
            blocks[-1] += own
        else:
            blocks.append([*own])
    lines: list[Line] = []
    for block in blocks:
        places = [*range(stub), *block]
        part = grid.chosen(places)
        own_natural = [natural[i] for i in places]
        fitting = _across(own_natural) <= width
        widths = own_natural if fitting else _narrowed(part, own_natural, width, tier)
        lines += _printed(part, widths)[:-1]
    return [*lines, []]


def _printed(grid: _Grid, widths: Sequence[int]) -> list[Line]:
    """One table of these widths."""
    right = [column.align == "right" for column in grid.columns]
    heads = [
        [line for text in column.header or ("",) for line in wrapped(text, width)]
        for column, width in zip(grid.columns, widths, strict=True)
    ]
    depth = max(map(len, heads))
    head = [[(text, "bold") for text in [*[""] * (depth - len(own)), *own]] for own in heads]
    titled = any(text for own in head for text, _ in own)
    lines: list[Line] = [[], *_row(head, widths, right), [(f" {'─' * (_across(widths) - 2)}", "")]] if titled else []
    for row in grid.rows:
        fitted = [[*_fitted(cell, width)] for cell, width in zip(row, widths, strict=True)]
        lines += _row(fitted, widths, right)
    return [*lines, []] if titled else lines


def _fitted(cell: Sequence[Piece], width: int) -> Iterator[Piece]:
    """The lines of a cell; one that is indented keeps that where it is wrapped."""
    for text, style in cell:
        bare = text.lstrip(" ")
        hang = text[: len(text) - len(bare)]
        point = "  " if bare.startswith("· ") else ""  # of a list: its text stays apart from the points
        inner = wrapped(bare, width - len(hang), point)
        lines = [text] if cells(text) <= width else [f"{hang}{line}" for line in inner]
        yield from ((line, style) for line in lines)


def _row(row: Sequence[Sequence[Piece]], widths: Sequence[int], right: Sequence[bool]) -> Iterator[Line]:
    for pieces in zip_longest(*row, fillvalue=("", "")):
        line: Line = []
        blank = " "
        for (text, style), width, flush in zip(pieces, widths, right, strict=True):
            room = " " * (width - cells(text))
            if text:
                line += [(f"{blank}{room if flush else ''}", ""), (text, style)]
                blank = "" if flush else room
            else:
                blank += room
            blank += "   "
        yield line


def _list(grid: _Grid, width: int) -> list[Line]:
    """A row as a heading, and beneath it what the other columns say; neighbours of numbers share a line if they can."""
    names = [" ".join(filter(None, column.header)) for column in grid.columns]
    indent = min(2 + max(map(cells, names[1:]), default=0) + 2, width // 3)
    lines: list[Line] = []
    for row in grid.rows:
        if any(text for text, _ in row[0]):
            lines += [[], *([(line, style or "bold")] for text, style in row[0] for line in wrapped(text, width, "  "))]
        elif lines:
            lines.append([])
        for name, texts in _said(grid, names, row, width - indent):
            label = [(line, "dim") for line in wrapped(name, max(1, indent - 4))]
            said = [(line, style) for text, style in texts for line in wrapped(text, width - indent)]
            for (head, dim), (text, style) in zip_longest(label, said, fillvalue=("", "")):
                lines.append([(f"  {head}{' ' * (indent - 2 - cells(head))}", dim), (text, style)])
    return [*lines, []]


def _said(
    grid: _Grid, names: Sequence[str], row: Sequence[Sequence[Piece]], width: int
) -> Iterator[tuple[str, Sequence[Piece]]]:
    """What a row says beneath its heading, in lines."""
    places = range(1, len(row))
    for right, group in groupby(places, key=lambda i: grid.columns[i].align == "right"):
        there = [i for i in group if any(text for text, _ in row[i])]
        if not right:
            yield from ((names[i], row[i]) for i in there)
            continue
        texts = [" ".join(text for text, _ in row[i] if text) for i in there]
        joined = "   ".join([*texts[:1], *(f"{names[i]} {text}" for i, text in zip(there[1:], texts[1:], strict=True))])
        if there and cells(joined) <= width:
            yield names[there[0]], [(joined, row[there[0]][0][1])]
        else:
            yield from ((names[i], [(text, row[i][0][1])]) for i, text in zip(there, texts, strict=True))
