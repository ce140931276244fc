"""A fixed part of the training or the test split: a smaller task that is the same in every run, on every machine.

Which samples those are is a function of their indices, their classes and how many are asked for, and of nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.validation import drawn

SEED = 0x5B5E7
"""Of the hashes that order the samples: no validation split's default, or it would be cut from the first of them."""


def with_subset(dataset: Dataset, train: int | None = None, test: int | None = None) -> Dataset:
    """The data set with so many of its training and of its test samples, each class in its proportion.

    Of a class those with the least hashes of their index (`validation.hashes`) are taken; a regression, or samples
    with several labels, are one class. How many of each: its share of what is asked for, rounded down, and one more
    where most was lost by that. Splits keep the stored order.

    Args:
        dataset: without a validation split of batchlab's, which is taken out of the subset.
        train: samples of the training split to keep; `None` keeps all.
        test: samples of the test split to keep; `None` keeps all.

    Returns:
        The same with the smaller splits, and a note that says so.

    Raises:
        ValueError: as of `check`; more than there are, or so few that a class has none.

    Example:
        >>> x, y = np.arange(8.0)[:, None], np.arange(8) % 2
        >>> half = with_subset(Dataset("eight", x, y, x, y, classes=2), train=4)
        >>> np.bincount(half.y_train).tolist(), len(half.y_test)
        ([2, 2], 8)
    """
    check(train, "subset")
    check(test, "test_subset")
    said = []
    changes: dict[str, Any] = {}
    for split, asked, key in (("train", train, "subset"), ("test", test, "test_subset")):
        if asked is None:
            continue
        x, y = (getattr(dataset, f"{axis}_{split}") for axis in "xy")
        kept = np.flatnonzero(_chosen(dataset, y, asked, key))
        changes |= {f"x_{split}": x[kept], f"y_{split}": y[kept]}
        said.append(f"{asked:,} of {len(y):,} samples for {split}ing (dataset.{key})")
    if not said:
        return dataset
    return replace(dataset, **changes, notes=(*dataset.notes, f"{dataset.name}: {', '.join(said)}"))


def check(samples: object, key: str) -> None:
    """See that a value can mean a subset.

    Raises:
        ValueError: it is not a positive whole number, nor None.
    """
    if samples is not None and (type(samples) is not int or samples < 1):
        text = ", not a text" if isinstance(samples, str) else ""
        said = f"how many samples are kept, a whole number from 1{text}; null keeps all"
        raise ValueError(f"dataset.{key}={samples!r}: {said}")


def _chosen(dataset: Dataset, y: NDArray[Any], asked: int, key: str) -> NDArray[np.bool_]:
    """(n,) whether each sample is kept."""
    if asked > len(y):
        raise ValueError(f"{dataset.name}: dataset.{key}={asked} of {len(y)} samples; null keeps all")
    every = np.zeros(len(y), np.int64) if dataset.classes is None or dataset.target_shape else y
    names, labels, counts = np.unique(every, return_inverse=True, return_counts=True)
    taken = shared(counts, asked)
    if not taken.all():
        label = names[taken.argmin()]
        raise ValueError(
            f"{dataset.name}: dataset.{key}={asked} leaves class {label}, of {counts[taken.argmin()]} samples, with "
            f"none; choose more, or null for all {len(y)}"
        )
    return drawn(labels, taken, SEED)


def shared(counts: NDArray[np.int64], asked: int) -> NDArray[np.int64]:
    """(classes,) how many of each class make up `asked`, by largest remainder; of equal ones the first classes.

    >>> shared(np.array([5, 3, 2]), 4).tolist()
    [2, 1, 1]
    """
    whole, rest = np.divmod(counts.astype(np.int64) * asked, int(counts.sum()))
    whole[np.argsort(-rest, kind="stable")[: asked - int(whole.sum())]] += 1
    found: NDArray[np.int64] = whole
    return found
