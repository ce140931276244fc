"""Whether the samples of a batch have gradients of their own: what mixes them is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from batchlab.optimizers.moments.state import ModelState, same_states
from batchlab.optimizers.moments.truth import FEW, NOTHING, Batch, close, gradients_of, loose, norm_of, wide

WAY_OUT = (
    "so that no sample has a gradient of its own: use estimator=groups, to which a group is a batch like any other, "
    "or a model and a loss that keep samples apart"
)


def check_apart(batch: Batch, params: Sequence[Tensor], before: ModelState, eps: float, everyone: bool = False) -> None:
    """Raise ValueError where a sample's loss, or its gradient, depends on the others in its batch.

    Of eight samples, four keep their places while the others are replaced by copies of these, in the six ways that
    part every two of them: the same shapes and the same random numbers, so that only what mixes samples can change
    the losses of those that stay. A mixing that no loss shows yet (behind a gate that is still 0) shows in the
    gradients of the first sample and of the last. Without random numbers order and number of the samples must not
    matter either.

    Args:
        batch: of 2 samples at least.
        params: whose gradients are meant.
        before: the state to start each forward pass from; the model is left in another.
        eps: the relative rounding of the coarsest type that takes part.
        everyone: part all samples, not eight.
    """
    passes = _Passes(batch, before)
    at_first = passes.random_state()
    every = torch.arange(len(batch.x), device=batch.x.device)
    few = every if everyone else torch.cat([every[: FEW // 2], every[FEW // 2 :][-FEW // 2 :]])
    try:
        losses, drawn = passes.losses(few)
    except Exception:  # a model for batches of one size
        few = every
        losses, drawn = passes.losses(few)
    again, sizes = passes.sizes(few)
    size = float(sizes.max())

    def compare(here: Tensor, there: Tensor, on: str, times: int) -> None:
        if not close(here, there, min(times * eps, times / 500), size):
            worst = int((here - there).abs().argmax())
            values = f"it is {float(here[worst]):.6g}, or {float(there[worst]):.6g}"
            raise ValueError(f"the loss of a sample depends on {on} ({values}), {WAY_OUT}")

    if not close(losses, again, 10 * eps, size):
        raise ValueError(
            "the same samples have other losses the second time: the model or the criterion draws from, or counts in, "
            "what cannot be put back (a generator in an object or a closure). Draw from torch's own random state, or "
            "from a torch.Generator that is a plain attribute of the model, or use estimator=groups"
        )
    places = torch.arange(len(few), device=few.device)
    for bit in range((len(few) - 1).bit_length()):
        for side in (0, 1):
            stay = (places >> bit) % 2 == side
            copies, drawn_then = passes.losses(torch.where(stay, few, few[stay][0]))
            if same_states(drawn, drawn_then):  # with other random numbers nothing can be told from the difference
                compare(losses[stay], copies[stay], "the others in its batch", 10)
    for place in (0, len(few) - 1):
        here, drawn_here = passes.gradients(few, place, params)
        there, drawn_there = passes.gradients(few[place].expand_as(few), place, params)
        total = sum(norm_of(g) ** 2 for g in here) ** 0.5
        if same_states(drawn_here, drawn_there):
            for one, other in zip(here, there, strict=True):
                apart = norm_of(one) if other is None else norm_of(other if one is None else wide(one) - wide(other))
                if apart > loose(eps) * max(norm_of(one), norm_of(other)) + 10 * eps * total + NOTHING:
                    raise ValueError(f"the gradient of a sample's loss depends on the others in its batch, {WAY_OUT}")
    if not same_states(drawn, at_first):
        return
    where = "its place in the batch, as with a state that is carried over or a mask from outside"
    compare(losses, passes.losses(few.roll(1))[0].roll(-1), where, 100)
    try:
        alone = torch.cat([passes.losses(few[k : k + 1])[0] for k in range(len(few))])
    except Exception:  # some models are made for a batch of one size, or for several samples
        return
    compare(losses, alone, "how many samples are in its batch", 100)


class _Passes:
    """Forward passes of samples in any order (places (m,)), each from the same state; the random state comes last."""

    def __init__(self, batch: Batch, before: ModelState) -> None:
        self.batch, self.before = batch, before

    def random_state(self) -> list[Any]:
        self.before.restore()
        return self.before.drawn()

    def losses(self, order: Tensor) -> tuple[Tensor, list[Any]]:
        self.before.restore()
        with torch.enable_grad():  # some models differentiate in their forward pass
            return self.batch.of(order).losses().detach(), self.before.drawn()

    def sizes(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and what their rounding is relative to, (n,): |loss| + sum |output * d loss / d output|.

        A small difference of large numbers, such as a good prediction's error, is less sure than it is large.
        """
        self.before.restore()
        part = self.batch.of(order)
        with torch.enable_grad():
            output = part.model(part.x)
            losses = part.losses_of(output, part.y, len(order))
        size = losses.detach().abs()
        leaves = [t for t in tree_leaves(output) if isinstance(t, Tensor) and t.requires_grad]
        try:
            slopes = torch.autograd.grad(losses.sum(), leaves, allow_unused=True) if leaves else []
        except RuntimeError:  # written over by the criterion
            return losses.detach(), size
        for leaf, slope in zip(leaves, slopes, strict=True):
            if slope is not None:
                products = (leaf * slope).detach().abs()
                by_sample = products.dim() and len(products) == len(order)
                size = size + (products.reshape(len(order), -1).sum(1) if by_sample else products.sum())
        return losses.detach(), size

    def gradients(self, order: Tensor, place: int, params: Sequence[Tensor]) -> tuple[list[Tensor | None], list[Any]]:
        self.before.restore()
        with torch.enable_grad():
            losses = self.batch.of(order).losses()
        drawn = self.before.drawn()
        return gradients_of(losses[place], params), drawn


def check_samples_apart(model: nn.Module) -> None:
    """Raise ValueError where a layer makes a sample's gradient depend on the others in its batch.

    Args:
        model: with BatchNorm in train mode, or an embedding that divides by how often an index comes in the batch.
    """
    for name, module in model.named_modules():
        batch = isinstance(module, nn.modules.batchnorm._BatchNorm)
        instance = isinstance(module, nn.modules.instancenorm._InstanceNorm)
        if (batch and (module.training or module.running_mean is None)) or (
            instance and module.training and module.track_running_stats
        ):
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) mixes the samples of a batch, so that no sample "
                "has a gradient of its own: use estimator=groups, to which a group is a batch like any other, or "
                "a model with GroupNorm"
            )
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.scale_grad_by_freq:
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}, scale_grad_by_freq=True) divides by how often an "
                "index comes in the whole batch, so that no sample has a gradient of its own: use estimator=groups, "
                "or switch it off"
            )
