"""`Callback`: what is called while a run trains, and changes no number of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from batchlab.results.words import listing

Row: TypeAlias = Mapping[str, Any]
METHODS = ("on_start", "on_step", "on_evaluate", "on_end")


@dataclass(frozen=True)
class Watched:
    """A run, as its callbacks know it.

    Attributes:
        run_id: its identity.
        folder: its folder; what a callback writes there goes with it.
        config: the whole configuration, as `batchlab show` prints it.
        rows: of metrics.parquet that were written before: none where a run begins, those up to the checkpoint where one
            goes on. What was told of later ones, before the run was killed, did not happen.
        model: that trains; None where there is none (finite-sum solvers, `batchlab runs export`).
    """

    run_id: str
    folder: Path
    config: Mapping[str, Any]
    rows: Sequence[Row]
    model: nn.Module | None


class Callback:
    """Watches a run. Its constructor takes the keys of its YAML file, and opens nothing: on_start does.

    Any class with some of these methods is one, this need not be its base. They are called on rank 0 only, while
    training time stands still. What they do to the model's gradients, modes and buffers, and to random states, is put
    back, as it is for a `Measure`; one that changes a parameter is refused. So a callback is no part of a run's
    identity. What it raises ends the run as failed.

    Example:
        >>> class Best(Callback):
        ...     def on_start(self, run):
        ...         self.best = max((row["test_accuracy"] for row in run.rows), default=0.0)
        ...     def on_evaluate(self, row):
        ...         self.best = max(self.best, row["test_accuracy"])
        ...     def on_end(self, state, reason):
        ...         print(f"{state}, {self.best:.2f} at best")
    """

    def on_start(self, run: Watched) -> None:
        """The run begins, or goes on from a checkpoint.

        Args:
            run: which.
        """

    def on_step(self, row: Row) -> None:
        """A step was taken. Not called for finite-sum solvers.

        Args:
            row: of steps.parquet: samples, steps, epoch, lr, batch_size, train_loss, and what a batch schedule adds.
                Its loss is read off the device at every step for who has this method.
        """

    def on_evaluate(self, row: Row) -> None:
        """The run was evaluated.

        Args:
            row: of metrics.parquet.
        """

    def on_end(self, state: str, reason: str | None) -> None:
        """The process stops to train this run; called once, after what ended it.

        Args:
            state: done, diverged, interrupted (it goes on later, in another process) or failed.
            reason: one line, where there is something to say.
        """


def check_methods(callback: object) -> None:
    """See that a callback has something to call, and nothing that is never called.

    Raises:
        ValueError: otherwise; the message says what there is.
    """
    own = [name for name in dir(callback) if name.startswith("on_") and callable(getattr(callback, name))]
    unknown = [name for name in own if name not in METHODS]
    if unknown or not own:
        said = f"{unknown[0]} is never called" if unknown else "it has no method to call"
        raise ValueError(f"{said}: a callback has {listing(METHODS)}, or some of them")


def need(package: str, extra: str) -> None:
    """See that an optional package is installed, without importing it.

    Args:
        package: as it is imported.
        extra: of batchlab's that brings it.

    Raises:
        ValueError: It is not; the message says how to get it.
    """
    if find_spec(package) is None:
        raise ValueError(f"the package {package} is not installed: pip install 'batchlab[{extra}]'")


def numbers(row: Row) -> dict[str, float]:
    """The columns of a row that are numbers; a truth value is 0 or 1, what was not measured is left out."""
    return {key: float(value) for key, value in row.items() if isinstance(value, (int, float))}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration by its dotted keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        found |= flat(value, path) if isinstance(value, Mapping) and value else {path: value}
    return found
