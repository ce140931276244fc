"""Train one run: the textbook's loop on the clock of samples seen."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from batchlab.datasets import Batch
from batchlab.optimizers.needs import Closure, Moments
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import RunLostError, State
from batchlab.results.words import listing
from batchlab.runner.plan.batchnorm import part_of
from batchlab.runner.plan.optimizer import methods_of
from batchlab.runner.plan.reading import load_checked
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.train.checkpoint import Saver
from batchlab.runner.train.facts import facts
from batchlab.runner.train.fitting import fitted
from batchlab.runner.train.flops import flops_per_sample
from batchlab.runner.train.memory import Memory, elsewhere, halved
from batchlab.runner.train.modes import evaluating, to_train
from batchlab.runner.train.outcome import Outcome, settle
from batchlab.runner.train.profile import ASKED, Profile
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.watchers import Watchers
from batchlab.runner.train.writer import Writer

LOSSES = ("train_loss", "train_eval_loss", "validation_loss", "test_loss")
"""Columns of the loss that trains: a run that ends with one of them not finite diverged. What a user's measure calls a
loss says nothing of that."""
CONSENT_EVERY = 8
"""Steps from one check over all ranks to the next: was any told to stop, has any a loss that is not finite?"""


def train(config: RunConfig, context: Context) -> Outcome:
    """Train until the budget of samples is spent, the loss is not finite, or the run is told to stop.

    Only rank 0 writes: rows, the outcome, its facts. A checkpoint in the run's folder is continued from, bit for bit.

    Args:
        config: what is to be trained.
        context: this rank's place in the run.

    Returns:
        How the run ended, the same on every rank.

    Raises:
        ConfigError: the checkpoint is damaged, or a choice refuses its arguments.
    """
    info = context.run.read_state().info
    meters = Meters.on(context.device)
    with meters.spending("data"):
        dataset = load_checked(config.dataset, info)
    read = meters.spent["data"]
    with elsewhere("where the model and its optimizer are made"):
        config = fitted(halved(config, info), context, dataset)
        session = Session.build(config, context.device, context.rank, context.world_size, dataset)
    recorder = Recorder(context.run) if context.rank == 0 else None
    asked = recorder is not None and bool(info.get(ASKED))
    said = {"quantities": quantities(session), "methods": methods_of(session.optimizer)}
    if recorder is not None and ((declared := {key: value for key, value in said.items() if value}) or asked):
        context.run.write_state(durable=False, **declared, **{ASKED: None})
    saver = Saver(session, meters, recorder, context)
    saver.restore()
    watchers = Watchers(config.callback, context.run if context.rank == 0 else None)
    writer = Writer(session, meters, recorder, context, watchers)
    try:
        watchers.start(session.model)
        meters.spend("start", time.monotonic() - context.began - read)
        with Profile(context).watching(session, writer, saver) if asked else nullcontext():
            outcome = _loop(session, meters, writer, saver, context)
        with evaluating(session.optimizer):
            watchers.end(outcome.state, outcome.reason)
    except RunLostError:  # it goes on elsewhere, and its watchers with it
        raise
    except Exception as error:
        watchers.end(State.FAILED, str(error))
        raise
    if recorder is not None:
        meters.batches(session.batches.seconds)
        flops = flops_per_sample(session)
        settle(context.run, outcome, recorder, facts(session.clock, meters, context, flops))
    return outcome


def quantities(session: Session) -> dict[str, Any]:
    """What the run's measures say of their columns, for run.json."""
    own = [measure.quantities for measure in session.measures.values()]
    return {column: asdict(quantity) for part in own for column, quantity in part.items()}


