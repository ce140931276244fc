"""A share of the training split set apart for validation: what a choice is made on, so that the test split judges only.

Which samples those are is a function of their indices, their classes and `split_seed`, and of nothing else: the same in
every run, on every machine, whatever the run's seed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def with_validation(dataset: Dataset, share: float, split_seed: int = 0) -> Dataset:
    """The data set with a share of its training split set apart.

    Of the n samples of a class, those with the floor(share n + 1/2) least `hashes` are for validation; a regression, or
    samples with several labels, are one class. Both splits keep the stored order. A larger share contains a smaller
    one of the same `split_seed`.

    Args:
        dataset: without a validation split.
        share: of the samples of each class, in (0, 1).
        split_seed: chooses another split.

    Returns:
        The same, with the rest as `x_train` and `y_train`, and with `x_validation` and `y_validation`.

    Raises:
        ValueError: a value out of range, a class that would have no sample in one of the splits, or a data set that has
            a validation split already.

    Example:
        >>> x, y = np.arange(8.0)[:, None], np.arange(8) % 2
        >>> halves = with_validation(Dataset("eight", x, y, x, y, classes=2), 0.5)
        >>> halves.y_train.tolist(), halves.y_validation.tolist()
        ([0, 1, 1, 0], [0, 0, 1, 1])
    """
    check(share, split_seed)
    if dataset.y_validation is not None:
        raise ValueError(f"{dataset.name} has a validation split of its own: leave dataset.validation out")
    chosen = _chosen(dataset, share, split_seed)
    rest, apart = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    return replace(
        dataset,
        x_train=dataset.x_train[rest],
        y_train=dataset.y_train[rest],
        x_validation=dataset.x_train[apart],
        y_validation=dataset.y_train[apart],
    )


def check(share: float, split_seed: int = 0) -> None:
    """See that the two numbers can mean a split.

    Raises:
        ValueError: a value out of range.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(
            f"dataset.validation={share}: the share of the training split that is set apart, between 0 and 1 "
            "(0.1 for a tenth); 0 or null for none"
        )
    if type(split_seed) is not int or not 0 <= split_seed < 2**64:
        raise ValueError(f"dataset.split_seed={split_seed}: a whole number, 0 or more, below 2^64")


def hashes(n: int, split_seed: int) -> NDArray[np.uint64]:
    """(n,) distinct numbers that order the samples at random: mix(i + mix(split_seed)) for sample i.

    mix is the output function of SplitMix64 (Steele, Lea, Flood 2014), a permutation of the 64-bit numbers.
    """
    index: NDArray[np.uint64] = np.arange(n, dtype=np.uint64)
    return _mix(index + _mix(np.array([split_seed], dtype=np.uint64)))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _chosen(dataset: Dataset, share: float, split_seed: int) -> NDArray[np.bool_]:
    """(n,) whether each training sample is set apart."""
    every = np.zeros(dataset.n, np.int64) if _unlabelled(dataset) else dataset.y_train
    names, labels, counts = np.unique(every, return_inverse=True, return_counts=True)  # a label may be 10^9
    taken = np.floor(share * counts + 0.5).astype(np.int64)
    _check_counts(dataset, share, names, counts, taken)
    return drawn(labels, taken, split_seed)


def drawn(labels: NDArray[np.int64], taken: NDArray[np.int64], split_seed: int) -> NDArray[np.bool_]:
    """(n,) whether each sample is among the `taken[label]` of its class that have the least `hashes`."""
    counts = np.bincount(labels)
    order = np.lexsort((hashes(len(labels), split_seed), labels))  # class by class, in the order of the hashes
    starts = np.cumsum(counts) - counts
    places = np.arange(len(labels)) - starts[labels[order]]
    apart: NDArray[np.bool_] = np.zeros(len(labels), bool)
    apart[order] = places < taken[labels[order]]
    return apart


def _unlabelled(dataset: Dataset) -> bool:
    """Whether samples have no class of their own: numbers to regress, or a label at each of several places."""
    return dataset.classes is None or bool(dataset.target_shape)


def _check_counts(
    dataset: Dataset, share: float, names: NDArray[np.int64], counts: NDArray[np.int64], taken: NDArray[np.int64]
) -> None:
    """ValueError unless every class that occurs has samples in both splits."""
    empty = np.flatnonzero((taken == 0) | (taken == counts))
    if not empty.size:
        return
    worst = empty[counts[empty].argmin()]
    n, k = int(counts[worst]), int(taken[worst])
    what = "the training split" if _unlabelled(dataset) else f"class {names[worst]}"
    if n == 1:
        raise ValueError(
            f"{dataset.name}: {what} has one sample, which cannot be in two splits: leave dataset.validation out, or "
            "leave that class out of the data"
        )
    way_out = f"choose at least {1 / n:.3g}" if k == 0 else f"choose at most {(n - 1) / n:.6g}"
    raise ValueError(
        f"{dataset.name}: dataset.validation={share:g} leaves {what}, of {n} samples, with {k} for validation and "
        f"{n - k} for training; {way_out}"
    )
