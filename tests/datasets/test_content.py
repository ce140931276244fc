"""What a data set holds, in short."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from batchlab.datasets import Dataset
from batchlab.datasets.content import digest, near, projections

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(3000, 40)), np.arange(3000) % 3


def made(x: np.ndarray, y: np.ndarray = Y, *, sparse: bool = False) -> Dataset:
    return Dataset("mine", csr_array(x) if sparse else x, y, x[:9], y[:9], 3)


@pytest.mark.parametrize("sparse", [False, True])
def test_any_change_changes_the_digest_and_rounding_no_projection(sparse: bool) -> None:
    before = made(X, sparse=sparse)
    assert digest(before) == digest(made(X.copy(), sparse=sparse))
    rounded, redrawn, turned = X * (1 + 1e-7), RNG.permutation(X), np.roll(Y, 1)
    others = [made(rounded, sparse=sparse), made(redrawn, sparse=sparse), made(X, turned, sparse=sparse)]
    assert len({digest(data) for data in (before, *others)}) == 4
    assert [near(projections(before), projections(data)) for data in others] == [True, False, False]


def test_a_projection_is_a_weighted_mean() -> None:
    x = RNG.normal(size=(70000, 1))
    k = np.arange(70000)
    weights = np.cos(k // 65537) * np.cos(k % 65537)
    expected = (x[:, 0] * weights).sum() / np.abs(x).sum()
    assert projections(Dataset("mine", x, np.arange(70000) % 2, x[:0], Y[:0], 2))[0] == pytest.approx(expected)
