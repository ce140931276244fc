"""Several runs in one process, as one batched model: `train_together`."""

from batchlab.runner.train.together.loop import train_together
from batchlab.runner.train.together.stack import ApartError

__all__ = ["ApartError", "train_together"]
