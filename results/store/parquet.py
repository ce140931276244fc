"""Parquet by open files. Arrow takes a path that is a text for a URI (`lr:0.1/x`), or a `~` in it for a home folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


MAGIC = b"PAR1"
"""How a Parquet file begins and ends."""


def looks_whole(path: Path) -> bool:
    """Whether a file begins and ends as Parquet does: neither emptied nor cut. Nothing of it is read but that."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - len(MAGIC)))
            return begins == file.read(len(MAGIC)) == MAGIC and length > 2 * len(MAGIC)
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A file to read from, mapped into memory, until the block ends."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.memory_map(os.fsencode(path)) as source, pq.ParquetFile(source) as file:
        yield file


def read(path: Path) -> pa.Table:
    """The whole of a file."""
    import pyarrow.parquet as pq

    with path.open("rb") as source:
        return pq.read_table(source)


def write(path: Path, table: pa.Table) -> None:
    """Write a table, compressed."""
    import pyarrow.parquet as pq

    with path.open("wb") as target:
        pq.write_table(table, target, compression="zstd")
