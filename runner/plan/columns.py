"""The columns of a run's rows: whose they are, what they may be called, and what may stand in them."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from batchlab.results.axes import COLUMN, COLUMNS
from batchlab.results.store.run import Stream
from batchlab.runner.measures import Measure
from batchlab.runner.plan.schema import ConfigError

OWN: dict[Stream, set[str]] = {
    "metrics": {
        *("samples", "steps", "epoch", "gradients", "lr", "batch_size"),
        *("train_loss", "train_seconds", "eval_seconds"),
    },
    "steps": {"samples", "steps", "epoch", "lr", "batch_size", "train_loss"},
    "layers": {"samples", "steps"},
    "examples": {"samples", "steps"},
}
"""What every row has, by its stream, beside `COLUMNS`: nobody else may give a column of such a name."""


def check_columns(
    stream: Stream, choice: str, giver: object, columns: Iterable[object], owners: Mapping[str, str] | None = None
) -> None:
    """See that the columns that a measure or a batch schedule adds to a row are its own, and can be asked for.

    Args:
        stream: where the row goes.
        choice: as it was chosen, for the message: `measure=NAME`.
        giver: the object that was chosen.
        columns: what it gives.
        owners: measures by the columns that they have given to the same row.

    Raises:
        ConfigError: every row has one of them, or a measure of `owners`, or it is not a name.
    """
    kind = type(giver).__name__
    for column in columns:
        if not isinstance(column, str) or not re.fullmatch(COLUMN, column):
            raise ConfigError(
                f"{choice}: {kind} gives the column {column!r}, which no metric can name: use letters, digits and _, a "
                "letter or _ first"
            )
        whose = "every row has" if column in OWN[stream] or column in COLUMNS else ""
        whose = whose or (f"measure={owners[column]} gives" if owners and column in owners else "")
        if whose:
            raise ConfigError(f"{choice}: {kind} gives the column {column}, which {whose} already: rename it")


def plain_row(choice: str, measure: Measure, row: object) -> dict[str, Any]:
    """A measure's row in Python's own numbers, which rows are written in.

    Args:
        choice: as it was chosen, for the message: `measure=NAME`.
        measure: what gave the row.
        row: column -> number, boolean, None or what has one such as its `item()` (tensors and NumPy's numbers); in
            a stream of its own a text too, which names a layer or packs bits.

    Raises:
        ConfigError: it is no mapping, or something else stands in a column.
    """
    kind, apart = type(measure).__name__, measure.stream != "metrics"
    if not isinstance(row, Mapping):
        wanted = "rows" if apart else "a row"
        raise ConfigError(f"{choice}: {kind} gives {_shown(row)}: return {wanted}, each a mapping of column to number")
    return {column: _plain(f"{choice}: {kind}", column, value, apart) for column, value in row.items()}


def _plain(who: str, column: object, value: object, texts: bool) -> float | str | None:
    """A value as a row can hold it."""
    allowed = (int, float, str) if texts else (int, float)  # a bool is an int
    found, cause = value, None
    if not (value is None or isinstance(value, allowed)) and callable(item := getattr(value, "item", None)):
        try:
            found = item()
        except Exception as error:  # of two elements at least, in whatever words its library has for that
            cause = error
    if found is None or isinstance(found, allowed):
        return found
    text = " or text" if texts else ""
    raise ConfigError(
        f"{who} gives {_shown(value)} in the column {column!r}: give one number{text}, or None"
    ) from cause


def _shown(value: object) -> str:
    """Its beginning and its end, in one line."""
    return " ".join(reprlib.repr(value).split())
