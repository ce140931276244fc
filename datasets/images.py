"""Readers of image sets. Each returns a `Dataset`; keywords are the keys of `conf/dataset/*.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from batchlab.datasets.catalogue import ENTRIES, prepare
from batchlab.datasets.dataset import Dataset, Preprocessing
from batchlab.datasets.files import data_root, read_npz


class Keys(TypedDict, total=False):
    """What the command line can say about preprocessing, see `Preprocessing`."""

    mean: Sequence[float] | None
    std: Sequence[float] | None
    standardize: bool
    pad: int
    flip: bool
    rotate: float


def digits(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """8 x 8 scans of handwritten digits, values 0 to 16: 1,442 for training, 355 for testing.

    They are the test set of UCI's *Optical Recognition of Handwritten Digits* (Alpaydin, Kaynak 1998) as
    scikit-learn bundles it. The test split is the last fifth of each class in the file's order, and the file
    is ordered by writer: most test digits come from hands that the training split does not have.
    """
    return _named("digits", root, white=16.0, **keys)


def mnist(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """28 x 28 scans of handwritten digits: 60,000 and 10,000 (LeCun et al. 1998)."""
    return _named("mnist", root, **keys)


def cifar10(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """32 x 32 photographs of 10 kinds of things: 50,000 and 10,000 (Krizhevsky 2009)."""
    return _named("cifar10", root, **keys)


def cifar100(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """32 x 32 photographs of 100 kinds of things, fine labels: 50,000 and 10,000 (Krizhevsky 2009)."""
    return _named("cifar100", root, **keys)


def npz(
    file: str,
    root: str | Path | None = None,
    white: float | None = None,
    **keys: Unpack[Keys],
) -> Dataset:
    """Any `NAME.npz` with x_train, y_train, x_test, y_test.

    Samples are images (N, H, W, C) or (N, H, W), or features (N, d). Integer targets are labels from 0,
    floating-point targets make a regression.

    Args:
        file: NAME or NAME.npz in the data root, or a path.
        white: stored value that becomes 1.0; `None` is 255 for uint8 and 1 for floating-point images.
    """
    path = data_root(root) / (file if file.endswith(".npz") else f"{file}.npz")
    arrays = read_npz(path)
    for key in ("x_train", "x_test"):
        if arrays[key].ndim == 3:
            arrays[key] = arrays[key][..., None]
    classes = None
    if arrays["y_train"].dtype.kind in "iu":
        for key in ("y_train", "y_test"):
            if arrays[key].dtype.kind in "iu":
                arrays[key] = arrays[key].astype(np.int64)
        classes = 1 + max(int(arrays[key].max(initial=0)) for key in ("y_train", "y_test"))
    if white is None:
        white = 255.0 if arrays["x_train"].dtype == np.uint8 and arrays["x_train"].ndim == 4 else 1.0
    return Dataset(path.stem, **arrays, classes=classes, preprocessing=Preprocessing(white, **keys))


def _named(name: str, root: str | Path | None, white: float = 255.0, **keys: Unpack[Keys]) -> Dataset:
    """A set of the catalogue, which must be what the catalogue says."""
    entry, path = ENTRIES[name], prepare(name, root)
    assert path is not None
    dataset = npz(str(path.absolute()), white=white, **keys)
    found = (dataset.n, len(dataset.y_test), dataset.shape, dataset.classes)
    expected = (entry.n, entry.n_test, entry.shape, entry.classes)
    if found != expected:
        raise ValueError(
            f"{path} holds {found} (training, test, shape, classes), but {name} is {expected}; "
            f"delete it and run `batchlab data prepare {name}`, or use it as dataset=npz under another name"
        )
    return dataset
