"""One sheet in five formats: rich (terminal), Markdown, LaTeX, CSV and HTML, each with its own escapes."""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchlab.results.show.hypertext import to_html
from batchlab.results.show.layout import laid_out
from batchlab.results.show.piped import piped
from batchlab.results.show.sheet import Format, Sheet, Text
from batchlab.results.show.tex import latex
from batchlab.results.show.wrap import asked_width
from batchlab.results.words import visible, written

if TYPE_CHECKING:
    from rich.console import Console

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula begins in a spreadsheet, in letters of full width too."""
FORMATS = tuple(map(str, Format))
TOGETHER = 500
"""Lines that rich prints at a time: it takes as long for one."""


def render(sheet: Sheet, format: str = "rich", *, color: bool = False, width: int | None = None) -> str:
    """A sheet as text.

    Args:
        sheet: What to render.
        format: One of `FORMATS`.
        color: Whether to use a terminal's colours; of rich only.
        width: In characters, of rich only; without one tables stay whole.

    Raises:
        ValueError: For another format.
    """
    if format == "rich" and (color or width):
        from batchlab.results.show.terminal import Terminal

        file = io.StringIO()
        console = Terminal(file=file, force_terminal=color, no_color=not color, width=width or 10_000)
        print_rich(sheet, console)
        return file.getvalue()
    if format not in _RENDERERS:
        raise ValueError(f"no format {format}: choose {', '.join(FORMATS)}")
    return _RENDERERS[format](_visible(sheet))


def _visible(sheet: Sheet) -> Sheet:
    """A sheet in whose texts no control character is left."""

    def value(found: Any) -> Any:
        return visible(found) if isinstance(found, str) else found

    def seen(cell: Text) -> Text:
        if cell.text.isprintable() and cell.detail.isprintable():
            return cell
        return replace(cell, text=visible(cell.text), detail=visible(cell.detail))

    return replace(
        sheet,
        title=visible(sheet.title),
        columns=[replace(column, header=tuple(map(visible, column.header))) for column in sheet.columns],
        rows=[[seen(cell) for cell in row] for row in sheet.rows],
        notes=[visible(note) for note in sheet.notes],
        records=[{value(key): value(found) for key, found in record.items()} for record in sheet.records],
        empty=visible(sheet.empty),
    )


def print_sheets(sheets: Iterable[Sheet], format: str = "rich", *, wide: bool = False) -> None:
    """Print sheets to the standard output.

    Args:
        sheets: In reading order.
        format: One of `FORMATS`; rich uses the terminal's colours and width, where there is one.
        wide: Whether tables and notes of rich are printed without regard to a width.

    Raises:
        ValueError: For another format.
    """
    from batchlab.results.show.terminal import Terminal

    for i, sheet in enumerate(sheets):
        if format == "rich" and ((console := Terminal()).is_terminal or asked_width()):
            print_rich(sheet, console, wide=wide)
        elif format == "rich":
            print(piped(_visible(sheet), wide=wide), end="")
        else:
            print(("\n" if i else "") + render(sheet, format), end="")
            if format == "csv" and not sheet.records:  # machines get nothing, people the reason
                print(visible(sheet.empty), file=sys.stderr)


def print_rich(sheet: Sheet, console: Console, *, wide: bool = False) -> None:
    """Print a sheet to a rich console, in its width."""
    from rich.text import Text as RichText

    lines = laid_out(_visible(sheet), console.width, stars=not console.is_terminal, wide=wide)
    for start in range(0, len(lines), TOGETHER):
        some = RichText("\n").join(RichText.assemble(*line) for line in lines[start : start + TOGETHER])
        console.print(some, no_wrap=True, soft_wrap=True)


def markdown(sheet: Sheet) -> str:
    """GitHub's tables, columns aligned in the source too."""

    def cell(text: Text) -> str:
        shown = f"**{in_markdown(text.text)}**" if text.bold and text.text else in_markdown(text.text)
        return f"{shown} {in_markdown(text.detail)}" if text.detail else shown

    lines = [f"**{in_markdown(sheet.title)}**", ""]
    if sheet.rows:
        header = [in_markdown(" · ".join(filter(None, column.header))) for column in sheet.columns]
        body = [[cell(text) for text in row] for row in sheet.rows]
        widths = [max(3, *(len(row[i]) for row in [header, *body])) for i in range(len(header))]
        right = [column.align == "right" for column in sheet.columns]

        def line(cells: Sequence[str]) -> str:
            padded = [
                text.rjust(width) if flush else text.ljust(width)
                for text, width, flush in zip(cells, widths, right, strict=True)
            ]
            return f"| {' | '.join(padded)} |"

        rule = [f"{'-' * (width - 1)}:" if flush else "-" * width for width, flush in zip(widths, right, strict=True)]
        lines += [line(header), f"| {' | '.join(rule)} |", *map(line, body)]
    else:
        lines.append(in_markdown(sheet.empty))
    if sheet.notes:
        lines += ["", *(f"- {in_markdown(note)}" for note in sheet.notes)]
    return "\n".join(lines) + "\n"


def to_csv(sheet: Sheet) -> str:
    """The sheet's records: tidy, unrounded, one line per cell; an empty field where there is no number."""
    file = io.StringIO()
    names = list(dict.fromkeys(name for record in sheet.records for name in record))
    if not names:
        return ""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_no_formula(str(name)) for name in names])
    writer.writerows([_plain(record.get(name)) for name in names] for record in sheet.records)
    return file.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if isinstance(value, bool):
        return written(value)
    return _no_formula(value) if isinstance(value, str) else "" if value is None else value


def _no_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula, and runs; a number stays one."""
    if not text.lstrip().startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def in_markdown(text: str) -> str:
    """A text as Markdown shows it, letter by letter."""
    text = re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", text)  # & begins entities, $ on GitHub formulas
    text = re.sub(r"(:(?=//)|(?<=www)\.)", r"\\\1", text, flags=re.IGNORECASE)  # what looks like an address is linked
    text = re.sub(r"@(?=[\w\\-]+\.)", "@<!-- -->", text)  # and one of mail however it is escaped
    return re.sub(r"\r\n?|\n", "<br>", text)


_RENDERERS: dict[str, Callable[[Sheet], str]] = {
    "rich": piped,
    "markdown": markdown,
    "latex": latex,
    "csv": to_csv,
    "html": to_html,
}
