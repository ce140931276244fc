"""A run for MLflow: parameters, metrics by step, and how it ended."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from batchlab.runner.callbacks.callback import Row, Watched, flat, need, numbers

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAG = "batchlab.run_id"
ENDS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "interrupted": "KILLED"}
"""What MLflow calls a state of ours."""
LONGEST = 6000
"""Characters of a value that every version of MLflow takes."""


class MLflow:
    """One MLflow run for each run, tagged with its id; a run that goes on, or is trained again, takes its place.

    Args:
        experiment: of MLflow's, made where there is none.
        tracking_uri: where MLflow keeps it; None: as MLFLOW_TRACKING_URI says, or else the file mlflow.db beside the
            runs (`mlflow ui --backend-store-uri sqlite:///runs/mlflow.db` shows it).
    """

    def __init__(self, experiment: str = "batchlab", tracking_uri: str | None = None) -> None:
        for package in ("mlflow", *(() if tracking_uri else ("sqlalchemy",))):
            need(package, "mlflow")
        self.experiment = experiment
        self.tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self.client: MlflowClient | None = None
        self.run_id = ""

    def on_start(self, run: Watched) -> None:
        """Begin MLflow's run with the parameters, and with the rows that there are."""
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        runs = run.folder.parent
        with FileLock(runs / ".mlflow.lock"):  # its tables, and the experiment, are made once
            self.client = MlflowClient(self.tracking_uri or f"sqlite:///{(runs / 'mlflow.db').absolute()}")
            found = self.client.get_experiment_by_name(self.experiment)
            experiment = found.experiment_id if found else self.client.create_experiment(self.experiment)
        for earlier in self.client.search_runs([experiment], f"tags.`{TAG}` = '{run.run_id}'"):
            self.client.delete_run(earlier.info.run_id)
        axes = {key: str(node["name"]) for key, node in run.config.items() if isinstance(node, dict) and "name" in node}
        self.run_id = self.client.create_run(experiment, tags={TAG: run.run_id} | axes, run_name=run.run_id).info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in flat(run.config).items()]
        for at in range(0, len(params), 100):
            self.client.log_batch(self.run_id, params=params[at : at + 100])
        for row in run.rows:
            self.on_evaluate(row)

    def on_evaluate(self, row: Row) -> None:
        """One metric for each column."""
        from mlflow.entities import Metric

        assert self.client is not None
        now, step = round(time.time() * 1000), int(row["steps"])
        metrics: list[Any] = [Metric(column, value, now, step) for column, value in numbers(row).items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def on_end(self, state: str, reason: str | None) -> None:
        """Say how it ended."""
        if self.client is not None and self.run_id:
            self.client.set_tag(self.run_id, "batchlab.state", f"{state}: {reason}" if reason else state)
            self.client.set_terminated(self.run_id, ENDS[state])
