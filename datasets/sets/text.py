"""A text that comes with batchlab, as sequences of characters.

`text.gz` is batchlab's own documentation of November 2026, under its own licence (Apache-2.0): the pages, the licence's
text, and what the code says of itself, one after the other in an order that means nothing, without listings, tables and
displayed formulas. It is frozen: it does not change with the documentation, and a test holds its SHA-256.
"""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
"""Character of each id: a line's end, then the printable ones of ASCII."""
TEST = 10
"""The last sequences are for testing, one in so many."""
ENTRY = Entry("text", 4397, 488, (64,), len(ALPHABET), "packaged")


def text(length: int = 64, root: str | Path | None = None) -> Dataset:
    """317,567 characters of technical English; to each character of a sequence the one that follows is its label.

    Cut by position into sequences of `length` + 1 characters, so that no character is in two of them; the first nine
    tenths are for training, the last tenth, other pages, for testing.

    Args:
        length: characters of an input, T.
        root: not used; all readers take it.

    Returns:
        Ids (N, T) of a vocabulary of 96, and labels (N, T), the ids one place later.

    Raises:
        ValueError: `length` is out of range.
    """
    ids = characters()
    most = len(ids) // TEST - 1
    if not 2 <= length <= most:
        raise ValueError(f"dataset.length={length}: at least 2 and at most {most}, so that ten sequences are left")
    sequences = ids[: len(ids) // (length + 1) * (length + 1)].reshape(-1, length + 1)
    test = len(sequences) // TEST
    parts = sequences[:-test], sequences[-test:]
    (x_train, y_train), (x_test, y_test) = ((part[:, :-1], part[:, 1:]) for part in parts)
    vocabulary = len(ALPHABET)
    return Dataset("text", x_train, y_train, x_test, y_test, vocabulary, vocabulary=vocabulary)


def characters() -> NDArray[np.int64]:
    """The whole text as ids."""
    raw = np.frombuffer(gzip.decompress((files(__package__) / "text.gz").read_bytes()), np.uint8)
    table = np.full(256, -1, np.int64)
    table[np.frombuffer(ALPHABET.encode("ascii"), np.uint8)] = np.arange(len(ALPHABET))
    return table[raw]
