"""Linear models and multi-layer perceptrons, for images (flattened) and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from batchlab.runner.models.numbers import size

__all__ = ["MLP", "Linear"]


class Linear(nn.Module):
    """One affine map of the flattened input.

    Logistic regression under cross entropy, linear regression under squared errors. On MNIST's 784 pixels and
    10 classes it is the logistic model of arXiv 2402.11215, 7,850 parameters.

    Args:
        shape: of one input; its entries are flattened.
        classes: outputs.
        bias: whether the map has a constant term.
        zero_init: begin at 0, where the toy regression of arXiv 2309.13681 does, not at torch's random draw.
    """

    def __init__(self, *, shape: Sequence[int], classes: int, bias: bool = True, zero_init: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(shape), classes, bias=bias)
        if zero_init:
            for parameter in self.linear.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) to (N, classes)."""
        out: Tensor = self.linear(x.flatten(1))
        return out


class MLP(nn.Module):
    """Fully connected layers with ReLU between them.

    Args:
        shape: of one input; its entries are flattened.
        classes: outputs.
        hidden: width of each hidden layer, at least one.
    """

    def __init__(self, *, shape: Sequence[int], classes: int, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        if not hidden:
            raise ValueError(f"hidden={list(hidden)} must name the width of at least one layer, for example [128]")
        widths = [math.prod(shape), *(size("hidden", width) for width in hidden)]
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) to (N, classes)."""
        out: Tensor = self.layers(x.flatten(1))
        return out
