"""The reference page of metrics, clocks and columns, as Markdown."""

from __future__ import annotations

import re

from batchlab.results.compare.metrics import CLOCK_LABELS, CLOCKS
from batchlab.results.compare.quantities import QUANTITIES, Quantity
from batchlab.runner.reference.choices import choices, resolved
from batchlab.runner.reference.pages import MARK, cell, table

REDUCTIONS = {
    "NAME": "the last row",
    "min:NAME": "the least over the run",
    "max:NAME": "the greatest over the run",
    "mean:NAME": "the mean over all rows",
}
BETTER = {"up": "more", "down": "less", None: ""}


def page() -> str:
    """The page."""
    columns = [
        (f"`{_words(pattern)}`", BETTER[q.better], q.label, _unit(q), "yes" if q.log else "")
        for pattern, q in QUANTITIES
    ]
    clocks = [
        (f"`{name}`", f"`{name}_to:NAME>=NUMBER`", CLOCK_LABELS[name], f"`{column}`") for name, column in CLOCKS.items()
    ]
    return "\n".join(
        [
            "# Metrics and clocks\n",
            MARK,
            "`--metric M` takes one number from each run: of a column that a [measure](measures.md) records, or that "
            "every run has.\n",
            table(("metric", "which number"), [(f"`{name}`", said) for name, said in REDUCTIONS.items()]),
            "## How much until a target\n",
            "The row that first meets the target counts; a run that never does is counted as such. `<=` for what is "
            "better down; shares are 0.9 for 90 %.\n",
            table(("clock", "metric", "in words", "column"), clocks),
            "## Up to a budget\n",
            "Any metric with `@CLOCK<=NUMBER` at its end: `min:train_loss@steps<=1000`. Between two rows it is "
            "interpolated, on a logarithmic scale where the quantity has one.\n",
            "## Columns that are known\n",
            "What tables and plots know of a column: whether more or less is better, its words, unit and scale. A "
            "measure declares it for its own columns; else the first line here whose pattern is the column's name.\n",
            table(
                ("column", "better", "in words", "shown in", "logarithmic"), [tuple(map(_cell, row)) for row in columns]
            ),
            "## What measures declare\n",
            table(("measure", "when", "file", "columns"), _measures()),
        ]
    )


def _measures() -> list[tuple[str, str, str, str]]:
    rows = []
    for choice in choices("measure"):
        made = resolved(choice.target)
        named = ", ".join(f"`{name}`" for name in dict.fromkeys([*made.quantities, *made.columns]))
        rows.append((f"[`{choice.name}`](measures.md#{choice.name})", made.when, f"{made.stream}.parquet", named))
    return rows


def _words(pattern: str) -> str:
    r"""A pattern as people write one.

    >>> _words(r".*(auc|f1).*"), _words(r"samples|epochs?"), _words(r"q\d\d")
    ('...auc..., ...f1...', 'samples, epoch, epochs', 'q05 to q95')
    """
    if pattern == r"q\d\d":
        return "q05 to q95"
    match = re.fullmatch(r"(.*?)\((.*)\)(.*)", pattern)
    parts = [f"{match[1]}{one}{match[3]}" for one in match[2].split("|")] if match else pattern.split("|")
    plain = [
        form for one in parts for form in ([one.replace("s?", ""), one.replace("s?", "s")] if "s?" in one else [one])
    ]
    return ", ".join(one.replace(".*", "...") for one in plain)


def _unit(known: Quantity) -> str:
    return f"{known.unit}, times {known.scale:g}" if known.scale != 1 else known.unit


def _cell(text: str) -> str:
    return text if text.startswith("`") else cell(text)
