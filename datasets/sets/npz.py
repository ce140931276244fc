"""The reader of a user's own .npz, and of the published sets that are kept as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset, Preprocessing, span
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import KEYS, Arrays, own_path, read_npz
from batchlab.datasets.names import text

MANY = 1000
"""More classes than that are looked at twice."""
FAR = 30.0
"""One scale is not another's by so much: bytes beside shares are 255 times as large, stretched features a few times."""


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
    vocabulary: int | Sequence[int] | None = None,
    **keys: Unpack[Keys],
) -> Dataset:
    """Any `NAME.npz` with x_train, y_train, x_test, y_test.

    Samples are images (N, H, W, C) or (N, H, W), or features (N, d), or with `vocabulary` ids (N, T). Targets are (N,)
    or of any shape (N, ...): integers are labels from 0, floating-point numbers make a regression.

    Args:
        file: NAME or NAME.npz in the current folder or the data root, or a path.
        root: the data root; `None` for the usual one.
        white: stored value that becomes 1.0; `None` is 255 for uint8 and 1 for floating-point images.
        vocabulary: how many ids there are, where samples are ids (tokens, categories): see `Dataset`.
        **keys: preprocessing of images.

    Raises:
        ValueError: the file is missing or damaged, or what it holds is no data set.
    """
    file = text("file", file)
    path = own_path(file if file.endswith(".npz") else f"{file}.npz", root, "file")
    return assembled(path.stem, read_npz(path), white, vocabulary, **keys)


def assembled(
    name: str,
    arrays: Arrays,
    white: float | None = None,
    vocabulary: int | Sequence[int] | None = None,
    **keys: Unpack[Keys],
) -> Dataset:
    """The data set of arrays as they come, which `npz` describes; doubtful ones are warned of.

    Args:
        name: as tables show it.
        arrays: x_train, y_train, x_test, y_test.
        white: stored value that becomes 1.0; `None` as in `npz`.
        vocabulary: as in `npz`.
        **keys: preprocessing of images.

    Raises:
        ValueError: what they hold is no data set.
    """
    arrays = {key: _native(array) for key, array in arrays.items()}
    for key in ("x_train", "x_test"):
        if vocabulary is not None and arrays[key].dtype.kind in "iu":
            arrays[key] = arrays[key].astype(np.int64)
        if arrays[key].ndim == 3:
            arrays[key] = arrays[key][..., None]
    for key in ("x", "y"):
        if arrays[f"{key}_test"].size == 0:  # NumPy's own type for nothing, where nothing else was said
            arrays[f"{key}_test"] = arrays[f"{key}_test"].astype(arrays[f"{key}_train"].dtype)
    classes = classes_of(name, arrays)
    if white is None:
        white = 255.0 if arrays["x_train"].dtype == np.uint8 and arrays["x_train"].ndim == 4 else 1.0
        _look_at_scale(arrays)
    x_train, y_train, x_test, y_test = (arrays[key] for key in KEYS)
    images = Preprocessing(white, **keys)
    dataset = Dataset(name, x_train, y_train, x_test, y_test, classes, images, vocabulary=vocabulary)
    _compare_scales(dataset)
    _look_at_test(dataset)
    return dataset


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as this machine and torch keep them: their order of bytes, and no more than float64."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(np.float64) if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array


def _check_targets(what: str, targets: np.ndarray) -> None:
    """ValueError for targets that are no numbers, or whole numbers beyond int64."""
    if targets.dtype.kind not in "biuf":
        raise ValueError(f"{what} has type {targets.dtype}: number the classes 0, 1, ..., or give values to regress")
    if targets.dtype == np.uint64 and targets.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{what} goes up to {targets.max()}: number the classes 0, 1, ...")


def classes_of(name: str, arrays: Arrays) -> int | None:
    """How many classes whole numbers label, which become int64; None of a regression.

    Raises:
        ValueError: labels of one split and targets of the other, or labels that number something else than classes.
    """
    for key in ("y_train", "y_test"):
        _check_targets(f"{name}: {key}", arrays[key])
    train, test = arrays["y_train"], arrays["y_test"]
    kinds = train.dtype.kind, test.dtype.kind
    if "f" in kinds and {*kinds} & {"i", "u"}:
        raise ValueError(
            f"{name}: y_train has type {train.dtype}, y_test has type {test.dtype}: labels are whole numbers in both "
            "splits, targets of a regression floating-point numbers in both"
        )
    if kinds[0] == "f" and train.size and np.array_equal(train, np.round(train)) and np.ptp(train) < MANY:
        warnings.warn(
            f"{name}: y_train holds whole numbers as {train.dtype}, which makes a regression: store labels as int64",
            stacklevel=3,
        )
    if train.dtype.kind not in "iu":
        return None
    for key in ("y_train", "y_test"):
        if arrays[key].dtype.kind in "iu":
            arrays[key] = arrays[key].astype(np.int64)
    classes = 1 + max(int(arrays[key].max(initial=0)) for key in ("y_train", "y_test"))
    if classes > MANY and classes > len(train) + len(test):
        raise ValueError(
            f"{name}: labels go up to {classes - 1} over {len(train) + len(test)} samples: number the classes 0, 1, ..."
        )
    if train.size and train.min() == 1 and classes > 2:
        warnings.warn(f"{name}: no sample has label 0: labels are counted from 0", stacklevel=3)
    return classes


def _look_at_scale(arrays: Arrays) -> None:
    """Warn of images in floating-point numbers that look like bytes."""
    x = arrays["x_train"]
    if x.ndim == 4 and x.dtype.kind == "f" and x.size and x.min() >= 0 and FAR < x.max() <= 255:
        warnings.warn(
            f"x_train holds {span(x)}: set dataset.white=255 if that is white, or dataset.white=1.0 if 1 is",
            stacklevel=3,
        )


def _compare_scales(dataset: Dataset) -> None:
    """Warn where one split is far darker than the other: a test set that was saved later, on another scale."""
    x, test = dataset.x_train, dataset.x_test
    assert isinstance(x, np.ndarray)
    assert isinstance(test, np.ndarray)
    if not dataset.is_image:  # features may have what lies far out
        return
    tops = [float(np.abs(part.astype(np.float64, copy=False)).max(initial=0)) for part in (x, test)]
    if min(tops) > 0 and max(tops) > FAR * min(tops):
        warnings.warn(
            f"{dataset.name}: x_train holds {span(x)}, x_test {span(test)}: are both on one scale?", stacklevel=3
        )


def _look_at_test(dataset: Dataset) -> None:
    """Warn of a test split that measures nothing, or measures what nobody can have learned."""
    if not len(dataset.y_test):
        warnings.warn(f"{dataset.name}: x_test has no samples: nothing is measured on a test split", stacklevel=3)
    if dataset.classes is None:
        return
    unknown = np.setdiff1d(dataset.y_test, dataset.y_train)
    if unknown.size:
        share = float(np.isin(dataset.y_test, unknown).mean())
        more = f" and {unknown.size - 1} more" if unknown.size > 1 else ""
        warnings.warn(
            f"{dataset.name}: y_test has label {unknown[0]}{more}, {100 * share:.3g} % of its samples, which y_train "
            "does not have: no model can learn it",
            stacklevel=3,
        )


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
