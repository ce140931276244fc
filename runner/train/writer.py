"""Rows: one an evaluation in `metrics`, one a step in `steps` where asked for, and in `layers` one a layer.

The layers' rows are of the first step after each evaluation: the last step before it may be an epoch's remainder, a few
samples whose noise says nothing of the batches that train.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from batchlab.results.store.record import Recorder
from batchlab.runner.train.evaluate import synchronise_buffers
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session

PROGRESS_SECONDS = 0.25
"""Least time between two notes of progress for the live display."""


class Writer:
    """Measures and writes. Every rank measures; only rank 0 has a recorder."""

    def __init__(self, session: Session, meters: Meters, recorder: Recorder | None, context: Context) -> None:
        self.session = session
        self.meters = meters
        self.recorder = recorder
        self.context = context
        log = session.config.log
        self.steps_wanted = log.steps or not session.batch_schedule.deterministic
        self.mark_size = log.evaluate_every * session.clock.epoch_size
        self.marks = self._marks()
        self.noted = 0.0

    def _marks(self) -> int:
        return int(self.session.clock.samples / self.mark_size + 1e-9)

    def due(self) -> bool:
        """Did the last step reach an evaluation mark, or the end of the budget?"""
        clock = self.session.clock
        return self._marks() > self.marks or clock.samples >= clock.total_samples

    def step(self, lr: float, batch_size: int, loss: Tensor) -> None:
        """A row for the step just taken, and a note of progress."""
        clock = self.session.clock
        if self.steps_wanted:
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
                self.recorder.write("steps", row | self.session.batch_schedule.record())
        first = self.meters.samples == batch_size
        if self.session.config.log.gsnr and self.recorder is not None and first:
            with self.meters.paused():
                for layer in self.session.optimizer.gsnr_summary():  # type: ignore[attr-defined]
                    self.recorder.write("layers", {"samples": clock.samples, "steps": clock.steps} | layer)
        now = time.monotonic()
        if self.recorder is not None and now - self.noted > PROGRESS_SECONDS:
            self.noted = now
            self.context.run.write_progress(samples=clock.samples, total=clock.total_samples)

    def evaluate(self, lr: float, batch_size: int) -> dict[str, float]:
        """A row of metrics, the same on every rank but for the times.

        `batch_size` is the schedule's, which an epoch's last batch may have fallen short of.
        """
        session, clock, log = self.session, self.session.clock, self.session.config.log
        self.marks = self._marks()
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
        if self.meters.samples:  # none yet where the run begins
            row["train_loss"] = float(loss) / self.meters.samples
        evaluator = session.evaluator
        row |= evaluator.score("test")
        if log.train_accuracy:
            scores = evaluator.score("train")
            row |= {"train_eval_loss": scores["train_loss"]}
            row |= {k: v for k, v in scores.items() if k == "train_accuracy"}
        if log.batchnorm_reestimated:
            row["test_accuracy_reestimated"] = evaluator.reestimated_accuracy()
        if log.full_gradient_norm and clock.steps:  # of what training found: a start can be flat, and would win
            row["full_gradient_norm"] = evaluator.full_gradient_norm()
        if log.full_gradient_norm_paper and clock.steps:
            assert session.augmented is not None
            row["full_gradient_norm_paper"] = evaluator.full_gradient_norm_paper(session.augmented, batch_size)
        if log.parameters:
            row |= parameters(session)
        self.meters.loss = torch.zeros_like(self.meters.loss)
        self.meters.samples = 0
        self.meters.count_pause()
        row["train_seconds"] = self.meters.train_seconds
        row["eval_seconds"] = self.meters.eval_seconds
        if self.recorder is not None:
            self.recorder.write("metrics", row)
        return row


def parameters(session: Session) -> dict[str, float]:
    """A small model's parameters in their order, `w1`, `w2`, ...

    After a step of an optimizer that measures it also `gsnr_w1`, ...: each coordinate's squared mean gradient over its
    variance between the groups of that step's batch.
    """
    row = {f"w{i}": w for i, w in enumerate(_flat(session.model.parameters()), 1)}
    if session.moments is not None and session.moments.elementwise and session.clock.steps:
        means, squares = _flat(session.moments.means()), _flat(session.moments.second_moments())
        for i, (g, square) in enumerate(zip(means, squares, strict=True), 1):
            row[f"gsnr_w{i}"] = g**2 / max(square - g**2, sys.float_info.min)
    return row


def _flat(tensors: Iterable[Tensor]) -> list[float]:
    numbers: list[float] = torch.cat([t.detach().reshape(-1).double() for t in tensors]).tolist()
    return numbers
