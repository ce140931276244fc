"""Adult, from the LIBSVM collection."""

from __future__ import annotations

from pathlib import Path

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.sets.libsvm import read_collected

ENTRY = Entry("a9a", 32_561, 16_281, (123,), 2, "libsvm", "libsvm/a9a")


def a9a(
    path: str = "libsvm/a9a", test: str | None = "libsvm/a9a.t", root: str | Path | None = None, unit_rows: bool = True
) -> Dataset:
    """Adult (Kohavi 1996) with binary features, from the LIBSVM collection (Chang, Lin 2011); see `libsvm`."""
    return read_collected(ENTRY, path, test, root, unit_rows)
