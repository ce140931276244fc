"""The text that comes with batchlab: frozen, cut by position without overlap."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files

import numpy as np
import pytest

from batchlab.datasets import sets
from batchlab.datasets.sets.text import ALPHABET, ENTRY, characters, text

SHA256 = "b0827d84a4cb170ad84d63d2119971541eb53953f5273cfadac9a146d67b0c37"


def test_the_same_bytes_everywhere() -> None:
    raw = gzip.decompress((files(sets) / "text.gz").read_bytes())
    assert hashlib.sha256(raw).hexdigest() == SHA256
    assert "".join(ALPHABET[i] for i in characters()) == raw.decode("ascii")


@pytest.mark.parametrize("length", [2, 16, 64, 1000])
def test_cut_by_position_without_overlap(length: int) -> None:
    data, ids = text(length), characters()
    x, y = (np.concatenate([getattr(data, f"{p}_train"), getattr(data, f"{p}_test")]) for p in "xy")
    assert np.array_equal(x[:, 1:], y[:, :-1]), "a label is what follows"
    whole = np.concatenate([x, y[:, -1:]], 1).ravel()
    assert np.array_equal(whole, ids[: len(whole)]), "each character in one sequence, in order"
    assert len(ids) - len(whole) <= length
    assert len(data.y_test) == (data.n + len(data.y_test)) // 10


def test_what_it_declares() -> None:
    data = text()
    assert (ENTRY.n, ENTRY.n_test, ENTRY.shape, ENTRY.classes) == (data.n, len(data.y_test), data.shape, data.classes)
    assert data.vocabulary == data.classes == len(ALPHABET) == 96
    assert ENTRY.located().ready


@pytest.mark.parametrize("length", [1, 31756])
def test_lengths_out_of_range(length: int) -> None:
    with pytest.raises(ValueError, match=f"dataset.length={length}: at least 2"):
        text(length)
