"""A share of the samples as the test split, of data that come without one: the same in every run, on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.validation import drawn

MANY = 1000
"""So many classes there may be of fewer samples."""
LAST = 2**64 - 1
"""Seeds are counted down from here, so that no validation split draws the same numbers."""


def apart(y: NDArray[Any], share: float, seed: int = 0) -> NDArray[np.bool_]:
    """(n,) whether each sample is for testing.

    Of the n samples of a class floor(share n + 1/2) are, never all of them, drawn by `seed`; targets of another kind
    are one class.

    Args:
        y: (n,) labels, int64 from 0; or (n, ...) of any type.
        share: in [0, 1); 0 for none.
        seed: chooses another split.

    Raises:
        ValueError: a value out of range, or one that leaves no sample for testing.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ValueError(f"dataset.test={share}: the share of the samples for testing, at least 0 (none) and below 1")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"dataset.test_seed={seed}: a whole number, 0 or more, below 2^63")
    numbered = y.dtype == np.int64 and y.ndim == 1 and len(y) and y.min() >= 0 and y.max() < max(MANY, len(y))
    labels = y if numbered else np.zeros(len(y), np.int64)  # what numbers no classes is refused later, and better
    counts = np.bincount(labels)
    taken = np.minimum(np.floor(share * counts + 0.5).astype(np.int64), np.maximum(counts - 1, 0))
    if share and len(y) and not taken.any():
        most = int(counts.max())
        of = f"of {most}" if (counts > 0).sum() == 1 else f"of classes of at most {most}"
        raising = f"choose at least {0.5 / most:.3g}, or " if most > 1 else ""
        said = f"dataset.test={share:g} {of} samples leaves none for testing"
        raise ValueError(f"{said}: {raising}dataset.test=0 for none")
    return drawn(labels, taken, LAST - seed)
