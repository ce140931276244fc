"""A run of a finite-sum solver: the same folder, the same rows, the same resume as a run that trains a model.

The clock is passes over the data (component gradients / n): `train.epochs` is the budget, `epoch` the column. A row is
written at the end of each stage, and at most every `log.evaluate_every` passes; evaluation is not timed.
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from batchlab.datasets import Dataset, load
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.finite_sum import Record, Solver
from batchlab.results.store.record import Recorder
from batchlab.results.store.runs import now
from batchlab.runner.plan.build import arguments, locate
from batchlab.runner.plan.schema import ConfigError, RunConfig, axes_of, read_tree
from batchlab.runner.train.checkpoint import write
from batchlab.runner.train.facts import facts
from batchlab.runner.train.loop import Outcome
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.tuned import ROUNDING, TUNED, choose

LOSSES = {"cross_entropy": "logistic", "mse": "squared", "squared_hinge": "squared_hinge"}
"""The component loss of a linear model, by `train.loss`."""
USED = {"train": ("epochs", "samples", "loss", "device", "checkpoint_seconds"), "log": ("evaluate_every",)}
"""Keys that mean something to a solver."""
MODEL = {"bias": False, "zero_init": True}
"""What a solver's model is, whatever `model` says."""
TELL_SECONDS = 0.2
"""Between two words on the progress: a stage may take less than writing one does."""


class Told(Exception):
    """The run was told to stop before it began."""


def check(config: RunConfig) -> None:
    """Refuse the settings that no solver can have, or not this one, and warn of what it does not look at.

    No data is needed for that: the solver is made on two samples.

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
    if config.train.loss not in LOSSES:
        raise ConfigError(f"train.loss={config.train.loss}: choose {', '.join(LOSSES)}")
    step, size = config.optimizer.get("step_size"), config.batch_schedule["size"]
    if isinstance(step, str) and step != TUNED:
        raise ConfigError(f"optimizer.step_size={step}: a positive number, null (the theory's) or {TUNED}")
    if size < 1:
        raise ConfigError(f"batch_schedule.size={size} must be at least 1")
    net = _make(config, np.ones((2, 1)), np.array([0.0, 1.0]), batch_size=min(size, 2)).problem.regularizer
    if step == TUNED and net.l1 == net.l2 == 0.0:
        raise ConfigError(
            f"optimizer.step_size={TUNED} needs P*, which nothing certifies without a regulariser: set optimizer.l1 "
            "or optimizer.l2, or give optimizer.step_size a number"
        )
    for block, used in USED.items():
        options = getattr(config, block)
        for field in dataclasses.fields(options):
            value = getattr(options, field.name)
            if field.name not in used and value != field.default:
                warnings.warn(f"{block}.{field.name}={value} has no effect: {name}", stacklevel=2)
    if config.train.device == "cuda":
        warnings.warn(
            f"train.device=cuda has no effect: optimizer={config.optimizer['name']} computes on the host", stacklevel=2
        )


def check_model(config: RunConfig, keys: Sequence[str]) -> None:
    """Warn of the model's keys among those that were asked for, where the solver does otherwise."""
    for key, value in config.model.items():
        if f"model.{key}" in keys and value != MODEL.get(key):
            warnings.warn(
                f"model.{key}={value} has no effect: optimizer={config.optimizer['name']} has no intercept and begins "
                "at 0",
                stacklevel=2,
            )


def check_data(config: RunConfig, dataset: Dataset) -> None:
    """Refuse data that the solver cannot take.

    Raises:
        ConfigError: naming the override to change.
    """
    name = f"optimizer={config.optimizer['name']} solves linear models"
    if dataset.is_image:
        raise ConfigError(f"{name} on tables: dataset={dataset.name} holds images")
    if (dataset.classes is None) != (config.train.loss == "mse"):
        wanted = "mse" if dataset.classes is None else "cross_entropy or squared_hinge"
        raise ConfigError(f"dataset={dataset.name} needs train.loss={wanted}")
    if dataset.classes is not None and dataset.classes != 2:
        raise ConfigError(f"{name} with two classes: dataset={dataset.name} has {dataset.classes}")
    if config.batch_schedule["size"] > dataset.n:
        raise ConfigError(
            f"batch_schedule.size={config.batch_schedule['size']} is more than the {dataset.n} samples of "
            f"dataset={dataset.name}"
        )


def passes_of(config: RunConfig, dataset: Dataset) -> float:
    """The budget in passes."""
    samples = config.train.samples
    return config.train.epochs if samples is None else samples / dataset.n


def validate(config: RunConfig, dataset: Dataset) -> None:
    """See that the run can begin.

    Raises:
        ConfigError: what the solver or the problem refuses, or a budget that does not cover a stage.
    """
    check(config)
    check_data(config, dataset)
    first, passes = make_solver(config, dataset).first_passes, passes_of(config, dataset)
    if passes < first:
        raise ConfigError(
            f"train.epochs={passes:g} does not cover the first stage of optimizer={config.optimizer['name']}, which "
            f"costs {first:.4g} passes: raise it, or lower optimizer.inner_iterations"
        )


def make_solver(
    config: RunConfig, dataset: Dataset, step_size: float | None = None, seed: int | None = None
) -> Solver[Any, Any]:
    """The solver on its problem, at its starting point; the run's own step size and seed unless given.

    Raises:
        ConfigError: what the solver or the problem refuses.
    """
    size = config.batch_schedule["size"]
    return _make(config, dataset.x_train, dataset.y_train, size, step_size, config.seed if seed is None else seed)


