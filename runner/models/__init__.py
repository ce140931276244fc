"""Models of the comparisons: `target(shape=..., classes=..., **options) -> nn.Module`.

`shape` is one input's: `(C, H, W)` for images, `(d,)` for tables, `(T,)` for tokens and categories; of these
`vocabulary` says how many there are. A model maps (N, *shape) to (N, classes), or of tokens to (N, T, classes): logits,
or the prediction where classes is 1 (regression). Weights are drawn from torch's global generator.
"""

from batchlab.runner.models.cnn import CifarCNN, MnistCNN
from batchlab.runner.models.dlrm import DLRM
from batchlab.runner.models.logistic import MLP, Linear
from batchlab.runner.models.resnet import CifarResNet, imagenet_resnet
from batchlab.runner.models.transformer import Transformer
from batchlab.runner.models.wide_resnet import WideResNet

__all__ = [
    "DLRM", "MLP", "CifarCNN", "CifarResNet", "Linear", "MnistCNN", "Transformer", "WideResNet", "imagenet_resnet",
]  # fmt: skip
