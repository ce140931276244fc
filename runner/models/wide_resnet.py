"""Wide residual networks: fewer layers than a thin one of the same accuracy, and more filters in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.runner.models.cnn import image_shape
from batchlab.runner.models.numbers import DEEPEST, WIDEST, share, size
from batchlab.runner.models.resnet import Norm, begin_convolutions, norm_layer

__all__ = ["WideResNet"]
STEM = 16
"""Filters of the first convolution, which is not widened."""


class _Block(nn.Module):
    """Norm, ReLU and 3 x 3 convolution, twice, beside a shortcut: its input, or a projection behind the first ReLU."""

    def __init__(
        self, channels: int, filters: int, stride: int, norm: Callable[[int], nn.Module], dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = norm(channels)
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.norm2 = norm(filters)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.projection = nn.Conv2d(channels, filters, 1, stride, bias=False) if channels != filters else None

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.norm1(x))
        out: Tensor = self.conv2(self.dropout(F.relu(self.norm2(self.conv1(ready)))))
        return out + (x if self.projection is None else self.projection(ready))


class WideResNet(nn.Module):
    """The wide residual network of Zagoruyko and Komodakis (2016): WRN-d-k of depth d = 6n + 4 and k times the filters.

    A 3 x 3 stem of 16 filters, stages of 16 k, 32 k and 64 k filters at full, half and quarter size with n blocks each,
    a last norm, the mean over the map and one linear layer. Norm and ReLU come before each convolution. WRN-28-10 has
    36,479,194 parameters for 10 classes, 36,536,884 for 100.

    Convolutions begin at He's normal draw, fan out; the linear layer's bias at 0.

    Args:
        shape: (C, H, W), at least 4 x 4.
        classes: outputs.
        depth: layers with weights, the three projections among them, 6n + 4: 10, 16, 22, 28, 40.
        widen: how many times the thin network's filters; 1 is a thin one.
        dropout: share of a block's inner map that is dropped in training, before its second convolution (0.3 in the
            paper's runs with it; whole entries, not channels).
        norm: batch or group.
        groups: of GroupNorm; must divide 16.
        bn_momentum: weight of the newest batch in BatchNorm's running statistics.
        norm_eps: added to the variance.

    Raises:
        ValueError: an unknown option, a depth that is not 6n + 4, a share that is none.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        classes: int,
        depth: int = 28,
        widen: int = 10,
        dropout: float = 0.0,
        norm: Norm = "batch",
        groups: int = 8,
        bn_momentum: float = 0.1,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        depth, widen = size("depth", depth, DEEPEST), size("widen", widen, WIDEST // (4 * STEM))
        share("dropout", dropout)
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth={depth} must be 6n + 4: 10, 16, 22, 28, 34, 40, ...")
        channels, _, _ = image_shape(shape, halvings=2)
        make_norm = norm_layer(norm, groups, bn_momentum, norm_eps)
        self.conv = nn.Conv2d(channels, STEM, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        channels = STEM
        for stage in range(3):
            filters = STEM * widen * 2**stage
            for block in range((depth - 4) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(_Block(channels, filters, stride, make_norm, dropout))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.norm = make_norm(channels)
        self.classifier = nn.Linear(channels, classes)
        nn.init.zeros_(self.classifier.bias)
        begin_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        x = F.relu(self.norm(self.blocks(self.conv(x))))
        out: Tensor = self.classifier(x.mean((2, 3)))
        return out
