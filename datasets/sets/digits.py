"""scikit-learn's scans of handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from batchlab.datasets.bundled import split
from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import Arrays
from batchlab.datasets.sets.npz import Keys, read_images


def make(entry: Entry, root: Path) -> Arrays:
    """Images (N, 8, 8, 1) uint8, values 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return split(bunch.images.astype(np.uint8)[..., None], bunch.target.astype(np.int64))


ENTRY = Entry("digits", 1442, 355, (1, 8, 8), 10, "bundled", make=make)


def digits(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """8 x 8 scans of handwritten digits, values 0 to 16: 1,442 for training, 355 for testing.

    They are the test set of UCI's *Optical Recognition of Handwritten Digits* (Alpaydin, Kaynak 1998) as
    scikit-learn bundles it. The test split is the last fifth of each class in the file's order, and the file
    is ordered by writer: most test digits come from hands that the training split does not have.
    """
    return read_images(ENTRY, root, white=16.0, **keys)
