"""scikit-learn's breast cancer set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from batchlab.datasets.bundled import split
from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import Arrays, read_npz


def make(entry: Entry, root: Path) -> Arrays:
    """Features (N, 30) float64; label 1 is benign."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return split(bunch.data.astype(np.float64), bunch.target.astype(np.int64))


ENTRY = Entry("breast_cancer", 456, 113, (30,), 2, "bundled", make=make)


def breast_cancer(
    root: str | Path | None = None, standardize_features: bool = True, unit_rows: bool = False
) -> Dataset:
    """569 tumours, 30 measurements, benign (1) or malignant (0) (Wolberg, Street, Mangasarian 1995).

    456 for training, 113 (the last fifth of each class, in the file's order) for testing.

    Args:
        root: the data root; `None` for the usual one.
        standardize_features: scale each column to zero mean and unit variance on the training split.
        unit_rows: then scale each row to Euclidean norm 1.
    """
    path = ENTRY.prepare(root)
    assert path is not None
    arrays = read_npz(path)
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    if standardize_features:
        mean, std = x_train.mean(0), x_train.std(0)
        x_train, x_test = (x_train - mean) / std, (x_test - mean) / std
    if unit_rows:
        x_train, x_test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (x_train, x_test))
    return Dataset("breast_cancer", x_train, arrays["y_train"], x_test, arrays["y_test"], 2)
