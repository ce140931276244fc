"""Web pages, from the LIBSVM collection."""

from __future__ import annotations

from pathlib import Path

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.sets.libsvm import read_collected

ENTRY = Entry("w8a", 49_749, 0, (300,), 2, "libsvm", "libsvm/w8a")


def w8a(
    path: str = "libsvm/w8a", test: str | None = None, root: str | Path | None = None, unit_rows: bool = True
) -> Dataset:
    """Web pages (Platt 1998) with binary features, from the LIBSVM collection (Chang, Lin 2011); see `libsvm`."""
    return read_collected(ENTRY, path, test, root, unit_rows)
