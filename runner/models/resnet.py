"""Residual networks: the thin ones for CIFAR, and torchvision's with a stem for small images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.runner.models.cnn import image_shape
from batchlab.runner.models.numbers import DEEPEST, share, size

__all__ = ["CifarResNet", "imagenet_resnet"]

Norm = Literal["batch", "group"]
Shortcut = Literal["A", "B", "every_stage"]


def norm_layer(norm: Norm, groups: int, bn_momentum: float, eps: float) -> Callable[[int], nn.Module]:
    """What makes a normalisation layer from a number of channels.

    Args:
        norm: batch (statistics over the batch, which ties its samples together) or group (each sample alone).
        groups: of GroupNorm; must divide every number of channels.
        bn_momentum: weight of the newest batch in BatchNorm's running statistics: 1 - TensorFlow's decay.
        eps: added to the variance.

    Raises:
        ValueError: unknown norm, or a number that makes no layer.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"norm={norm!r} is unknown: choose batch or group")
    share("bn_momentum", bn_momentum)
    size("groups", groups)
    if not eps > 0:
        raise ValueError(f"norm_eps={eps} must be positive: a variance can be 0")
    if norm == "batch":
        return partial(nn.BatchNorm2d, momentum=bn_momentum, eps=eps)
    if bn_momentum != 0.1:
        warnings.warn("bn_momentum has no effect with norm=group", stacklevel=3)

    def group_norm(channels: int) -> nn.Module:
        if channels % groups:
            raise ValueError(f"groups={groups} does not divide a layer of {channels} channels: choose one that does")
        return nn.GroupNorm(groups, channels, eps=eps)

    return group_norm


def begin_convolutions(model: nn.Module) -> None:
    """He's normal draw, fan out, for the weights of every convolution."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _ZeroPad(nn.Module):
    """Shortcut A: every `stride`-th pixel, and zeros for the channels that are new. No parameters."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = filters - channels, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(
        self, channels: int, filters: int, stride: int, norm: Callable[[int], nn.Module], shortcut: nn.Module
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.norm1 = norm(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = norm(filters)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """The thin residual network for CIFAR of He et al. (2016): 6n + 2 layers in three stages of n blocks.

    A 3 x 3 stem, stages of `width`, 2 and 4 times `width` filters at full, half and quarter size, the mean
    over the map and one linear layer. On the 1 x 8 x 8 digits the stages are 8 x 8, 4 x 4 and 2 x 2.

    Convolutions begin at He's normal draw, fan out.

    Args:
        shape: (C, H, W), at least 4 x 4.
        classes: outputs.
        depth: layers with weights, 6n + 2: 8, 20, 32, 56.
        width: filters of the first stage.
        norm: batch or group.
        groups: of GroupNorm.
        shortcut: what a block that changes the shape adds to. A: its input, strided and padded with zeros,
            without parameters (He et al. on CIFAR). B: a 1 x 1 convolution of it, and a norm. every_stage: B in
            the first block of every stage, also of the first, which changes nothing (the TensorFlow model
            garden's ResNet-56, which arXiv 2309.13681 points to).
        bn_momentum: weight of the newest batch in BatchNorm's running statistics (the model garden's decay of
            0.997 is 0.003 here).
        norm_eps: added to the variance.

    Raises:
        ValueError: an unknown option, a depth that is not 6n + 2, groups that do not divide the width.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        classes: int,
        depth: int = 20,
        width: int = 16,
        norm: Norm = "batch",
        groups: int = 8,
        shortcut: Shortcut = "A",
        bn_momentum: float = 0.1,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        depth, width = size("depth", depth, DEEPEST), size("width", width)
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth={depth} must be 6n + 2: 8, 14, 20, 26, 32, ...")
        if shortcut not in get_args(Shortcut):
            raise ValueError(f"shortcut={shortcut!r} is unknown: choose A, B or every_stage")
        channels, _, _ = image_shape(shape, halvings=2)
        make_norm = norm_layer(norm, groups, bn_momentum, norm_eps)
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = make_norm(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(3):
            filters = width * 2**stage
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                project = (shortcut == "B" and channels != filters) or (shortcut == "every_stage" and block == 0)
                if project:
                    path: nn.Module = nn.Sequential(
                        nn.Conv2d(channels, filters, 1, stride, bias=False), make_norm(filters)
                    )
                else:
                    path = nn.Identity() if channels == filters else _ZeroPad(channels, filters, stride)
                blocks.append(_Block(channels, filters, stride, make_norm, path))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, classes)
        begin_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        x = self.blocks(F.relu(self.norm(self.conv(x))))
        out: Tensor = self.classifier(x.mean((2, 3)))
        return out


def imagenet_resnet(
    *,
    shape: Sequence[int],
    classes: int,
    depth: Literal[18, 50] = 18,
    norm: Norm = "batch",
    groups: int = 32,
    bn_momentum: float = 0.1,
    norm_eps: float = 1e-5,
) -> nn.Module:
    """torchvision's ResNet with a stem for small images: conv1 3 x 3 of stride 1, and no max pooling.

    ResNet-18 has 11,173,962 parameters for 10 classes (arXiv 2402.11215), 11,220,132 for 100 (arXiv
    2508.03105).

    Args:
        shape: (C, H, W), at least 8 x 8.
        classes: outputs.
        depth: 18 or 50.
        norm: batch or group.
        groups: of GroupNorm.
        bn_momentum: weight of the newest batch in BatchNorm's running statistics.
        norm_eps: added to the variance.

    Raises:
        ValueError: an option that does not exist.
    """
    import torchvision.models  # a second of import time, which runs of other models need not pay

    constructors = {18: torchvision.models.resnet18, 50: torchvision.models.resnet50}
    if depth not in constructors:
        raise ValueError(f"depth={depth} is not offered: choose 18 or 50, or model=resnet20 for the thin ones")
    channels, _, _ = image_shape(shape, halvings=3)
    make_norm = norm_layer(norm, groups, bn_momentum, norm_eps)
    model: nn.Module = constructors[depth](num_classes=classes, norm_layer=make_norm)
    model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    begin_convolutions(model.conv1)
    model.maxpool = nn.Identity()
    return model
