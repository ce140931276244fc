"""How the sets that come with scikit-learn are split: once, then kept as .npz, as importing it takes a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.files import Arrays


def split(x: NDArray[Any], y: NDArray[np.int64]) -> Arrays:
    """Samples (N, ...) and labels (N,) as a training split and a test split, the last fifth of each class."""
    test = last_fifth(y)
    return {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}


def last_fifth(y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) true for the last floor(1/5) of each class, in stored order: a stratified split without chance."""
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        test[members[len(members) - len(members) // 5 :]] = True
    return test
