"""A synthetic click log: counts and categories as in advertising, clicks from a planted model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry

COUNTS = 13
TABLES = (2000, 1000, 500, 200, 100, 50, 20, 10)
"""How many categories each of the other columns has."""
LATENT = 4
ENTRY = Entry("clicks", 32_768, 8_192, (COUNTS + len(TABLES),), 2, "generated")


def clicks(
    samples: int = 32_768, test_samples: int = 8_192, data_seed: int = 0, root: str | Path | None = None
) -> Dataset:
    """Whether an advertisement is clicked: 13 counts and 8 categories, 30 % are clicks. All of it is OURS.

    It has the form of the public click logs, not their numbers. See `draw` for the planted model, which no other can
    beat but by chance: on the 8,192 test samples of `data_seed` 0 its own AUC is 0.836 and its cross entropy 0.443
    (0.609 is that of the share of clicks).

    Args:
        samples: rows of the training split.
        test_samples: rows of the test split.
        data_seed: of samples and planted model; not the run's seed, so that runs with different seeds share their data.
        root: not used; all readers take it.

    Returns:
        Whole numbers (N, 21), the counts first, then ids of the categories; labels (N,), 1 is a click.

    Raises:
        ValueError: a value is out of range.
    """
    for key, value, least in (("samples", samples, 1), ("test_samples", test_samples, 0), ("data_seed", data_seed, 0)):
        if value < least:
            raise ValueError(f"dataset.{key}={value}: at least {least}")
    x, y, _ = draw(samples + test_samples, data_seed)
    vocabulary = (0,) * COUNTS + TABLES
    return Dataset("clicks", x[:samples], y[:samples], x[samples:], y[samples:], 2, vocabulary=vocabulary)


def draw(n: int, data_seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """The log, and what nobody sees of a real one.

    Counts are floor(exp(z)), z normal with a mean and a spread of each column; the id k of a category has a probability
    in proportion to 1 / (k + 1). A click has the odds exp(s), where s is linear in log(1 + count), plus an effect of
    each category, plus the inner products of four latent numbers that categories of neighbouring columns have.

    Args:
        n: rows.
        data_seed: of everything.

    Returns:
        (n, 21) counts and ids, (n,) labels, and (n,) the probabilities that these were drawn by.
    """
    rng = np.random.default_rng(data_seed)
    mean, spread = rng.uniform(0, 3, COUNTS), rng.uniform(0.5, 1.5, COUNTS)
    slopes = rng.normal(size=COUNTS) / np.sqrt(COUNTS)
    effects = [0.6 * rng.normal(size=size) for size in TABLES]
    latent = [0.7 * rng.normal(size=(size, LATENT)) / np.sqrt(LATENT) for size in TABLES]
    z = mean + spread * rng.normal(size=(n, COUNTS))
    ids = np.stack([zipf(size, rng.random(n)) for size in TABLES], 1)
    counts = np.floor(np.exp(z)).astype(np.int64)
    score = (np.log1p(counts) - mean) @ slopes - 2.0
    for column, effect in enumerate(effects):
        score += effect[ids[:, column]]
    hidden = [table[ids[:, column]] for column, table in enumerate(latent)]
    for one, other in pairwise(hidden):
        score += (one * other).sum(1)
    p = 1 / (1 + np.exp(-score))
    return np.concatenate([counts, ids], 1), (rng.random(n) < p).astype(np.int64), p


def zipf(size: int, u: NDArray[Any]) -> NDArray[np.int64]:
    """Ids below `size` with probabilities in proportion to 1 / (id + 1), from uniform numbers u in [0, 1)."""
    weights = np.cumsum(1 / np.arange(1, size + 1))
    return np.searchsorted(weights / weights[-1], u, side="right").astype(np.int64)
