"""A file's digest in the file itself, so that a copy of it alone can still be checked.

    ... batchlab.sha256:<64 hexadecimal digits> ...

Its writer leaves zeros where the digits go, in a place of the format that readers pass over (the metadata of Parquet, a
ZIP's comment); the digest is that of the whole file with those zeros. A file without such a place is of an earlier
version, or of somebody else: nothing is known of it.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

MARK = b"batchlab.sha256:"
BLANK = b"0" * 64
PLACE = MARK + BLANK
"""What a writer leaves for `sign` to fill in."""
TAIL = 1 << 16
"""Bytes at a file's end in which the place is."""


def sign(path: Path) -> None:
    """Fill in the digest of a file that was written with a `PLACE`."""
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = _place(content)
            assert at is not None, f"{path} has no place for its digest"
            made = _digest(content, at)
        file.seek(at)
        file.write(made)  # who replaces a file by this one waits for the disk, once


def whole(content: bytes | memoryview | mmap.mmap) -> bool:
    """Whether a file's content is what was signed; true where nothing was.

    A flip within the mark itself makes the file one of which nothing is known: then the rest is what it was.
    """
    at = _place(content)
    return at is None or bytes(content[at : at + len(BLANK)]) == _digest(content, at)


def signed(content: bytes | memoryview | mmap.mmap) -> bool:
    """Whether a file's content says what it should be."""
    return _place(content) is not None


def _place(content: bytes | memoryview | mmap.mmap) -> int | None:
    start = max(0, len(content) - TAIL)
    found = bytes(content[start:]).rfind(MARK)
    at = start + found + len(MARK)
    return None if found < 0 or at + len(BLANK) > len(content) else at


def _digest(content: bytes | memoryview | mmap.mmap, at: int) -> bytes:
    with memoryview(content) as view:
        made = hashlib.sha256(view[:at])
        made.update(BLANK)
        made.update(view[at + len(BLANK) :])
    return made.hexdigest().encode()
