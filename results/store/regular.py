"""Opening what may be no file: a pipe that nobody writes, a device without end, a file larger than memory.

Every reader of a store's files opens them by this, and takes the OSError as of any other file that cannot be read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from batchlab.results.store.objects import BYTES

LINES = 2 << 30
"""Bytes of a run's rows as lines; what they become in memory is ten times that."""


def open_file(path: str | Path, *, folder: int | None = None) -> BinaryIO:
    """Open a file for reading, without waiting for anybody.

    Args:
        path: Its name; a link is followed.
        folder: The open folder that the name is relative to; None: the current one.

    Raises:
        OSError: It cannot be opened, or is something else than a file.
    """
    return os.fdopen(_opened(path, folder)[0], "rb")


def content_of(path: str | Path, limit: int = BYTES) -> bytes:
    """All of a file, if it is no larger than the files of a store are.

    Raises:
        OSError: It cannot be read, is something else than a file, or too large.
    """
    descriptor, size = _opened(path, None)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if size > limit:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes", str(path))
        return file.readall()


def _opened(path: str | Path, folder: int | None) -> tuple[int, int]:
    """A descriptor of a file, and its size in bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is something else than a file", str(path))
    return descriptor, found.st_size
