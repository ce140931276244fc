"""A run for Weights & Biases, written offline: `wandb sync` brings it to a server, if ever."""

from __future__ import annotations

import shutil
from typing import Any

from batchlab.runner.callbacks.callback import Row, Watched, need, numbers


class WandB:
    """Metrics by step, in the folder `wandb` of the run. Nothing goes to a network.

    A run that goes on from a checkpoint is written anew, so that nothing stays of steps that were taken back.

    Args:
        project: of Weights & Biases'.
    """

    def __init__(self, project: str = "batchlab") -> None:
        need("wandb", "wandb")
        self.project = project
        self.run: Any = None

    def on_start(self, run: Watched) -> None:
        """Begin the run's files."""
        import wandb

        shutil.rmtree(run.folder / "wandb", ignore_errors=True)
        settings = wandb.Settings(silent=True, console="off", x_disable_meta=True, x_disable_stats=True)
        self.run = wandb.init(
            mode="offline",
            dir=str(run.folder),
            project=self.project,
            id=run.run_id,
            name=run.run_id,
            config=dict(run.config),
            settings=settings,
        )
        for row in run.rows:
            self.on_evaluate(row)

    def on_evaluate(self, row: Row) -> None:
        """One value for each column."""
        self.run.log(numbers(row), step=int(row["steps"]))

    def on_end(self, state: str, reason: str | None) -> None:
        """Write what still waits."""
        if self.run is not None:
            import wandb

            self.run.summary["batchlab.state"] = f"{state}: {reason}" if reason else state
            self.run.finish(exit_code=int(state not in ("done", "diverged")))
            wandb.teardown()  # the process that writes for this one ends, and all that it was given is on disk
