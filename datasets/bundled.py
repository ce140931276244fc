"""Sets that come with scikit-learn, split once and kept as .npz: importing scikit-learn takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def make(name: str, root: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `digits` (images uint8, 0 to 16) or `breast_cancer` (features float64, 1 = benign)."""
    from sklearn import datasets

    if name == "digits":
        bunch = datasets.load_digits()
        x = bunch.images.astype(np.uint8)[..., None]
    else:
        bunch = datasets.load_breast_cancer()
        x = bunch.data.astype(np.float64)
    y = bunch.target.astype(np.int64)
    test = last_fifth(y)
    return {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}


def last_fifth(y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for the last floor(1/5) of each class, in stored order: a stratified split without chance."""
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        test[members[len(members) - len(members) // 5 :]] = True
    return test
