"""Rows: one per evaluation in `metrics`, one per step in `steps` where asked for, and what measures write elsewhere."""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from batchlab.results.store.record import Recorder
from batchlab.runner.measures import FullGradientNorm, Measure, Probe, untouched
from batchlab.runner.measures.untouched import draws_from_torch
from batchlab.runner.plan.columns import check_columns, plain_row
from batchlab.runner.plan.loss import own_loss
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.train.checkpoint import plain_state
from batchlab.runner.train.marks import Marks
from batchlab.runner.train.modes import evaluating
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.watchers import Watchers

PROGRESS_SECONDS = 0.25
"""Least time from one write of the progress, which the live display reads, to the next."""


class Writer:
    """Measures and writes. Every rank measures; only rank 0 has a recorder."""

    def __init__(
        self, session: Session, meters: Meters, recorder: Recorder | None, context: Context, watchers: Watchers
    ) -> None:
        self.session = session
        self.meters = meters
        self.recorder = recorder
        self.context = context
        self.watchers = watchers
        log = session.config.log
        self.steps_wanted = log.steps or not session.batch_schedule.deterministic
        clock = session.clock
        self.marks = Marks(log.evaluate_every * clock.epoch_size, clock.total_samples, log.evaluations)
        self.stood = clock.samples
        self.noted = 0.0
        measures = session.measures.items()
        self.at_step = [(name, measure) for name, measure in measures if measure.when == "step"]
        self.at_evaluation = [(name, measure) for name, measure in measures if measure.when != "step"]
        # the first: others find in its pass over the training set what they would make one of their own for
        self.at_evaluation.sort(key=lambda item: not isinstance(item[1], FullGradientNorm))
        ours = draws_from_torch(session.model) and not own_loss(session.config.train.loss)
        self.torch_only = {name: ours and draws_from_torch(measure) for name, measure in measures}
        self.known_plain: set[str] = set()
        self.known_record: set[str] = set()

    def due(self) -> bool:
        """Did the last step reach an evaluation mark, or the end of the budget?"""
        return self.marks.due(self.stood, self.session.clock.samples)

    def step(self, lr: float, batch_size: int, loss: Tensor) -> None:
        """Write a row for the step just taken, where rows per step are wanted, and the progress.

        Args:
            lr: the rate that it was taken with.
            batch_size: samples of its global batch.
            loss: summed over this rank's samples, a scalar on the device.

        Raises:
            ConfigError: the batch schedule, or a measure, gives a column that every row has.
        """
        clock = self.session.clock
        self.stood = clock.samples - batch_size
        if self.marks.enters(self.stood, clock.samples):
            self.meters.restart(loss, batch_size)
        if self.steps_wanted or self.watchers.at_step:
            total = loss.clone()
            if self.context.world_size > 1:
                dist.all_reduce(total)
            row = {
                "samples": clock.samples,
                "steps": clock.steps,
                "epoch": clock.samples / clock.epoch_size,
                "lr": lr,
                "batch_size": batch_size,
                "train_loss": float(total) / batch_size,
            }
            if self.recorder is not None:
                row |= self._record()
                if self.steps_wanted:
                    self.recorder.write("steps", row)
                if self.watchers.at_step:
                    with self.meters.paused():
                        self.watchers.step(row)
        if self.at_step and self.meters.samples == batch_size:  # the first since the last evaluation
            with self.meters.paused():
                self.session.probe.look(clock, batch_size)
                for name, measure in self.at_step:
                    self._write_apart(name, measure, self._measure(name, measure))
        now = time.monotonic()
        if self.recorder is not None and now - self.noted > PROGRESS_SECONDS:
            self.noted = now
            self.context.run.write_progress(samples=clock.samples, total=clock.total_samples)

    def _record(self) -> dict[str, float]:
        """What the batch schedule says of the step; its columns are checked when they first appear, not every step.

        Raises:
            ConfigError: one of them is a column that every row has.
        """
        schedule = self.session.batch_schedule
        record = schedule.record()
        if not record.keys() <= self.known_record:
            check_columns("steps", f"batch_schedule={self.session.config.batch_schedule['name']}", schedule, record)
            self.known_record |= record.keys()
        return record

    def evaluate(self, lr: float, batch_size: int) -> dict[str, float]:
        """Measure, and write a row of metrics.

        Args:
            lr: the rate of the last step.
            batch_size: the schedule's, in samples; an epoch's last batch may have been smaller.

        Returns:
            The row, the same on every rank except for the times.

        Raises:
            ConfigError: a measure gives a column that every row has, or another measure; or its state is not plain.
        """
        session, clock = self.session, self.session.clock
        synchronise_buffers(session.model)
        loss = self.meters.loss.double()
        if self.context.world_size > 1:
            dist.all_reduce(loss)
        row: dict[str, float] = {
            "samples": clock.samples,
            "steps": clock.steps,
            "epoch": clock.samples / clock.epoch_size,
            "gradients": self.meters.gradients,
            "lr": lr,
            "batch_size": batch_size,
        }
        if self.meters.summed:  # none yet where the run begins
            row["train_loss"] = float(loss) / self.meters.summed
        session.probe.look(clock, batch_size)
        with evaluating(session.optimizer):  # callbacks too see what is judged
            row |= self._measured()
            self.meters.loss = torch.zeros_like(self.meters.loss)
            self.meters.samples = self.meters.summed = 0
            self.meters.count_pause()
            row["train_seconds"] = self.meters.train_seconds
            row["eval_seconds"] = self.meters.eval_seconds
            if self.recorder is not None:
                with self.meters.spending("write", "write_evaluating"):
                    self.recorder.write("metrics", row)
            self.watchers.evaluate(row)
        return row

    def _measured(self) -> dict[str, float]:
        """Columns of what is measured at an evaluation; rows of other streams are written.

        Raises:
            ConfigError: see `evaluate`.
        """
        clock, row, owners = self.session.clock, dict[str, float](), dict[str, str]()
        for name, measure in self.at_evaluation:
            if measure.when == "trained" and not clock.steps:
                continue
            if measure.when == "end" and clock.samples < clock.total_samples:
                continue
            measured = self._measure(name, measure)
            if measure.stream != "metrics":
                self._write_apart(name, measure, measured)
                continue
            own = plain_row(f"measure={name}", measure, measured)
            check_columns("metrics", f"measure={name}", measure, own, owners)
            owners |= dict.fromkeys(own, name)
            row |= own
        return row

    def _measure(self, name: str, measure: Measure) -> Any:
        """What a measure gives now; it leaves no trace in training.

        Raises:
            ConfigError: it failed; or its state would not come back from a checkpoint, which is better said now than
                when one is written.
        """
        asked = measure.asks(self.session.probe)
        ready = bool(asked) and all(known in self.session.probe.known for known in asked)
        with nullcontext() if ready else untouched(self.session.model, torch_only=self.torch_only[name]):
            try:
                measured: Any = measure.measure(self.session.probe)
                if measure.stream != "metrics" and isinstance(measured, Iterable):
                    measured = list(measured)  # a generator measures while it is asked
            except (MemoryError, torch.OutOfMemoryError):  # says nothing of the measure: the run is too large
                raise
            except Exception as error:  # whatever a user's code raises; a bare KeyError would not say whose it is
                text = f"{type(error).__name__}: {error}".removesuffix(": ")
                raise ConfigError(f"{self._guilty(error) or f'measure={name}'}: {text}") from error
        if name not in self.known_plain:
            plain_state(name, measure)
            self.known_plain.add(name)
        return measured

    def _guilty(self, error: Exception) -> str:
        """The model or the loss, where the probe called it and it raised; of its own calls a measure is to blame."""
        config, loss = self.session.config, self.session.probe.criterion
        code = getattr(getattr(loss, "func", None), "__code__", None)
        asked = False
        for frame, _ in traceback.walk_tb(error.__traceback__):
            asked = asked or frame.f_code.co_filename == inspect.getfile(Probe)
            called = frame.f_locals.get("self")
            if asked and called is self.session.model:
                return f"model={config.model['name']}, at an evaluation"
            if asked and (own := own_loss(config.train.loss)) and (called is loss or frame.f_code is code):
                return f"train.loss={own['name']}, at an evaluation"
        return ""

    def _write_apart(self, name: str, measure: Measure, rows: Any) -> None:
        """Rows of a measure that has a stream of its own; what other ranks return than rank 0 is not looked at."""
        if self.recorder is not None:
            clock = self.session.clock
            for own in rows if isinstance(rows, list) else [rows]:  # what is no list is refused as a row
                plain = plain_row(f"measure={name}", measure, own)
                check_columns(measure.stream, f"measure={name}", measure, plain)
                self.recorder.write(measure.stream, {"samples": clock.samples, "steps": clock.steps} | plain)


@torch.no_grad()
def synchronise_buffers(model: nn.Module) -> None:
    """Average BatchNorm's running statistics over the ranks, each of which has seen its own share of the data."""
    if not dist.is_initialized():
        return
    floating = [b for b in model.buffers() if b.is_floating_point()]
    if not floating:
        return
    flat = torch.cat([b.reshape(-1) for b in floating])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for buffer, mean in zip(floating, torch.split(flat, [b.numel() for b in floating]), strict=True):
        buffer.copy_(mean.view_as(buffer))
