"""A sheet as a table of LaTeX that stays on its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from batchlab.results.show.hypertext import header_rows
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.wrap import wrapped

LINE = 345.0
"""How wide a page's text is, in points, in the class whose lines are shortest (article)."""
LETTER, SMALL = 5.4, 4.6
"""How wide a letter is at most on average, in points, and one of a detail."""
GAP = 12.0
"""Between two columns."""
HEAD = 18
"""Letters in a line of a column's title, where the table is wide."""
PROSE = 40
"""A text column whose cells are longer is set in lines, each a share of the page's."""
SHARE = 0.25
SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Of what is drawn no wider than the page: the package graphicx has it."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$",
    "∞": r"$\infty$", "−": r"$-$", "–": "--", "†": r"$\dagger$", "·": r"$\cdot$", "Δ": r"$\Delta$",
    "θ": r"$\theta$", "β": r"$\beta$", "γ": r"$\gamma$", "η": r"$\eta$", "→": r"$\to$", "\n": "; ",
    "\r": " ", "\0": r"\kern0pt", "‡": r"$\ddagger$", "`": r"\`{}", "√": r"$\surd$", "…": r"\ldots{}",
}  # fmt: skip
"""What letters are in LaTeX; the nought stands where two dashes would be joined to a long one, in LuaTeX too."""


def latex(sheet: Sheet) -> str:
    """A table for `booktabs`, UTF-8 letters as commands; a wide one has details beneath, and is shrunk."""
    stacked = _across(sheet, stacked=False) > LINE
    shrunk = stacked and _across(sheet, stacked=True) > LINE
    prose = [stacked and _is_prose(sheet, i) for i in range(len(sheet.columns))]
    aligns = "".join(_align(column, long) for column, long in zip(sheet.columns, prose, strict=True))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(sheet.title)}}}"]
    lines += [SHRUNK] if shrunk else []
    lines += [rf"\begin{{tabular}}{{{aligns}}}", r"\toprule", *_head(sheet, HEAD if stacked else 1000), r"\midrule"]
    for row in sheet.rows:
        if not stacked:
            lines.append(_line([_cell(text, long) for text, long in zip(row, prose, strict=True)]))
            continue
        for i, texts in enumerate(zip_longest(*map(_layers, row), fillvalue=Text(""))):
            own = [_cell(text, long, small=i > 0) for text, long in zip(texts, prose, strict=True)]
            lines.append(_line(own))
    if not sheet.rows:
        lines.append(rf"\multicolumn{{{max(1, len(sheet.columns))}}}{{l}}{{{_escaped(sheet.empty)}}} \\")
    lines += [r"\bottomrule", r"\end{tabular}" + ("}" if shrunk else "")]
    lines += [rf"\par\raggedright\footnotesize {_escaped(note)}" for note in sheet.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _across(sheet: Sheet, *, stacked: bool) -> float:
    """About how wide a table is, in points, and rather more."""
    widths = []
    for i, column in enumerate(sheet.columns):
        head = wrapped(column.header[-1], HEAD if stacked else 1000) if column.header else []
        widths.append(LETTER * max(map(len, head), default=0))
        if stacked and _is_prose(sheet, i):
            widths[-1] = max(widths[-1], SHARE * LINE)
            continue
        for row in sheet.rows:
            details = row[i].detail.split("\n") if stacked else [row[i].detail]
            small = SMALL * max(map(len, details))
            said = LETTER * len(row[i].text)
            widths[-1] = max(widths[-1], max(said, small) if stacked else said + small)
    return sum(widths) + GAP * len(widths)


def _is_prose(sheet: Sheet, i: int) -> bool:
    return sheet.columns[i].align == "left" and any(len(row[i].text) > PROSE for row in sheet.rows)


def _align(column: Column, prose: bool) -> str:
    return rf"p{{{SHARE}\linewidth}}" if prose else column.align[0]


def _layers(cell: Text) -> list[Text]:
    return [Text(cell.text, cell.bold), *map(Text, cell.detail.split("\n") if cell.detail else ())]


def _cell(text: Text, prose: bool, *, small: bool = False) -> str:
    shown = rf"\textbf{{{_escaped(text.text)}}}" if text.bold and text.text else _escaped(text.text)
    if small and text.text:
        shown = rf"{{\footnotesize {shown}}}"
    if text.detail:
        shown = rf"{shown} {{\footnotesize {_escaped(text.detail)}}}"
    return rf"{{\raggedright {shown}\par}}" if prose and shown else shown


def _head(sheet: Sheet, width: int) -> list[str]:
    """The lines above the rows; a title of a column is in lines of so many letters."""
    lines = []
    *outer, titles = header_rows(sheet) or [[]]
    broken = [wrapped(text, width) for text, _ in titles]
    depth = max(map(len, broken), default=0)
    layers = zip(*([""] * (depth - len(own)) + own for own in broken), strict=True)
    for cells in [*outer, *([(text, 1) for text in layer] for layer in layers)]:
        spans = [
            _escaped(text) if span == 1 else rf"\multicolumn{{{span}}}{{c}}{{{_escaped(text)}}}" for text, span in cells
        ]
        lines.append(_line(spans))
        rules, start = [], 1
        for text, span in cells:
            if span > 1 and text:
                rules.append(rf"\cmidrule(lr){{{start}-{start + span - 1}}}")
            start += span
        if rules:
            lines.append(" ".join(rules))
    return lines


def _line(cells: Sequence[str]) -> str:
    r"""A row of a LaTeX table. After `\\` and a rule `[` would begin a length, and `*` would be the star."""
    line = " & ".join(cells)
    return f"{'{}' if line.lstrip().startswith(('[', '*')) else ''}{line} \\\\"


def _escaped(text: str) -> str:
    text = re.sub("-(?=-)", "-\0", text)
    return "".join(_LATEX.get(letter, letter) for letter in text)
