"""What a row of metrics holds beside the training loss: test loss and accuracy, and full gradient norms.

Nothing here changes the model, its BatchNorm statistics, its gradients or any random state that training draws from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from batchlab.datasets import Batches, Dataset, evaluation_batches
from batchlab.datasets.dataset import Split
from batchlab.runner.train.gradient import Criterion, autocast

EVALUATION_BATCH = 512
"""Samples in a forward pass of an evaluation; a fixed number, so that no figure depends on the training batch."""


@dataclass(frozen=True)
class Evaluator:
    """Measures a model on a data set, every sample exactly once over all ranks."""

    model: nn.Module
    dataset: Dataset
    criterion: Criterion
    precision: str
    dtype: torch.dtype
    rank: int = 0
    world_size: int = 1

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's share of a split, not augmented."""
        return evaluation_batches(
            self.dataset,
            split,
            device=self.device,
            batch=EVALUATION_BATCH,
            rank=self.rank,
            world_size=self.world_size,
            dtype=self.dtype,
        )

    def _forward(self, x: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            output: Tensor = self.model(x)
        return output.to(self.dtype)

    @torch.no_grad()
    def score(self, split: Split) -> dict[str, float]:
        """Mean loss and, for labels, accuracy (a fraction) in eval mode; nothing where there are no samples."""
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        with mode(self.model, training=False):
            for x, y in self.batches(split):
                output = self._forward(x)
                sums[0] += self.criterion(output, y).double().sum()
                if self.dataset.classes is not None:
                    sums[1] += (output.argmax(1) == y).sum()
                sums[2] += len(y)
        if dist.is_initialized():
            dist.all_reduce(sums)
        loss, correct, count = sums.tolist()
        if not count:  # a data set without a test split
            return {}
        scores = {f"{split}_loss": loss / count}
        if self.dataset.classes is not None:
            scores[f"{split}_accuracy"] = correct / count
        return scores

    def full_gradient_norm(self) -> float:
        """The norm of the training loss's gradient: exact weights, fixed batches, not augmented, eval mode."""
        n = len(self.dataset.y_train)
        with mode(self.model, training=False):
            return self._norm((x, y, 1 / n) for x, y in self.batches("train"))

    def full_gradient_norm_paper(self, augmented: Batches, size: int) -> float:
        """The norm as arXiv 2508.03105's code takes it: train mode, one augmented pass at the current batch size.

        Every batch's mean loss weighs size/n, a partial last one too. BatchNorm's running statistics, which the
        authors' procedure lets drift here, are put back.
        """
        n = augmented.n

        def weighted() -> Iterator[tuple[Tensor, Tensor, float]]:
            seen = 0
            while seen < n:
                batch = augmented.take(size)
                seen += batch.size
                for x, y in batch.micro:
                    yield x, y, min(size, n) / n / batch.size

        buffers = [b.clone() for b in self.model.buffers()]
        gpus = [self.device] if self.device.type == "cuda" else []
        try:
            with mode(self.model, training=True), torch.random.fork_rng(gpus):  # dropout draws
                return self._norm(weighted())
        finally:
            with torch.no_grad():
                for buffer, kept in zip(self.model.buffers(), buffers, strict=True):
                    buffer.copy_(kept)

    def _norm(self, weighted: Iterator[tuple[Tensor, Tensor, float]]) -> float:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        total = [torch.zeros_like(p) for p in parameters]
        for x, y, weight in weighted:
            loss = self.criterion(self._forward(x), y).sum() * weight
            torch._foreach_add_(total, torch.autograd.grad(loss, parameters, materialize_grads=True))
        if dist.is_initialized():
            flat = torch.cat([t.reshape(-1) for t in total])
            dist.all_reduce(flat)
            total = [flat]
        return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(total)).double()))

    @torch.no_grad()
    def reestimated_accuracy(self) -> float:
        """Test accuracy of a copy whose BatchNorm statistics are the plain average over the training set."""
        clone = copy.deepcopy(self.model).eval()
        for module in clone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.momentum = None  # a cumulative average
                module.train()
        for x, _ in evaluation_batches(
            self.dataset, "train", device=self.device, batch=EVALUATION_BATCH, dtype=self.dtype
        ):
            with autocast(self.device, self.precision):
                clone(x)
        twin = Evaluator(clone, self.dataset, self.criterion, self.precision, self.dtype, self.rank, self.world_size)
        return twin.score("test").get("test_accuracy", float("nan"))


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in train or eval mode for a while."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)


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
