"""A run for TensorBoard: every number of metrics.parquet, and of the steps where they are asked for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from batchlab.runner.callbacks.callback import Row, Watched, flat, need, numbers

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Scalars by step, in the folder `tensorboard` of the run: `tensorboard --logdir runs` shows all runs.

    A run that goes on from a checkpoint is written anew, so that nothing stays of steps that were taken back.

    Args:
        flush_seconds: the longest that a row waits to be seen.
    """

    def __init__(self, flush_seconds: float = 10.0) -> None:
        need("tensorboard", "tensorboard")
        self.flush_seconds = flush_seconds
        self.writer: SummaryWriter | None = None

    def on_start(self, run: Watched) -> None:
        """Begin the run's files."""
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(str(folder), flush_secs=max(1, round(self.flush_seconds)))
        lines = (f"| {key} | {value} |" for key, value in flat(run.config).items())
        self.writer.add_text("config", "\n".join(["| key | value |", "| --- | --- |", *lines]))
        for row in run.rows:
            self.on_evaluate(row)

    def on_evaluate(self, row: Row) -> None:
        """One scalar for each column."""
        assert self.writer is not None
        for column, value in numbers(row).items():
            self.writer.add_scalar(column, value, int(row["steps"]))

    def on_end(self, state: str, reason: str | None) -> None:
        """Write what still waits."""
        if self.writer is not None:
            self.writer.add_text("state", f"{state}: {reason}" if reason else state)
            self.writer.close()
