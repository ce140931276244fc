"""The gradient of the mean loss over a global batch, on any number of ranks and micro-batches.

Two ways to the same gradient, with one interface: `SummedGradient` when only the mean is wanted, and
`ObservedGradient` when gradient noise is measured on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import override

from batchlab.datasets import Batch
from batchlab.optimizers.moments import GradientMoments

Criterion = Callable[[Tensor, Tensor], Tensor]
"""criterion(output, target) -> one loss per sample, shape (n,)."""


class Gradient(Protocol):
    """Leaves the mean gradient of a global batch in `.grad`, the same on every rank."""

    def __call__(self, batch: Batch) -> Tensor:
        """Evaluate the gradient at the parameters as they are.

        Args:
            batch: this rank's share, in micro-batches, of a global batch.

        Returns:
            The summed loss over this rank's samples, detached, a scalar on the device.
        """


def criterion_for(loss: str, label_smoothing: float) -> Criterion:
    """The per-sample loss that `train.loss` names.

    Of a sample with several labels, (T,) or of any shape, cross entropy is the mean over them: outputs are (n, T,
    classes), with the classes last (torch's own function wants them second).
    """
    if loss == "cross_entropy":
        smoothing = label_smoothing

        def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
            flat = output if target.dim() == 1 else output.flatten(0, -2)
            losses = nn.functional.cross_entropy(flat, target.flatten(), reduction="none", label_smoothing=smoothing)
            return losses if target.dim() == 1 else losses.view(len(target), -1).mean(1)

        return cross_entropy
    assert loss == "mse"

    def squared_error(output: Tensor, target: Tensor) -> Tensor:
        squares = (output.reshape(target.shape) - target).square()
        return squares.flatten(1).mean(1) if squares.dim() > 1 else squares

    return squared_error


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The context of a forward pass in `train.precision`; evaluations use it too."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


class SummedGradient(Gradient):
    """Each sample's loss weighs 1/b; autograd sums gradients over micro-batches, one all-reduce over ranks."""

    def __init__(self, model: nn.Module, criterion: Criterion, precision: str) -> None:
        self.model = model
        self.criterion = criterion
        self.precision = precision
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device, self.dtype = self.parameters[0].device, self.parameters[0].dtype
        self.sizes = [*(p.numel() for p in self.parameters), len(self.parameters)]

    @override
    def __call__(self, batch: Batch) -> Tensor:
        for p in self.parameters:
            p.grad = None
        weight = torch.full((), 1 / batch.size, dtype=self.dtype, device=self.device)
        total: Tensor | None = None
        for x, y in batch.micro:
            with autocast(self.device, self.precision):
                output = self.model(x)
            loss = self.criterion(output.to(self.dtype), y).sum()
            torch.autograd.backward(loss, weight)
            total = loss.detach() if total is None else total + loss.detach()
        if dist.is_initialized():
            self._sum_over_ranks()
        return torch.zeros_like(weight) if total is None else total

    def _sum_over_ranks(self) -> None:
        # A rank without a sample has no gradient; nor has, on any rank, a parameter that the batch did not reach.
        missing = [i for i, p in enumerate(self.parameters) if p.grad is None]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        flat = torch.cat([*(g.reshape(-1) for g in gradients), gradients[0].new_ones(len(gradients))])
        flat[-len(gradients) :][missing] = 0
        dist.all_reduce(flat)
        *summed, reached = torch.split(flat, self.sizes)
        unreached = {i for i in missing if not reached[i]}  # waits for the device, but only where some were missing
        for i, (p, gradient, total) in enumerate(zip(self.parameters, gradients, summed, strict=True)):
            p.grad = None if i in unreached else gradient.copy_(total.view_as(p))  # in the strides of p, see below


class ObservedGradient(Gradient):
    """The same gradient, its noise measured group by group in a GradientMoments."""

    def __init__(self, model: nn.Module, criterion: Criterion, precision: str, moments: GradientMoments) -> None:
        self.model = model
        self.criterion = criterion
        self.precision = precision
        self.moments = moments
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype

    @override
    def __call__(self, batch: Batch) -> Tensor:
        self.moments.reset()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for x, y in batch.micro:
            with autocast(self.device, self.precision):
                total += self.moments.backward(self.model, self._losses, x, y)
        self.moments.reduce()
        for p in self.moments.params:  # views of flat memory; fused kernels ask for the strides of p and do not check
            if p.grad is not None and p.grad.stride() != p.stride():
                p.grad = torch.empty_like(p).copy_(p.grad)
        return total

    def _losses(self, output: Tensor, target: Tensor) -> Tensor:
        return self.criterion(output.to(self.dtype), target)
