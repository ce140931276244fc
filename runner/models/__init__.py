"""Models of the comparisons: `target(shape=..., classes=..., **options) -> nn.Module`.

`shape` is one input's: `(C, H, W)` for images, `(d,)` for tables. A model maps (N, *shape) to (N, classes):
logits, or the prediction where classes is 1 (regression). Weights are drawn from torch's global generator.
"""

from batchlab.runner.models.cnn import CifarCNN, MnistCNN
from batchlab.runner.models.logistic import MLP, Linear
from batchlab.runner.models.resnet import CifarResNet, imagenet_resnet

__all__ = ["MLP", "CifarCNN", "CifarResNet", "Linear", "MnistCNN", "imagenet_resnet"]
