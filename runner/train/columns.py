"""The columns of a run's rows: whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from batchlab.results.axes import COLUMNS
from batchlab.results.store.record import Stream
from batchlab.runner.plan.schema import ConfigError

OWN: dict[Stream, set[str]] = {
    "metrics": {
        *("samples", "steps", "epoch", "gradients", "lr", "batch_size"),
        *("train_loss", "train_seconds", "eval_seconds"),
    },
    "steps": {"samples", "steps", "epoch", "lr", "batch_size", "train_loss"},
    "layers": {"samples", "steps"},
}
"""What every row has, by its stream, beside `COLUMNS`: nobody else may give a column of such a name."""


def check_columns(
    stream: Stream, choice: str, giver: object, columns: Iterable[str], owners: Mapping[str, str] | None = None
) -> None:
    """See that the columns that a measure or a batch schedule adds to a row are its own.

    Args:
        stream: where the row goes.
        choice: as it was chosen, for the message: `measure=NAME`.
        giver: the object that was chosen.
        columns: what it gives.
        owners: measures by the columns that they have given to the same row.

    Raises:
        ConfigError: every row has one of them, or a measure of `owners`.
    """
    for column in columns:
        whose = "every row has" if column in OWN[stream] or column in COLUMNS else ""
        whose = whose or (f"measure={owners[column]} gives" if owners and column in owners else "")
        if whose:
            kind = type(giver).__name__
            raise ConfigError(f"{choice}: {kind} gives the column {column}, which {whose} already: rename it")
