"""The reader of a torch Dataset of one's own, torchvision's for example: read once, into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.files import first_line
from batchlab.datasets.pictures import CHANNELS, pixels
from batchlab.datasets.sets.npz import Keys, assembled
from batchlab.datasets.shares import apart

if TYPE_CHECKING:
    from torch.utils.data import Dataset as Samples

MADE = ("data", "test_data")
"""Arguments that a configuration names by a path, or by a block of `_target_` and arguments."""


def torch_dataset(
    data: Samples[Any],
    test_data: Samples[Any] | None = None,
    test: float = 0.2,
    test_seed: int = 0,
    white: float | None = None,
    vocabulary: int | Sequence[int] | None = None,
    **keys: Unpack[Keys],
) -> Dataset:
    """Any map-style `torch.utils.data.Dataset` whose samples are pairs (x, y).

    x is a picture of Pillow's; a tensor, (C, H, W) or (H, W) for an image, (d,) for features; or an array, where
    images may also be (H, W, C). y is a whole number, a label from 0, or floating-point numbers to regress.

    Args:
        data: for training.
        test_data: for testing; without one a share of `data` is.
        test: that share, of each class alike.
        test_seed: chooses other samples.
        white: stored value that becomes 1.0; `None` is 255 for uint8 and 1 for floating-point images.
        vocabulary: how many ids there are, where samples are ids (tokens, categories), see `Dataset`.
        **keys: preprocessing; `standardize` of features too.

    Raises:
        ValueError: no length, samples of another kind or of several shapes, or other values every time.
    """
    x, y = _read("data", data)
    arrays = {"x_train": x, "y_train": y}
    if test_data is None:
        labels = y.astype(np.int64) if y.dtype.kind in "iu" else y
        chosen = apart(labels, test, test_seed)
        arrays = {"x_train": x[~chosen], "y_train": y[~chosen], "x_test": x[chosen], "y_test": y[chosen]}
    else:
        arrays["x_test"], arrays["y_test"] = _read("test_data", test_data)
    name = type(data).__name__
    dataset = assembled(name, arrays, white, vocabulary, **keys)
    size = sum(array.nbytes for array in arrays.values()) / 1e6
    shape = " x ".join(map(str, dataset.shape))
    note = f"{name}: {dataset.n:,} samples for training, {len(dataset.y_test):,} for testing, {shape}, read into memory"
    return replace(dataset, notes=(f"{note}: {size:,.1f} MB",))


def _read(key: str, data: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """All samples, (N, ...), and their targets, (N, ...).

    Args:
        key: which says where they are from.
        data: map-style.

    Raises:
        ValueError: naming the first sample that does not fit.
    """
    kind = type(data).__name__
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise ValueError(
            f"dataset.{key}: {kind} has no length, or no samples by their numbers: it is read whole, into memory, and "
            "that takes a map-style Dataset, with __len__ and __getitem__"
        )
    n = len(data)
    if not n:
        raise ValueError(f"dataset.{key}: {kind} has no samples")
    first = _sample(key, data, 0)
    again = _sample(key, data, 0)
    if not all(np.array_equal(one, other) for one, other in zip(first, again, strict=True)):
        raise ValueError(
            f"dataset.{key}: sample 0 of {kind} is another every time, and is read once: leave random transforms out; "
            "dataset.pad, flip and rotate draw anew at every epoch"
        )
    x = np.empty((n, *first[0].shape), first[0].dtype)
    y = np.empty((n, *first[1].shape), first[1].dtype)
    for i in range(n):
        for part, found, whole in zip(("x", "y"), first if i == 0 else _sample(key, data, i), (x, y), strict=True):
            if found.shape != whole.shape[1:]:
                raise ValueError(
                    f"dataset.{key}: {part} of sample {i} has shape {found.shape}, that of sample 0 {whole.shape[1:]}: "
                    "all are to be of one shape"
                )
            if found.dtype != whole.dtype:
                raise ValueError(
                    f"dataset.{key}: {part} of sample {i} is of type {found.dtype}, that of sample 0 {whole.dtype}"
                )
            whole[i] = found
    return x, y


def _sample(key: str, data: Any, i: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(x, y) of a sample as arrays."""
    try:
        sample = data[i]
    except Exception as error:  # whatever a class of the user's own does
        kind = type(data).__name__
        raise ValueError(
            f"dataset.{key}: sample {i} of {kind} cannot be read: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(sample, (tuple, list)) or len(sample) != 2:
        several = f" of {len(sample)}" if isinstance(sample, (tuple, list, dict)) else ""
        raise ValueError(
            f"dataset.{key}: sample {i} is a {type(sample).__name__}{several} where a pair (x, y) is needed: let "
            "__getitem__ return one"
        )
    where = f"dataset.{key}: x of sample {i}"
    return _input(sample[0], where), _numbers(sample[1], f"dataset.{key}: y of sample {i}")


def _input(value: Any, where: str) -> NDArray[Any]:
    """A sample as (d,), or as an image (H, W, C)."""
    from PIL.Image import Image

    if isinstance(value, Image):
        return pixels(value, where, None, None)
    array = _numbers(value, where)
    if array.ndim == 0:
        return array[None]
    if array.ndim == 2:
        return array[..., None]
    if array.ndim == 3:
        last = isinstance(value, np.ndarray) and array.shape[2] in CHANNELS
        if not last and array.shape[0] not in CHANNELS:
            raise ValueError(f"{where} has shape {array.shape}; an image is a tensor (C, H, W), with 1 to 4 channels")
        return array if last else np.ascontiguousarray(array.transpose(1, 2, 0))
    if array.ndim > 3:
        raise ValueError(f"{where} has shape {array.shape}; images are (C, H, W), features (d,)")
    return array


def _numbers(value: Any, where: str) -> NDArray[Any]:
    from torch import Tensor

    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where} is a {type(value).__name__}, which is no number, array, tensor or picture")
    return array
