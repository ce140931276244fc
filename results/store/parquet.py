"""Parquet by open files. Arrow takes a path that is a text for a URI (`lr:0.1/x`), or a `~` in it for a home folder.

A file is checked as a whole before anything of it is used, by the digest in its metadata; its pages have checksums of
their own, for other readers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchlab.results.store.digest import PLACE, sign, whole
from batchlab.results.store.regular import open_file

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


MAGIC = b"PAR1"
"""How a Parquet file begins and ends."""
DIGEST_KEY = b"batchlab.digest"
"""Of the metadata."""
SMALL = 16 << 10
"""Bytes of rows below which columns are not compressed: they would be no smaller, and read in three times as long."""


def looks_whole(path: Path) -> bool:
    """Whether a file begins and ends as Parquet does: neither emptied nor cut. Nothing of it is read but that."""
    try:
        with open_file(path) as file:
            begins = file.read(len(MAGIC))
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - len(MAGIC)))
            return begins == file.read(len(MAGIC)) == MAGIC and length > 2 * len(MAGIC)
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A file to read from, mapped into memory, until the block ends.

    Raises:
        ValueError: It is not what was written.
        pyarrow.ArrowException: It is no Parquet.
        OSError: It cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    open_file(path).close()
    with pa.memory_map(os.fsencode(path)) as source:
        buffer = source.read_buffer()
        if not whole(memoryview(buffer)):
            raise ValueError(f"{path} is not what was written: its digest is another")
        with pq.ParquetFile(pa.BufferReader(buffer), page_checksum_verification=True) as file:
            yield file


def read(path: Path) -> pa.Table:
    """The whole of a file.

    Raises:
        As `opened`.
    """
    with opened(path) as file:
        return file.read(use_threads=False)


def write(path: Path, table: pa.Table) -> None:
    """Write a table with checksums, compressed if it is not small."""
    import pyarrow.parquet as pq

    compression = "none" if table.nbytes < SMALL else "zstd"
    with (
        path.open("wb") as target,
        pq.ParquetWriter(target, table.schema, compression=compression, write_page_checksum=True) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata({DIGEST_KEY: PLACE})
    sign(path)
