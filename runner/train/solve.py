"""A run of a finite-sum solver: the same folder, the same rows, the same resume as a run that trains a model.

The clock is passes over the data (component gradients / n): `train.epochs` is the budget, `epoch` the column. A row is
written at the end of each stage, and at most every `log.evaluate_every` passes; evaluation is not timed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from batchlab.datasets import Dataset
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.finite_sum import ROUNDING, Record, Solver
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import State, now
from batchlab.runner.plan.reading import load_checked
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.solver import TUNED, make_solver, passes_of, validate
from batchlab.runner.train.checkpoint import write
from batchlab.runner.train.facts import facts
from batchlab.runner.train.outcome import Outcome, settle
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.tuned import tuned
from batchlab.runner.train.watchers import Watchers

TELL_SECONDS = 0.2
"""Least time from one write of the progress to the next: a stage may take less time than a write."""


class Told(Exception):
    """The run was told to stop before it began."""


class Journal:
    """Writes a row for each record, keeps the checkpoint, and stops the solver when the run is told to stop."""

    def __init__(self, config: RunConfig, dataset: Dataset, solver: Solver[Any, Any], context: Context) -> None:
        self.config = config
        self.solver = solver
        self.context = context
        self.watchers = Watchers(config.callback, context.run)
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
        """Write how far the run is, in passes, for `status` and the display."""
        self.context.run.write_progress(samples=passes, total=self.budget, unit="passes")
        self.told = time.monotonic()

    @np.errstate(over="ignore", invalid="ignore")  # a run that diverges shows it in its rows
    def __call__(self, record: Record) -> bool:
        """Write a row; true when the run is to stop."""
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
        self.watchers.evaluate(row)
        if time.monotonic() - self.told > TELL_SECONDS:
            self.tell(record.passes)
        if time.monotonic() - self.saved > self.config.train.checkpoint_seconds:
            self.save()
        return self.context.stopping

    def _scores(self) -> dict[str, float]:
        """Mean loss on the test split and, for labels, accuracy; on the validation split too; nothing without them."""
        scores: dict[str, float] = {}
        for split in self.dataset.splits:
            x, y = self.dataset.split(split)
            if split == "train" or len(y) == 0:
                continue
            loss, accuracy = self.solver.problem.evaluate(self.solver.x, x, y)
            scores |= {f"{split}_loss": loss} | ({} if math.isnan(accuracy) else {f"{split}_accuracy": accuracy})
        return scores


def solve(config: RunConfig, context: Context) -> Outcome:
    """Run the solver until its passes are spent, its objective is not finite, or it is told to stop.

    Where P* is known, also until nothing but rounding is left of the gap.

    Args:
        config: what is to be solved.
        context: the run; a solver has one process.

    Returns:
        How the run ended.

    Raises:
        ConfigError: what the solver or the problem refuses, or a damaged checkpoint.
    """
    run = context.run
    dataset = load_checked(config.dataset, run.read_state().info)
    validate(config, dataset)

    def make(step_size: float | None = None, seed: int | None = None) -> Solver[Any, Any]:
        if context.stopping:
            raise Told
        return make_solver(config, dataset, step_size, seed)

    try:
        best = None
        if config.optimizer.get("step_size") == TUNED:
            best = tuned(make, config, passes_of(config, dataset), run.folder.parent)
            run.write_state(tuning=dataclasses.asdict(best))
        solver = make(best.step_size if best else None)
    except Told:
        run.write_state(state=State.INTERRUPTED, ended=now())
        return Outcome(State.INTERRUPTED)
    journal = Journal(config, dataset, solver, context)
    journal.restore()
    known = {"optimum": best.optimum, "gap": ROUNDING} if best else {}
    try:
        outcome = _solved(journal, known)
        journal.watchers.end(outcome.state, outcome.reason)
    except Exception as error:
        journal.watchers.end(State.FAILED, str(error))
        raise
    progress, meters = solver.progress, Meters.on(torch.device("cpu"))  # solvers compute on the host
    meters.gradients, meters.train_seconds = progress.gradients, progress.seconds
    meters.eval_seconds, meters.processor_seconds = journal.evaluating, progress.processor_seconds
    journal.tell(progress.gradients / dataset.n)
    clock = Clock(progress.gradients, progress.iterations, dataset.n, round(journal.budget * dataset.n))
    here = dataclasses.replace(context, device=meters.loss.device)
    settle(run, outcome, journal.recorder, facts(clock, meters, here))
    return outcome


def _solved(journal: Journal, known: Mapping[str, float]) -> Outcome:
    """How solving ends, with the checkpoint of a run that was told to stop."""
    journal.watchers.start(None)
    every = journal.config.log.evaluate_every
    result = journal.solver.solve(passes=journal.budget, every=every, callback=journal, **known)
    if result.reason == "callback":
        journal.save()
        return Outcome(State.INTERRUPTED)
    if result.reason == "diverged":
        return Outcome(State.DIVERGED, "the objective was not finite")
    return Outcome(State.DONE)
