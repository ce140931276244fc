"""Dropout of several models at once, each with the masks that it would draw alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override


class _Masked(torch.autograd.Function):
    """x, as `vmap` sees it; on the stacked x the masks of all models, drawn from the generator of each."""

    @staticmethod
    def forward(x: Tensor, module: Drawn) -> Tensor:
        raise AssertionError("a stack is run under vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, module: Drawn) -> tuple[Tensor, int]:
        stacked = x.movedim(in_dims[0], 0)
        return stacked * module.masks(stacked), 0


class Drawn(nn.Module):
    """A layer in the place of `nn.Dropout`.

    Args:
        p: the share that is dropped.
        draws: one generator a model.
    """

    def __init__(self, p: float, draws: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.p, self.draws = p, list(draws)

    def masks(self, x: Tensor) -> Tensor:
        """(R, ...), 0 where something is dropped and 1 / (1 - p) elsewhere, as torch draws them on the CPU."""
        kept = 1 - self.p
        masks = torch.empty_like(x)
        for mask, generator in zip(masks, self.draws, strict=True):
            mask.bernoulli_(kept, generator=generator)
        return masks.div_(kept) if kept else masks

    @override
    def forward(self, x: Tensor) -> Tensor:
        """x with its masks in train mode, else x."""
        out: Tensor = _Masked.apply(x, self) if self.training and self.p else x
        return out


def drawing(model: nn.Module, draws: Sequence[torch.Generator]) -> None:
    """Put a `Drawn` in the place of every dropout layer of a model.

    Args:
        model: is changed.
        draws: one generator for each model that it will stand for.
    """
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is nn.Dropout:
                setattr(module, name, Drawn(layer.p, draws))
