"""The reader of a user's own .npz, and of the published sets that are kept as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from batchlab.datasets.dataset import Dataset, Preprocessing
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import data_root, read_npz


class Keys(TypedDict, total=False):
    """What the command line can say about the preprocessing of images, see `Preprocessing`."""

    mean: Sequence[float] | None
    std: Sequence[float] | None
    standardize: bool
    pad: int
    flip: bool
    rotate: float


def npz(
    file: str,
    root: str | Path | None = None,
    white: float | None = None,
    **keys: Unpack[Keys],
) -> Dataset:
    """Any `NAME.npz` with x_train, y_train, x_test, y_test.

    Samples are images (N, H, W, C) or (N, H, W), or features (N, d). Targets are (N,): integers are labels from 0,
    floating-point numbers make a regression.

    Args:
        file: NAME or NAME.npz in the data root, or a path.
        root: the data root; `None` for the usual one.
        white: stored value that becomes 1.0; `None` is 255 for uint8 and 1 for floating-point images.
        **keys: preprocessing of images.

    Raises:
        ValueError: the file is missing or damaged, or what it holds is no data set.
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


def read_images(entry: Entry, root: str | Path | None, white: float = 255.0, **keys: Unpack[Keys]) -> Dataset:
    """A published set of images, made ready if need be.

    Args:
        entry: what the set declares, and must turn out to be.
        root: the data root; `None` for the usual one.
        white: stored value that becomes 1.0.
        **keys: preprocessing.

    Raises:
        ValueError: it cannot be made ready, or its file holds something else.
    """
    path = entry.prepare(root)
    assert path is not None
    dataset = npz(str(path.absolute()), white=white, **keys)
    found = (dataset.n, len(dataset.y_test), dataset.shape, dataset.classes)
    expected = (entry.n, entry.n_test, entry.shape, entry.classes)
    if found != expected:
        raise ValueError(
            f"{path} holds {found} (training, test, shape, classes), but {entry.name} is {expected}; "
            f"delete it and run `batchlab data prepare {entry.name}`, or use it as dataset=npz under another name"
        )
    return dataset
