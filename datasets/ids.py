"""What is asked of samples that are ids: tokens of a text, categories of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def vocabulary_of(name: str, given: Any, shape: Sequence[int]) -> int | tuple[int, ...]:
    """`vocabulary` as a number, or as one for each column.

    Args:
        name: of the data set.
        given: what it says.
        shape: of the training samples, (N, T).

    Raises:
        ValueError: it is neither, or of other columns.
    """
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        if given < 1:
            raise ValueError(f"{name}: dataset.vocabulary={given}: at least 1 id, or null where samples are no ids")
        return int(given)
    sizes = [given] if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) else list(given)
    if not all(isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0 for size in sizes):
        raise ValueError(
            f"{name}: dataset.vocabulary={given}: how many ids there are, a whole number, or a list of one for each "
            "column, 0 where it holds no ids"
        )
    if len(shape) != 2 or len(sizes) != shape[1]:
        raise ValueError(
            f"{name}: dataset.vocabulary has {len(sizes)} numbers for samples of shape {tuple(shape[1:])}; give one "
            "per column, or one number for all"
        )
    return tuple(int(size) for size in sizes)


def check(where: str, x: NDArray[Any] | csr_array[Any], vocabulary: int | Sequence[int]) -> None:
    """See that samples are ids of a vocabulary.

    Args:
        where: which samples they are, in messages.
        x: (N, T).
        vocabulary: one number, or T, 0 for a column that holds no ids.

    Raises:
        ValueError: naming what is wrong.
    """
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        raise ValueError(f"{where} has shape {x.shape}; ids (dataset.vocabulary) are a dense (N, T)")
    if x.dtype != np.int64:
        raise ValueError(f"{where} has type {x.dtype}; ids (dataset.vocabulary) are int64")
    sizes = np.broadcast_to(np.asarray(vocabulary), x.shape[1:])
    outside = np.flatnonzero(((x < 0) | (x >= sizes)).any(0) & (sizes > 0))
    if outside.size:
        column = int(outside[0])
        ids, last = x[:, column], int(sizes[column]) - 1
        raise ValueError(
            f"{where} has ids {ids.min()} to {ids.max()} in column {column}; by dataset.vocabulary they are 0 to {last}"
        )


def one_hot(y: NDArray[Any]) -> bool:
    """Whether integers (N, C) are labels written as a single 1 in a row of zeros."""
    return bool(y.ndim == 2 and y.size and y.min() == 0 and y.max() == 1 and (y.sum(1) == 1).all())
