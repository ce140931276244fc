"""What each cell of a still picture says, for a page where it answers a pointer and keys: heat maps, rows of dots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Value = float | str | None
"""A number as shown, words, or nothing."""


@dataclass(frozen=True)
class Cells:
    """The cells of one panel.

    Attributes:
        title: Over it.
        row: What a row is.
        rows: Their names, from above.
        column: What a column is.
        columns: Their names, from the left.
        x: Where columns begin and the last one ends, as the panel's axis counts.
        y: The same of rows.
        fields: What is known of a cell.
        values: Of each field, row and column.
    """

    title: str
    row: str
    rows: Sequence[str]
    column: str
    columns: Sequence[str]
    x: Sequence[float]
    y: Sequence[float]
    fields: Sequence[str]
    values: Sequence[Sequence[Sequence[Value]]]
