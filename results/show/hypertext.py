"""A sheet as HTML: a figure with a table, and what it takes to read it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from batchlab.results.show.sheet import Column, Sheet, Text

LONG = 20
"""Letters of a header that is broken into lines."""
NOTES = 3
"""Notes that are shown at once, if there are some more."""


def to_html(sheet: Sheet, anchor: str = "") -> str:
    """A `<figure>` with a `<table>`; classes only, no style (`report` brings one).

    Args:
        sheet: What to render.
        anchor: Its rows are `ANCHOR-1` and so on for who links to them, and make cards on a phone: each cell says what
            it is, and a first cell spans the rows beneath that leave theirs blank. Empty: rows have no names.
    """
    escape = html.escape
    lines = [f"<figure class='sheet{' deck' if anchor else ''}'>", f"<figcaption>{escape(sheet.title)}</figcaption>"]
    if sheet.rows:
        role = ' role="table"' if anchor else ""  # whatever a style makes of a table, it is read out as one
        label = escape(sheet.title)  # what scrolls can be reached by keys, and then has to say what it is
        lines += [f'<div class="scroll" tabindex="0" role="group" aria-label="{label}"><table{role}>', "<thead>"]
        *groups, names = header_rows(sheet)
        for cells in groups:
            spans = [f"<th colspan={span} scope='colgroup'>{escape(text)}</th>" for text, span in cells]
            lines.append(f"<tr>{''.join(spans)}</tr>")
        heads: list[str] = []
        for (text, _), column in zip(names, sheet.columns, strict=True):
            classes = " ".join(filter(None, [column.align.replace("left", ""), "long" if len(text) > LONG else ""]))
            heads.append(f"<th{f' class={classes!r}' if classes else ''} scope='col'>{breakable(text)}</th>")
        lines.append(f"<tr>{''.join(heads)}</tr>")
        lines += ["</thead>", "<tbody>"]
        lines += _named(sheet, anchor) if anchor else [f"<tr>{_cells(row, sheet.columns)}</tr>" for row in sheet.rows]
        lines += ["</tbody>", "</table></div>"]
    else:
        lines.append(f"<p class='empty'>{escape(sheet.empty)}</p>")
    return "\n".join([*lines, *_notes(sheet.notes), "</figure>"]) + "\n"


def _named(sheet: Sheet, anchor: str) -> Iterator[str]:
    """The rows by their first cells, those that have the same in one body of the table; an end and a start too many."""
    starts = [i for i, row in enumerate(sheet.rows) if i == 0 or row[0].text or row[0].detail]
    for start, end in zip(starts, [*starts[1:], len(sheet.rows)], strict=True):
        if start:
            yield "</tbody><tbody role='rowgroup'>"
        for i, row in enumerate(sheet.rows[start:end], start):
            first = _td(row[0], sheet.columns[0], span=end - start, label=True) if i == start else ""
            yield f"<tr role='row' id='{anchor}-{i + 1}'>{first}{_cells(row[1:], sheet.columns[1:], label=True)}</tr>"


def _notes(notes: Sequence[str]) -> list[str]:
    """Those that say most, and the others where somebody asks for them."""
    most = len(notes) if len(notes) <= NOTES + 1 else NOTES
    seen, folded = (
        f"<ul class='notes'>{''.join(f'<li>{coded(note)}</li>' for note in part)}</ul>" if part else ""
        for part in (notes[:most], notes[most:])
    )
    if not folded:
        return [seen] if seen else []
    summary = f"how to read this: {len(notes) - most} more notes"
    return [seen, f"<details class='notes'><summary>{summary}</summary>{folded}</details>"]


def breakable(text: str) -> str:
    """A name, escaped, that may be broken into lines at its dots, underscores and colons, and in no number.

    >>> breakable("optimizer.lr"), breakable("a b."), breakable("effect [98.3 %]")
    ('optimizer.<wbr>lr', 'a b.', 'effect [98.3 %]')
    """
    return re.sub(r"(?<=[._:])(?=[^\W\d])|(?<=[_:])(?=\d)", "<wbr>", html.escape(text))


def coded(text: str) -> str:
    """A text, escaped, with what stands between backquotes as code.

    >>> coded("a < b: `batchlab status`")
    'a &lt; b: <code>batchlab status</code>'
    """
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", html.escape(text))


def _cells(row: Sequence[Text], columns: Sequence[Column], *, label: bool = False) -> str:
    return "".join(_td(text, column, label=label) for text, column in zip(row, columns, strict=True))


def _td(text: Text, column: Column, *, span: int = 1, label: bool = False) -> str:
    said = text.detail.split("\n")
    short = all(len(line) <= 46 for line in [*text.text.split("\n"), *said])
    brief = bool(text.detail) and all(len(line) <= 14 for line in said)
    known = [column.align.replace("left", ""), text.tone, "short" if short else "", "brief" if brief else ""]
    classes = " ".join(filter(None, known))
    own = f" rowspan='{span}'" if span > 1 else ""
    own += f' role="cell" data-label="{html.escape(column.header[-1])}"' if label else ""
    shown = html.escape(text.text).replace("\n", "<br>")
    shown = f"<strong>{shown}</strong>" if text.bold else shown
    detail = html.escape(text.detail).replace("\n", "<br>")
    detail = f"<small>{detail}</small>" if detail else ""
    return f"<td{f' class={classes!r}' if classes else ''}{own}>{shown}{detail}</td>"


def header_rows(sheet: Sheet) -> list[list[tuple[str, int]]]:
    """Header rows as (text, span): neighbours that share everything down to a level share its cell."""
    depth = max((len(column.header) for column in sheet.columns), default=0)
    padded = [("",) * (depth - len(column.header)) + column.header for column in sheet.columns]
    levels = []
    for level in range(depth):
        last = level == depth - 1
        keys = [(*header[: level + 1], i if last or not header[level] else -1) for i, header in enumerate(padded)]
        levels.append([(str(key[level]), len(list(group))) for key, group in groupby(keys)])
    return levels
