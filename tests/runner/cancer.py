"""A small finite-sum problem, and its solvers in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import context, frozen, solve

from batchlab.optimizers.finite_sum import (
    ElasticNet,
    LinearProblem,
    Record,
)
from batchlab.results.store.run import Run
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train import solve as solving

CANCER = ("dataset=breast_cancer", "model=logistic", "batch_schedule.size=21", "train.epochs=30")


def cancer(**net: float) -> LinearProblem:
    """The problem of CANCER."""
    (planned,) = compose([*CANCER, "optimizer=dasvrda"])
    data = load_dataset(planned.tree["dataset"])
    return LinearProblem(data.x_train, data.y_train, "logistic", ElasticNet(**({"l1": 1e-4, "l2": 1e-6} | net)))


def start(root: Path, *overrides: str) -> tuple[Run, RunConfig]:
    """A run of CANCER, frozen."""
    keys = {text.split("=", 1)[0] for text in overrides}
    return frozen(root, *(text for text in CANCER if text.split("=", 1)[0] not in keys), *overrides)


def work(run: Run, config: RunConfig, stop_after: int | None = None) -> str:
    """Solve in this process; told to stop after so many rows."""
    here = context(run)
    write, written = solving.Journal.__call__, 0

    def counted(self: solving.Journal, record: Record) -> bool:
        nonlocal written
        written += 1
        if written == stop_after:
            here.stop()
        return write(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving.Journal, "__call__", counted)
        return solve(config, here).state
