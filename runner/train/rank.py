"""A rank's place in its run, and what it sums up while it trains."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from batchlab.results.store.run import SECONDS, Run
from batchlab.runner.train.launched import BEGAN, COMMAND


def launched() -> float:
    """When this process was asked for, where that was said to it; else now."""
    now = time.monotonic()
    try:
        said = float(os.environ[BEGAN])
    except (KeyError, ValueError):
        return now
    return said if 0 <= said <= now else now


def rounded(spent: Mapping[str, float]) -> dict[str, float]:
    """Seconds as run.json has them."""
    return {part: round(seconds, 3) for part, seconds in spent.items()}


@dataclass
class Context:
    """Where a rank runs, and whether it was told to stop."""

    run: Run
    rank: int
    world_size: int
    device: torch.device
    stopping: bool = False
    began: float = field(default_factory=launched)
    """When the process of the run was asked for, as `time.monotonic` has it."""

    def stop(self) -> None:
        """Ask for a checkpoint and an end; safe in a signal handler."""
        self.stopping = True


@dataclass
class Meters:
    """Sums since the last evaluation, and counts and times since the run began."""

    loss: Tensor
    """Sum of this rank's training losses for the next row, each taken before its step."""
    samples: int = 0
    """Training samples over all ranks since the last evaluation."""
    summed: int = 0
    """Those of them that `loss` sums over, see `Marks.enters`."""
    gradients: int = 0
    """Component gradients evaluated in training since the run began, over all ranks."""
    largest_batch: int = 0
    """Samples of the largest batch over all ranks."""
    batchnorm_part: int = 0
    """The most samples that BatchNorm saw at a time, of a batch of whatever size; 0 in a model without it."""
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    fused: int = 0
    """Of how many runs that trained at once these seconds are a share, as far as they are; 0 where all are its own."""
    processor_seconds: float = 0.0
    """Processor time that the training thread got within `train_seconds`; NaN where a part of it was not measured."""
    spent: dict[str, float] = field(default_factory=dict)
    """Where the rest of the time went, see `SECONDS` of run.json."""
    command: str = field(default_factory=lambda: os.environ.get(COMMAND, ""))
    """Who asked for this process; empty where nobody says."""
    earlier: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By command, the first one first, what a run had spent in all when its last checkpoint was written that counts."""
    _since: float = 0.0
    _processor_since: float = 0.0
    _paused: float = 0.0

    @classmethod
    def on(cls, device: torch.device) -> Meters:
        """All at zero."""
        return cls(torch.zeros((), dtype=torch.float64, device=device))

    def restart(self, loss: Tensor, samples: int) -> None:
        """Leave out of the sum of losses all that came before the last step.

        Args:
            loss: of that step, summed over this rank's samples.
            samples: of its global batch.
        """
        self.loss = loss.to(self.loss) + 0.0 * self.loss  # one that was not finite stays so, and the run has diverged
        self.summed = samples

    def spend(self, on: str, seconds: float) -> None:
        """Note that so much time went there."""
        self.spent[on] = self.spent.get(on, 0.0) + seconds

    def kept(self, spent: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """For a checkpoint: who spent what until now.

        Args:
            spent: this meter's, with what is not counted in it yet.
        """
        times = {"train_seconds": round(self.train_seconds, 3), "eval_seconds": round(self.eval_seconds, 3)}
        return self.earlier | {self.command: times | {SECONDS: rounded(spent)}}

    def take_back(self, kept: Mapping[str, dict[str, Any]]) -> None:
        """What a checkpoint says of commands; what this one did before counts as a part of what it does now."""
        self.earlier = {command: times for command, times in kept.items() if command != self.command}

    def batches(self, seconds: float) -> None:
        """Note what the making of training batches took."""
        self.spend("data", seconds)
        self.spend("data_training", seconds)

    @contextmanager
    def spending(self, *on: str) -> Iterator[None]:
        """Note where the time goes that the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            for each in on:
                self.spend(each, time.perf_counter() - began)

    def now(self) -> float:
        """The time, once the device has done what it was given."""
        if self.loss.device.type == "cuda":
            torch.cuda.synchronize(self.loss.device)
        return time.perf_counter()

    def resume(self) -> None:
        """Training time runs from here."""
        self._since, self._processor_since = self.now(), time.thread_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Training time stands still within the block; what the block takes counts as evaluation time."""
        self._paused = self.now()
        self.train_seconds += self._paused - self._since
        self.processor_seconds += time.thread_time() - self._processor_since
        yield
        self.count_pause()
        self._since, self._processor_since = self._paused, time.thread_time()

    def paused_since(self, seconds: float) -> None:
        """A pause began so many seconds ago."""
        self._paused = self.now() - seconds

    @property
    def contention(self) -> float | None:
        """Wall clock over processor time of training; None where there is none of one of them.

        1 on an idle machine. The processor time is that of the thread that trains. Where it has helpers
        (`executor.threads`) it does its share and waits for theirs: long, where one of them gets no core.
        """
        if not (self.train_seconds > 0 and self.processor_seconds > 0):
            return None
        return self.train_seconds / self.processor_seconds

    def count_pause(self) -> None:
        """Add what the pause has taken so far to the evaluation time."""
        now = self.now()
        self.eval_seconds += now - self._paused
        self._paused = now
