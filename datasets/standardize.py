"""Features on one scale, by what the training split says: the validation and the test split have no say in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset, Features

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def standardized(dataset: Dataset) -> Dataset:
    """The data set with the features that its `preprocessing.standardize` asks for.

    Of each feature, with mean m and standard deviation s over the n samples of the training split (s^2 = 1/n sum
    (x - m)^2), all splits get (x - m) / s; one that is constant there becomes 0 in it. Sparse features are divided by s
    and not shifted, so that their zeros stay zeros; a constant one stays as it is.

    Args:
        dataset: after `with_validation`, which takes samples out of the training split.

    Raises:
        ValueError: it asks for it of ids.

    Returns:
        Features as float64. Images, and data sets that do not ask, as they are.

    Example:
        >>> from batchlab.datasets import Preprocessing
        >>> x, y = np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([0, 1])
        >>> standardized(Dataset("two", x, y, x[:1], y[:1], 2, Preprocessing(standardize=True))).x_train.tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    if dataset.is_image or not dataset.preprocessing.standardize:
        return dataset
    if dataset.vocabulary is not None:
        raise ValueError(f"{dataset.name}: dataset.standardize=true is for numbers, and its samples are ids")
    x = dataset.x_train
    scaled = _dense(x) if isinstance(x, np.ndarray) else _sparse(x)
    return replace(
        dataset,
        x_train=scaled(x),
        x_test=scaled(dataset.x_test),
        x_validation=None if dataset.x_validation is None else scaled(dataset.x_validation),
        preprocessing=replace(dataset.preprocessing, standardize=False),
    )


def _dense(x: NDArray[Any]) -> Any:
    constant = x.max(0) == x.min(0)  # its standard deviation need not come out as 0
    x = x.astype(np.float64, copy=False)
    mean = np.where(constant, x[0], x.mean(0))
    std = np.where(constant, 1.0, x.std(0))
    return lambda part: (part.astype(np.float64, copy=False) - mean) / std


def _sparse(x: csr_array[Any]) -> Any:
    n = x.shape[0]
    x = x.copy()
    x.sum_duplicates()
    columns, values = x.indices, x.data.astype(np.float64)
    filled = np.bincount(columns, minlength=x.shape[1])
    mean = np.bincount(columns, values, x.shape[1]) / n
    squares = np.bincount(columns, (values - mean[columns]) ** 2, x.shape[1]) + (n - filled) * mean**2
    least, most = x.min(0).toarray(), x.max(0).toarray()
    std = np.where(least == most, 1.0, np.sqrt(squares / n))

    def scaled(part: Features) -> Features:
        assert not isinstance(part, np.ndarray)
        made = part.astype(np.float64)
        made.sum_duplicates()
        made.data = made.data / std[made.indices]
        return made

    return scaled
