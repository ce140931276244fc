"""The papers' published numbers, as data: `published/PAPER.csv`, each row with its place and how sure it is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchlab.results.papers.beside import Ours
from batchlab.results.show.sheet import Column, Sheet, Text

FOLDER = Path(__file__).parents[1] / "published"
CERTAINTIES = ("read", "digitised", "reconstructed", "checked")
"""read in the paper or its authors' code; digitised off a figure; reconstructed; checked by our calculation."""


@dataclass(frozen=True, slots=True)
class Published:
    """One published number.

    Attributes:
        paper: Which paper, as its number on arXiv or its authors.
        table_or_figure: Where in it; `unknown` where the number is sure but its place is not, `reference` for our own
            calculation.
        certainty: How sure it is, of `CERTAINTIES`.
        dataset: What it was measured on; may be empty, as may model, unit and note.
        model: The network.
        method: The optimizer or schedule.
        setting: What else sets it apart: a batch size, a regulariser.
        metric: In the grammar of `metrics` where it is one of ours.
        value: The number, in `unit`.
        unit: `%`, or none.
        note: What to know before comparing it.
    """

    paper: str
    table_or_figure: str
    certainty: str
    dataset: str
    model: str
    method: str
    setting: str
    metric: str
    value: float
    unit: str
    note: str


TEXTS = tuple(name for name in Published.__slots__ if name != "value")


def published_papers() -> list[str]:
    """Names of the papers that have published numbers here."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def published(paper: str) -> list[Published]:
    """The published numbers of a paper, in the order of its file.

    Raises:
        ValueError: For a paper without any, with those that have some.
    """
    path = FOLDER / f"{paper}.csv"
    if paper not in published_papers():
        raise ValueError(f"no published numbers of {paper}; there is {', '.join(published_papers())}")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Published(**{name: row[name] for name in TEXTS}, value=float(row["value"])) for row in rows]


def published_sheet(
    title: str,
    numbers: Iterable[Published],
    notes: Iterable[str] = (),
    ours: Callable[[Published], Ours | None] = lambda number: None,
) -> Sheet:
    """Published numbers as they were printed: one line per method and setting, one column per metric.

    Data set and model have columns where there are several of them.

    Args:
        title: Over the table.
        numbers: In the order of their lines.
        notes: Beneath it, before those of the numbers themselves.
        ours: What we measured of the same thing, beneath each number; None where we did not.
    """
    chosen = list(numbers)
    metrics = list(dict.fromkeys(number.metric for number in chosen))
    several = [name for name in ("dataset", "model") if len({getattr(number, name) for number in chosen}) > 1]
    said = [*several, "method", "setting", "paper", "table_or_figure", "certainty"]
    lines: dict[tuple[str, ...], dict[str, Published]] = {}
    for number in chosen:
        place = tuple(getattr(number, name) for name in said)
        lines.setdefault(place, {})[number.metric] = number
    columns = [Column((name.replace("dataset", "data set"),)) for name in said[:-3]]
    columns += [Column((metric,), "right") for metric in metrics]
    columns += [Column(("from",)), Column(("how sure",))]
    rows = []
    for (*what, paper, where, certainty), found in lines.items():
        cells = [_shown(found.get(metric), ours) for metric in metrics]
        source = paper if where == "unknown" else f"{paper}, {where}"
        rows.append([*map(Text, what), *cells, Text(source, tone="dim"), Text(certainty, tone="dim")])
    records = [record(number, ours(number)) for number in chosen]
    remarks = list(dict.fromkeys(number.note for number in chosen if number.note))
    return Sheet(title, columns, rows, [*notes, *remarks], records, "no published numbers")


def record(number: Published, ours: Ours | None = None) -> dict[str, Any]:
    """A published number for machines, with ours beside it where there is one."""
    found = {name: getattr(number, name) for name in Published.__slots__}
    return found | (ours.record(number.value) if ours else {})


def _shown(number: Published | None, ours: Callable[[Published], Ours | None]) -> Text:
    if number is None:
        return Text("")
    found = ours(number)
    text = f"{number.value:,.10g}{' %' if number.unit == '%' else ''}"
    return Text(text, detail=found.beside(number.value) if found else "")