def _make(
    config: RunConfig, A: Any, y: Any, batch_size: int, step_size: float | None = None, seed: int = 0
) -> Solver[Any, Any]:
    target: Any = locate(config.optimizer, "optimizer")
    settings = arguments(config.optimizer)
    if step_size is not None:
        settings["step_size"] = step_size
    elif settings.get("step_size") == TUNED:
        settings["step_size"] = 1.0  # while it is not known yet
    try:
        solver: Solver[Any, Any] = target.from_data(
            A,
            y,
            loss=LOSSES[config.train.loss],
            batch_size=batch_size if getattr(target, "uses_batches", True) else None,
            seed=seed,
            **settings,
        )
    except (ValueError, TypeError) as error:
        text = str(error).replace("pass zero_rows='keep'", "set optimizer.zero_rows=keep")
        raise ConfigError(f"optimizer={config.optimizer['name']}: {text}") from error
    return solver


class Journal:
    """Writes a row for each record, keeps the checkpoint, and hears when the run is told to stop."""

    def __init__(self, config: RunConfig, dataset: Dataset, solver: Solver[Any, Any], context: Context) -> None:
        self.config = config
        self.solver = solver
        self.context = context
        self.recorder = Recorder(context.run)
        self.dataset = dataset
        self.budget = passes_of(config, dataset)
        self.saved = time.monotonic()
        self.told = 0.0
        self.evaluating = 0.0

    def restore(self) -> None:
        """Go on from the checkpoint, or begin anew.

        Raises:
            ConfigError: when it is damaged, or the data is not what it was.
        """
        path = self.context.run.checkpoint
        if not path.exists():
            self.recorder.truncate({})
            return
        try:
            state = torch.load(path, weights_only=True)
            solver, rows, self.evaluating = state["solver"], state["rows"], state["eval_seconds"]
        except Exception as error:  # a truncated zip, a wrong type, a missing key: all mean one thing
            raise ConfigError(
                f"{path} is damaged ({type(error).__name__}): delete it to run this solver from its beginning"
            ) from error
        try:
            self.solver.load_state_dict(solver)
        except ValueError as error:
            raise ConfigError(f"{path}: {error}; put the data back, or delete the file to begin anew") from error
        self.recorder.truncate(rows)

    def save(self) -> None:
        """Write the checkpoint, atomically. Before the first stage there is nothing to keep."""
        if self.solver.progress.stage > 0:
            state = {
                "solver": self.solver.state_dict(),
                "rows": self.recorder.counts(),
                "eval_seconds": self.evaluating,
            }
            write(self.context.run.checkpoint, state)
        self.saved = time.monotonic()

    def tell(self, passes: float) -> None:
        """How far the run is, for `status` and the display."""
        self.context.run.write_progress(samples=passes, total=self.budget, unit="passes")
        self.told = time.monotonic()

    @np.errstate(over="ignore", invalid="ignore")  # a run that diverges says so in its rows
    def __call__(self, record: Record) -> bool:
        """A row; true when the run is to stop."""
        began = time.perf_counter()
        x = self.solver.x
        row: dict[str, Any] = {
            "samples": record.gradients,
            "steps": record.iterations,
            "epoch": record.passes,
            "gradients": record.gradients,
            "lr": self.solver.step_size,
            "batch_size": self.solver.batch_size,
            "objective": record.value,
            "train_loss": record.value - self.solver.problem.regularizer.value(x),
            "nonzeros": int(np.count_nonzero(x)),
            "restarts": record.restarts,
            "train_seconds": record.seconds,
        }
        if not math.isnan(record.gap):
            row["gap"] = record.gap
        row |= self._scores()
        self.evaluating += time.perf_counter() - began
        row["eval_seconds"] = self.evaluating
        self.recorder.write("metrics", row)
        if time.monotonic() - self.told > TELL_SECONDS:
            self.tell(record.passes)
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
    """Run the solver until its passes are spent, its value leaves the numbers, or it is told to stop.

    Where P* is known, also until nothing but rounding is left of the gap.
    """
    run, dataset = context.run, load(config.dataset)
    validate(config, dataset)

    def make(step_size: float | None = None, seed: int | None = None) -> Solver[Any, Any]:
        if context.stopping:
            raise Told
        return make_solver(config, dataset, step_size, seed)

    try:
        choice = None
        if config.optimizer["step_size"] == TUNED:
            choice = choose(make, config, passes_of(config, dataset), run.folder.parent)
            run.write_state(tuning=dataclasses.asdict(choice))
        solver = make(choice.step_size if choice else None)
    except Told:
        run.write_state(state="interrupted", ended=now())
        return Outcome("interrupted")
    journal = Journal(config, dataset, solver, context)
    journal.restore()
    known = {"optimum": choice.optimum, "gap": ROUNDING} if choice else {}
    result = solver.solve(passes=journal.budget, every=config.log.evaluate_every, callback=journal, **known)
    progress, meters = solver.progress, Meters.on(torch.device("cpu"))  # solvers compute on the host
    meters.gradients, meters.train_seconds = progress.gradients, progress.seconds
    meters.eval_seconds = journal.evaluating
    journal.tell(progress.gradients / dataset.n)
    clock = Clock(progress.gradients, progress.iterations, dataset.n, round(journal.budget * dataset.n))
    run.write_state(**facts(clock, meters, dataclasses.replace(context, device=meters.loss.device)))
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
