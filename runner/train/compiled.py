"""`train.compile`: a forward pass that is compiled a few times, however many sizes a batch schedule takes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override


class Compiled(nn.Module):
    """A model whose forward and backward passes are compiled for micro-batches of any size.

    torch's compiler takes the first size that it sees for a constant and compiles again at the second. Here it is told
    beforehand that the number of samples varies. What is left are ranges of sizes in which kernels choose alike (a
    convolution of fewer than 16 samples, sums of more than 4,096 numbers): each is compiled once, when a batch comes
    into it. One sample is a constant to the compiler, always: such a micro-batch is not worth it, and runs as it is.

    Nothing is padded: BatchNorm would see it.

    Args:
        model: whose parameters are trained; it shares them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._orig_mod = model  # where torch's own keeps it, too: per-sample statistics look for the layers there
        self.compiled = cast(nn.Module, torch.compile(model))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) to what the model gives."""
        if len(x) < 2:
            return cast(Tensor, self._orig_mod(x))
        if x.storage_offset():  # a part of a larger batch: where it lies there is a constant to the compiler, too
            x = x.clone()
        torch._dynamo.maybe_mark_dynamic(x, 0)  # "maybe": a model of one's own may hold on to a size
        return cast(Tensor, self.compiled(x))
