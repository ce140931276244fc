"""A run of a finite-sum solver: the same folder, the same rows, the same resume as a run that trains a model.

The clock is passes over the data (component gradients / n): `train.epochs` is the budget, `epoch` the column. A row is
written at the end of each stage, and at most every `log.evaluate_every` passes; evaluation is not timed.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from batchlab.datasets import Dataset, load
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.finite_sum import Record, Solver
from batchlab.results.record import Recorder
from batchlab.results.store import now

from .build import arguments, locate
from .checkpoint import write
from .facts import facts
from .rank import Context, Meters
from .schema import ConfigError, RunConfig, axes_of, read_tree
from .train import Outcome

LOSSES = {"cross_entropy": "logistic", "mse": "squared", "squared_hinge": "squared_hinge"}
"""The component loss of a linear model, by `train.loss`."""


def check(config: RunConfig, dataset: Dataset) -> None:
    """Refuse what a solver cannot take part in.

    Raises:
        ConfigError: naming the override to change.
    """
    name = f"optimizer={config.optimizer['name']} solves linear models"
    if config.model["name"] not in ("logistic", "linear"):
        raise ConfigError(f"{name}: set model=logistic (or model=linear for regression)")
    if config.lr_schedule["name"] != "constant" or config.batch_schedule["name"] != "constant":
        raise ConfigError(f"{name} with a constant step and batch: lr_schedule=constant batch_schedule=constant")
    if config.nproc != 1:
        raise ConfigError(f"{name} in one process: set nproc=1")
    if dataset.is_image:
        raise ConfigError(f"{name} on tables: dataset={dataset.name} holds images")
    if config.train.loss not in LOSSES:
        raise ConfigError(f"train.loss={config.train.loss}: choose {', '.join(LOSSES)}")
    if (dataset.classes is None) != (config.train.loss == "mse"):
        wanted = "mse" if dataset.classes is None else "cross_entropy or squared_hinge"
        raise ConfigError(f"dataset={dataset.name} needs train.loss={wanted}")
    if dataset.classes is not None and dataset.classes != 2:
        raise ConfigError(f"{name} with two classes: dataset={dataset.name} has {dataset.classes}")


def make_solver(config: RunConfig, dataset: Dataset) -> Solver[Any, Any]:
    """The solver on its problem, at its starting point.

    Raises:
        ConfigError: what the solver or the problem refuses.
    """
    check(config, dataset)
    target: Any = locate(config.optimizer, "optimizer")
    try:
        solver: Solver[Any, Any] = target.from_data(
            dataset.x_train,
            dataset.y_train,
            loss=LOSSES[config.train.loss],
            batch_size=config.batch_schedule["size"],
            seed=config.seed,
            **arguments(config.optimizer),
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"optimizer={config.optimizer['name']}: {error}") from error
    return solver


class Journal:
    """Writes a row for each record, keeps the checkpoint, and hears when the run is told to stop."""

    def __init__(self, config: RunConfig, dataset: Dataset, solver: Solver[Any, Any], context: Context) -> None:
        self.config = config
        self.solver = solver
        self.context = context
        self.recorder = Recorder(context.run)
        self.dataset = dataset
        self.saved = time.monotonic()
        self.evaluating = 0.0

    def restore(self) -> None:
        """Go on from the checkpoint, or begin anew.

        Raises:
            ConfigError: when it is damaged.
        """
        path = self.context.run.checkpoint
        if not path.exists():
            self.recorder.truncate({})
            return
        try:
            state = torch.load(path, weights_only=True)
            self.solver.load_state_dict(state["solver"])
            self.recorder.truncate(state["rows"])
        except Exception as error:  # a truncated zip, a wrong type, a missing key: all mean one thing
            raise ConfigError(
                f"{path} is damaged ({type(error).__name__}): delete it to run this solver from its beginning"
            ) from error

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        write(self.context.run.checkpoint, {"solver": self.solver.state_dict(), "rows": self.recorder.counts()})
        self.saved = time.monotonic()

    def __call__(self, record: Record) -> bool:
        """A row; true when the run is to stop."""
        began = time.perf_counter()
        row: dict[str, Any] = {
            "samples": record.gradients,
            "steps": record.iterations,
            "epoch": record.passes,
            "gradients": record.gradients,
            "lr": self.solver.step_size,
            "batch_size": self.solver.batch_size,
            "objective": record.value,
            "train_loss": record.value - self.solver.problem.regularizer.value(self.solver.x),
            "nonzeros": int(np.count_nonzero(self.solver.x)),
            "restarts": record.restarts,
            "train_seconds": record.seconds,
        }
        if not math.isnan(record.gap):
            row["gap"] = record.gap
        row |= self._scores()
        self.evaluating += time.perf_counter() - began
        row["eval_seconds"] = self.evaluating
        self.recorder.write("metrics", row)
        self.context.run.write_progress(samples=record.passes, total=self.config.train.epochs)
        if time.monotonic() - self.saved > self.config.train.checkpoint_seconds:
            self.save()
        return self.context.stopping

    def _scores(self) -> dict[str, float]:
        """Mean loss on the test split and, for labels, accuracy; nothing for a data set without one."""
        if len(self.dataset.y_test) == 0:
            return {}
        loss, accuracy = self.solver.problem.evaluate(self.solver.x, self.dataset.x_test, self.dataset.y_test)
        return {"test_loss": loss} | ({} if math.isnan(accuracy) else {"test_accuracy": accuracy})


def solve(config: RunConfig, context: Context) -> Outcome:
    """Run the solver until its passes are spent, its value leaves the numbers, or it is told to stop."""
    dataset = load(config.dataset)
    solver = make_solver(config, dataset)
    journal = Journal(config, dataset, solver, context)
    journal.restore()
    result = solver.solve(passes=config.train.epochs, every=config.log.evaluate_every, callback=journal)
    run, progress = context.run, solver.progress
    meters = Meters.on(context.device)
    meters.gradients, meters.train_seconds = progress.gradients, progress.seconds
    meters.eval_seconds = journal.evaluating
    clock = Clock(progress.gradients, progress.iterations, dataset.n, round(config.train.epochs * dataset.n))
    run.write_state(**facts(clock, meters, context))
    if result.reason == "callback":
        journal.save()
        outcome = Outcome("interrupted")
    else:
        tree = read_tree(run.config)
        journal.recorder.seal(axes_of(tree) | {"run_id": run.run_id}, tree)
        diverged = result.reason == "diverged"
        outcome = Outcome("diverged", "the objective was not finite") if diverged else Outcome("done")
    run.write_state(state=outcome.state, reason=outcome.reason, ended=now())
    if outcome.state != "interrupted":
        run.checkpoint.unlink(missing_ok=True)
    return outcome

