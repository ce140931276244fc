"""The two small convolutional nets of AdAdaGrad (arXiv 2402.11215); neither has normalisation layers.

Both take any image size: the convolutions are as published, and the first linear layer has as many inputs as
the pooled map has entries. On the 1 x 8 x 8 digits `MnistCNN` keeps a 2 x 2 map (14,538 parameters) and
`CifarCNN` a 1 x 1 one (60,806).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["CifarCNN", "MnistCNN"]


class _CNN(nn.Module):
    """Features, then a classifier of the flattened map."""

    features: nn.Sequential
    classifier: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


def _stage(channels: int, filters: int, kernel: int) -> list[nn.Module]:
    """Convolution that keeps the size, ReLU, and a pooling that halves it."""
    return [nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.ReLU(), nn.MaxPool2d(2)]


def image_shape(shape: Sequence[int], halvings: int) -> tuple[int, int, int]:
    """`shape` as (C, H, W).

    Raises:
        ValueError: it is not an image's, or too small to be halved so often.
    """
    if len(shape) != 3:
        raise ValueError(f"this model needs images (C, H, W), not inputs of shape {tuple(shape)}: take model=mlp")
    channels, height, width = shape
    if min(height, width) < 2**halvings:
        raise ValueError(f"images of {height} x {width} are too small: this model needs {2**halvings} at least")
    return channels, height, width


class MnistCNN(_CNN):
    """Conv(16, 5)-ReLU-MaxPool2-Conv(32, 5)-ReLU-MaxPool2-Linear; 28,938 parameters on MNIST.

    Args:
        shape: (C, H, W), at least 4 x 4.
        classes: outputs.
    """

    def __init__(self, *, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape(shape, halvings=2)
        self.features = nn.Sequential(*_stage(channels, 16, 5), *_stage(16, 32, 5))
        self.classifier = nn.Linear(32 * (height // 4) * (width // 4), classes)


class CifarCNN(_CNN):
    """Three times Conv(3)-ReLU-MaxPool2 with 16, 32, 64 filters, then Linear(500)-ReLU-Linear.

    541,094 parameters on CIFAR-10.

    Args:
        shape: (C, H, W), at least 8 x 8.
        classes: outputs.
    """

    def __init__(self, *, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape(shape, halvings=3)
        self.features = nn.Sequential(*_stage(channels, 16, 3), *_stage(16, 32, 3), *_stage(32, 64, 3))
        self.classifier = nn.Sequential(
            nn.Linear(64 * (height // 8) * (width // 8), 500), nn.ReLU(), nn.Linear(500, classes)
        )
