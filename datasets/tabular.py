"""Old addresses of the readers of vectors.

A reader's address is part of a run's identity: `_target_: batchlab.datasets.tabular.a9a` must stay importable, or runs
that are done would be trained again. New data sets are not added here: their `_target_` is in their own module.
"""

from batchlab.datasets.a9a import a9a as a9a
from batchlab.datasets.breast_cancer import breast_cancer as breast_cancer
from batchlab.datasets.libsvm import libsvm as libsvm
from batchlab.datasets.linear_regression import linear_regression as linear_regression
from batchlab.datasets.w8a import w8a as w8a
