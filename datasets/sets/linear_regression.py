"""The synthetic regression of VRGD's toy experiment."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.memory import check_fits

ENTRY = Entry("linear_regression", 204_800, 2_048, (10,), None, "generated")


def linear_regression(
    samples: int = 204_800,
    test_samples: int = 2_048,
    features: int = 10,
    noise: float = 0.0,
    data_seed: int = 0,
    root: str | Path | None = None,
) -> Dataset:
    """The toy of VRGD: y = w* . x with w* = (1, 2, ..., d) and no intercept; start from w = 0.

    The paper does not give the inputs' distribution: uniform on [0, 1]^d is OUR assumption. So is the number
    of samples, 100 batches of 2,048 by default, so that its 100 steps see each sample once.

    Args:
        samples: rows of the training split.
        test_samples: rows of the test split.
        features: d.
        noise: standard deviation of Gaussian noise on the targets.
        data_seed: of the samples; not the run's seed, so that runs with different seeds share their data.
        root: not used; all readers take it.

    Raises:
        ValueError: a value is out of range.
    """
    for key, value, least in (
        ("samples", samples, 1),
        ("test_samples", test_samples, 0),
        ("features", features, 1),
        ("data_seed", data_seed, 0),
    ):
        if value < least:
            raise ValueError(f"dataset.{key}={value}: at least {least}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"dataset.noise={noise}: a standard deviation is 0 or more, and finite")
    size = 8 * (samples + test_samples) * (features + 1)
    check_fits("dataset.samples times dataset.features takes", size, "lower one of them")
    rng = np.random.default_rng(data_seed)
    x = rng.random((samples + test_samples, features))
    y = x @ np.arange(1.0, features + 1) + noise * rng.standard_normal(len(x))
    return Dataset("linear_regression", x[:samples], y[:samples], x[samples:], y[samples:], None)
