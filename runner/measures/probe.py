"""`Probe`: what measures are given. It looks at a run without leaving a trace.

Nothing here changes the model, its BatchNorm statistics, its gradients or any random state that training draws from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from batchlab.datasets import Batches, Dataset, evaluation_batches
from batchlab.datasets.dataset import Split
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.moments import GradientMoments

EVALUATION_BATCH = 512
"""Samples in a forward pass of an evaluation; a fixed number, so that no figure depends on the training batch."""


@dataclass
class Probe:
    """A run at one moment; every sample of a split is seen exactly once over all ranks.

    Attributes:
        model: as it is; not compiled, not wrapped.
        dataset: with its splits.
        criterion: (outputs (n, classes), targets (n,)) -> losses (n,), the loss that trains.
        evaluation: the same without label smoothing, which is a way to train and no part of what is evaluated.
        forward: (model, inputs) -> outputs in the run's precision.
        stream: number -> the run's training data, augmented, in an order of its own; 0 is the one that trains.
        optimizer: the run's; its groups and state are not to be changed.
        moments: of the last step, where the run measures gradient noise.
        clock: samples and steps so far.
        batch_size: the schedule's at this moment, in samples.
        dtype: of inputs and outputs.
        rank, world_size: this process among those of the run.
    """

    model: nn.Module
    dataset: Dataset
    criterion: Callable[[Tensor, Tensor], Tensor]
    evaluation: Callable[[Tensor, Tensor], Tensor]
    forward: Callable[[nn.Module, Tensor], Tensor]
    stream: Callable[[int], Batches]
    optimizer: Optimizer
    moments: GradientMoments | None
    clock: Clock
    batch_size: int = 0
    dtype: torch.dtype = torch.float32
    rank: int = 0
    world_size: int = 1
    _known: dict[tuple[str, str], object] = field(default_factory=dict, repr=False)

    def look(self, clock: Clock, batch_size: int) -> Probe:
        """Begin a new moment: what was computed at an earlier one is forgotten.

        Args:
            clock: samples and steps so far.
            batch_size: the schedule's, in samples.
        """
        self.clock, self.batch_size = clock, batch_size
        self._known.clear()
        return self

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's share of a split, not augmented, as (inputs, targets) on the device."""
        return evaluation_batches(
            self.dataset,
            split,
            device=self.device,
            batch=EVALUATION_BATCH,
            rank=self.rank,
            world_size=self.world_size,
            dtype=self.dtype,
        )

    @torch.no_grad()
    def score(self, split: Split, model: nn.Module | None = None) -> dict[str, float]:
        """Mean loss, without label smoothing, and, for labels, accuracy (a share) in eval mode.

        Args:
            split: "train", "test" or, with `dataset.validation`, "validation".
            model: another than the run's.

        Returns:
            `loss` and, for labels, `accuracy`; empty where the split has no samples.
        """
        if model is None and ("score", split) in self._known:
            return dict(self._known["score", split])  # type: ignore[call-overload, no-any-return]
        seen = self.model if model is None else model
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        with mode(seen, training=False):
            for x, y in self.batches(split):
                output = self.forward(seen, x)
                sums[0] += self.evaluation(output, y).double().sum()
                if self.dataset.classes is not None:
                    sums[1] += (output.argmax(1) == y).sum()
                sums[2] += len(y)
        if dist.is_initialized():
            dist.all_reduce(sums)
        loss, correct, count = sums.tolist()
        scores = {"loss": loss / count} if count else {}
        if count and self.dataset.classes is not None:
            scores["accuracy"] = correct / count
        if model is None:
            self._known["score", split] = scores
        return dict(scores)

    @torch.no_grad()
    def predictions(self, split: Split) -> tuple[Tensor, Tensor]:
        """The model's outputs and the targets of a whole split, in stored order, the same on every rank.

        Computed once per evaluation, however many measures ask.

        Returns:
            outputs (n, classes) in eval mode, and targets (n,), both on the CPU.
        """
        if ("predictions", split) not in self._known:
            n = len(self.dataset.split(split)[1])
            outputs = torch.zeros(n, self.dataset.outputs, dtype=self.dtype, device=self.device)
            places = torch.arange(n, device=self.device)[self.rank :: self.world_size]
            done = 0
            with mode(self.model, training=False):
                for x, y in self.batches(split):
                    output = self.forward(self.model, x)
                    outputs[places[done : done + len(y)]] = output.reshape(len(y), -1)
                    done += len(y)
            if dist.is_initialized():  # each rank has filled places of its own
                dist.all_reduce(outputs)
            targets = torch.from_numpy(self.dataset.split(split)[1])
            self._known["predictions", split] = (outputs.cpu(), targets)
        return self._known["predictions", split]  # type: ignore[return-value]

    def gradient_norm(self, weighted: Iterator[tuple[Tensor, Tensor, float]]) -> float:
        """Euclidean norm, over all parameters and ranks, of the gradient of a weighted sum of the losses that train.

        In `dtype`, not under autocast: at train.precision=bfloat16 it is that of float32.

        Args:
            weighted: (inputs (n, *shape), targets (n,), weight of each of these n losses). The model stays in the mode
                that it is in.

        Returns:
            The norm, the same on every rank.
        """
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        total = [torch.zeros_like(p) for p in parameters]
        for x, y, weight in weighted:
            loss = self.criterion(self.model(x), y).sum() * weight
            torch._foreach_add_(total, torch.autograd.grad(loss, parameters, materialize_grads=True))
        if dist.is_initialized():
            flat = torch.cat([t.reshape(-1) for t in total])
            dist.all_reduce(flat)
            total = [flat]
        return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(total)).double()))


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put the model into train or eval mode within the block."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
