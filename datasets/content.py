"""What a data set holds, in short: whether it is the same, and whether it is nearly the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset, Features

BLOCK = 65537
NEAR = 1e-5
"""Another number of threads changes the last bits of what a reader computes; another draw changes far more."""


def digest(dataset: Dataset) -> str:
    """A hash of all values of all splits, 24 hexadecimal digits."""
    made = hashlib.blake2b(repr((dataset.classes, dataset.vocabulary)).encode(), digest_size=12)
    for array in _arrays(dataset):
        made.update(f"{array.dtype.str} {array.shape}".encode())
        made.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return made.hexdigest()


def projections(dataset: Dataset) -> list[float]:
    """A weighted mean of each array's values, by the sum of their sizes: in [-1, 1], and another in another order."""
    return [_projection(array) for array in _arrays(dataset)]


def near(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two data sets with these projections differ in no more than rounding."""
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=0, atol=NEAR))


def _projection(array: NDArray[np.generic]) -> float:
    flat, weights = np.ascontiguousarray(array).reshape(-1), np.cos(np.arange(BLOCK))
    total = size = 0.0
    for number, start in enumerate(range(0, flat.size, BLOCK)):
        block = flat[start : start + BLOCK].astype(np.float64)
        total += float(np.cos(number) * (block @ weights[: block.size]))
        size += float(np.abs(block).sum())
    return total / size if size else 0.0


def _arrays(dataset: Dataset) -> Iterator[NDArray[np.generic]]:
    for part in dataset.splits:
        x, y = dataset.split(part)
        yield from _dense(x)
        yield y


def _dense(x: Features) -> list[NDArray[np.generic]]:
    return [x] if isinstance(x, np.ndarray) else [x.data, x.indices, x.indptr]
