"""Old addresses of the readers of images.

A reader's address is part of a run's identity: `_target_: batchlab.datasets.images.mnist` must stay importable, or runs
that are done would be trained again. New data sets are not added here: their `_target_` is in their own module.
"""

from batchlab.datasets.sets.cifar10 import cifar10 as cifar10
from batchlab.datasets.sets.cifar100 import cifar100 as cifar100
from batchlab.datasets.sets.digits import digits as digits
from batchlab.datasets.sets.mnist import mnist as mnist
from batchlab.datasets.sets.npz import npz as npz
