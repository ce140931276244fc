"""Old addresses of the readers of vectors.

A reader's address is part of a run's identity: `_target_: batchlab.datasets.tabular.a9a` must stay importable, or runs
that are done would be trained again. New data sets are not added here: their `_target_` is in their own module.
"""

from batchlab.datasets.sets.a9a import a9a as a9a
from batchlab.datasets.sets.breast_cancer import breast_cancer as breast_cancer
from batchlab.datasets.sets.libsvm import libsvm as libsvm
from batchlab.datasets.sets.linear_regression import linear_regression as linear_regression
from batchlab.datasets.sets.w8a import w8a as w8a