def _loop(session: Session, meters: Meters, writer: Writer, saver: Saver, context: Context) -> Outcome:
    session.forward.train()
    to_train(session.optimizer)
    meters.resume()
    memory = Memory(session, context.run)
    if session.clock.steps == 0:  # where every curve begins
        with meters.paused(), elsewhere("at an evaluation"):
            writer.evaluate(session.set_learning_rate(), session.batch_size())
    while session.clock.samples < session.clock.total_samples:
        size = session.batch_size()
        lr = session.set_learning_rate()
        batch = session.take(size)
        with memory.step(batch.size):
            loss = step(session, meters, batch)
        session.advance(batch.size)
        if session.moments is not None:
            session.batch_schedule.update(session.moments)  # without effect where it does not listen
            session.set_measuring()
        writer.step(lr, batch.size, loss)

        evaluate = writer.due()
        if not evaluate and session.clock.steps % CONSENT_EVERY:
            continue
        stopping, diverged = consent(context, meters.loss)
        row: dict[str, float] = {}
        if evaluate or diverged:
            with meters.paused(), elsewhere("at an evaluation"):
                row = writer.evaluate(lr, size)
        if diverged:
            return Outcome(State.DIVERGED, f"the training loss was not finite by step {session.clock.steps}")
        lost = [key for key in LOSSES if not math.isfinite(row.get(key) or 0.0)]  # None: not measured
        if lost and session.clock.samples >= session.clock.total_samples:  # only here do the last steps show
            return Outcome(State.DIVERGED, f"{listing(lost)} not finite at the end")
        if stopping or saver.due():
            with meters.paused(), meters.spending("write", "write_evaluating"):
                saver.save()
        if stopping:
            return Outcome(State.INTERRUPTED)
    return Outcome(State.DONE)


def step(session: Session, meters: Meters, batch: Batch) -> Tensor:
    """Update the parameters once.

    Args:
        session: whose parameters they are.
        meters: the loss, samples and component gradients are added here.
        batch: this rank's share of the global batch.

    Returns:
        The summed loss of this rank's samples before the update, a scalar on the device.

    Raises:
        ConfigError: the optimizer did not call its closure as it declares.
    """
    optimizer = session.optimizer
    if isinstance(session.needs, Closure):
        losses: list[Tensor] = []

        def closure() -> Tensor:
            losses.append(session.gradient(batch))
            meters.gradients += batch.size
            return losses[-1]

        optimizer.step(closure)  # type: ignore[arg-type]
        check_calls(session, len(losses))
        loss = losses[0]  # at the point where the step began
    else:
        loss = session.gradient(batch)
        meters.gradients += batch.size
        if isinstance(session.needs, Moments):
            optimizer.step(session.moments)  # type: ignore[arg-type]
        else:
            optimizer.step()
    meters.loss += loss
    meters.samples += batch.size
    meters.summed += batch.size
    meters.largest_batch = max(meters.largest_batch, batch.size)
    if session.batchnorm:
        meters.batchnorm_part = max(meters.batchnorm_part, part_of(session.config, batch.size))
    return loss


def check_calls(session: Session, calls: int) -> None:
    """See that a step that was given a closure called it as often as its optimizer declares.

    The number is compared once, at the first step: what is wrong about a declaration shows there, and nobody loses a
    long run over it. A step without a call has no loss, so it is refused wherever it comes.

    Args:
        session: whose optimizer it is, its clock still at the step's beginning.
        calls: of the closure in this step.

    Raises:
        ConfigError: there was none, or the first step made another number of them than was declared.
    """
    assert isinstance(session.needs, Closure)
    declared, kind = session.needs.evaluations, type(session.optimizer).__name__
    name = f"optimizer={session.config.optimizer['name']}"
    if not calls:
        raise ConfigError(
            f"{name}: {kind}.step(closure) did not call the closure, so the step has no gradient and no loss: call it "
            "at least once"
        )
    if declared is not None and calls != declared and session.clock.steps == 0:
        raise ConfigError(
            f"{name}: {kind} declares Closure(evaluations={declared}), but its first step called the closure {calls} "
            f"times: declare Closure({calls}), or Closure() where the number varies"
        )


def consent(context: Context, loss: Tensor) -> tuple[bool, bool]:
    """Let all ranks agree.

    Args:
        context: this rank's place, and whether it was told to stop.
        loss: this rank's summed loss, a scalar.

    Returns:
        Whether any rank was told to stop, and whether any rank's loss is not finite.
    """
    if context.world_size == 1:
        return context.stopping, not bool(loss.isfinite())
    flags = torch.stack([torch.tensor(float(context.stopping), device=loss.device), (~loss.isfinite()).float()])
    dist.all_reduce(flags)
    stopping, diverged = flags.tolist()
    return stopping > 0, diverged > 0
