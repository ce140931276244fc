"""The columns of a run's rows: whose they are, and what they may be called."""

from __future__ import annotations

import re
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

NAME = re.compile(r"[A-Za-z_]\w*")
"""What a metric can name (`batchlab.results.compare.metrics`): `--metric "a b"` would never find its column, and
`optimizer.lr` would be taken for the run's key of that name."""


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
        if not isinstance(column, str) or not NAME.fullmatch(column):
            raise ConfigError(
                f"{choice}: {kind} gives the column {column!r}, which no metric can name: use letters, digits and _, a "
                "letter or _ first"
            )
        whose = "every row has" if column in OWN[stream] or column in COLUMNS else ""
        whose = whose or (f"measure={owners[column]} gives" if owners and column in owners else "")
        if whose:
            raise ConfigError(f"{choice}: {kind} gives the column {column}, which {whose} already: rename it")
