"""Old addresses of the readers of images.

A reader's address is part of a run's identity: `_target_: batchlab.datasets.images.mnist` must stay importable, or runs
that are done would be trained again. New data sets are not added here: their `_target_` is in their own module.
"""

from batchlab.datasets.cifar10 import cifar10 as cifar10
from batchlab.datasets.cifar100 import cifar100 as cifar100
from batchlab.datasets.digits import digits as digits
from batchlab.datasets.mnist import mnist as mnist
from batchlab.datasets.npz import npz as npz
