"""A run of a finite-sum solver: the same folder, the same rows, the same resume as a run that trains a model.

The clock is passes over the data (component gradients / n): `train.epochs` is the budget, `epoch` the column. A row is
written at the end of each stage, and at most every `log.evaluate_every` passes; evaluation is not timed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from batchlab.datasets import Dataset
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.finite_sum import ROUNDING, Record, Solver
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import RunLostError, State, now
from batchlab.runner.plan.reading import load_checked
from batchlab.runner.plan.schema import TUNED, ConfigError, RunConfig
from batchlab.runner.plan.solver import make_solver, passes_of, validate
from batchlab.runner.train import kept
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

    def __init__(
        self, config: RunConfig, dataset: Dataset, solver: Solver[Any, Any], context: Context, meters: Meters
    ) -> None:
        self.config = config
        self.meters = meters
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
        run = self.context.run
        state = kept.read(dataclasses.replace(self.context, device=torch.device("cpu")), self.recorder)
        if state is None:
            self.recorder.truncate({})
            return
        path = run.checkpoints[0]
        try:
            solver, rows, self.evaluating = state["solver"], state["rows"], state["eval_seconds"]
        except Exception as error:  # a wrong type, a missing key: all mean one thing
            raise ConfigError(f"{path} is damaged ({type(error).__name__}): {kept.way_out(run)}") from error
        try:
            self.solver.load_state_dict(solver)
        except ValueError as error:
            raise ConfigError(f"{path}: {error}; put the data back, or {kept.way_out(run)}") from error
        self.recorder.truncate(rows)
        for part, seconds in state.get("spent", {}).items():
            self.meters.spend(part, seconds)
        self.meters.take_back(state.get("commands", {}))

    def save(self) -> None:
        """Write the checkpoint, atomically. Before the first stage there is nothing to keep."""
        if self.solver.progress.stage > 0:
            self.meters.train_seconds, self.meters.eval_seconds = self.solver.progress.seconds, self.evaluating
            state = {
                "solver": self.solver.state_dict(),
                "rows": self.recorder.counts(),
                "eval_seconds": self.evaluating,
                "spent": dict(self.meters.spent),
                "commands": self.meters.kept(self.meters.spent),
            }
            with self.meters.spending("write"):
                kept.write(self.context.run, state)
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
        with self.meters.spending("write"):
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


def solve_all(configs: Sequence[RunConfig], contexts: Sequence[Context]) -> list[Outcome]:
    """Solve runs on the same data in this process, one after the other; each has its folder, as if alone.

    The data are read once, and a process is started and ended once: of a run of half a second that is half. While one
    is solved, the others wait; its seconds are its own.

    Args:
        configs: of runs of one key (`plan.fusable`).
        contexts: aligned with them; a solver has one process.

    Returns:
        How each ended.

    Raises:
        ConfigError: what the solver or the problem of one refuses, or a damaged checkpoint.
    """
    began = time.perf_counter()
    dataset = load_checked(configs[0].dataset, contexts[0].run.read_state().info)
    read = time.perf_counter() - began
    start = time.monotonic() - contexts[0].began - read
    shares = {"data": read / len(configs), "start": start / len(configs)}
    return [_turn(each, context, dataset, shares) for each, context in zip(configs, contexts, strict=True)]


def _turn(config: RunConfig, context: Context, dataset: Dataset, shares: Mapping[str, float]) -> Outcome:
    """One run of those that share a process, where nobody has told them to stop or taken it from them."""
    run = context.run
    try:
        if context.stopping:
            run.write_state(state=State.INTERRUPTED, ended=now())
            return Outcome(State.INTERRUPTED)
        if run.read_state().info.get("fused"):
            run.write_state(durable=False, fused=None, started=now())  # nobody shares its seconds
        return _solve(config, context, dataset, shares)
    except RunLostError as error:
        print(error, flush=True)
        return Outcome(State.INTERRUPTED)


def _solve(config: RunConfig, context: Context, dataset: Dataset, shares: Mapping[str, float]) -> Outcome:
    """Run the solver until its passes are spent, its objective is not finite, or it is told to stop.

    Where P* is known, also until nothing but rounding is left of the gap.

    Args:
        config: what is to be solved.
        context: the run; a solver has one process.
        dataset: the configuration's.
        shares: seconds of what was done for several runs at once, by part.

    Returns:
        How the run ended.

    Raises:
        ConfigError: what the solver or the problem refuses, or a damaged checkpoint.
    """
    began, tuning = time.monotonic(), 0.0
    run = context.run
    meters = Meters.on(torch.device("cpu"))  # solvers compute on the host
    for part, seconds in shares.items():
        meters.spend(part, seconds)
    validate(config, dataset)

    def make(step_size: float | None = None, seed: int | None = None) -> Solver[Any, Any]:
        if context.stopping:
            raise Told
        return make_solver(config, dataset, step_size, seed)

    try:
        best = None
        if config.optimizer.get("step_size") == TUNED:
            with meters.spending("tune"):
                best = tuned(make, config, passes_of(config, dataset), run.folder.parent)
            run.write_state(tuning=dataclasses.asdict(best))
            tuning = meters.spent["tune"]
        solver = make(best.step_size if best else None)
    except Told:
        run.write_state(state=State.INTERRUPTED, ended=now())
        return Outcome(State.INTERRUPTED)
    journal = Journal(config, dataset, solver, context, meters)
    journal.restore()
    meters.spend("start", time.monotonic() - began - tuning)
    known = {"optimum": best.optimum, "gap": ROUNDING} if best else {}
    try:
        outcome = _solved(journal, known)
        journal.watchers.end(outcome.state, outcome.reason)
    except RunLostError:
        raise
    except Exception as error:
        journal.watchers.end(State.FAILED, str(error))
        raise
    progress = solver.progress
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
