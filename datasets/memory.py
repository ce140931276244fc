"""How much memory there is, for who must know beforehand whether something fits. Standard library only."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of a container, on Linux."""


def at_hand() -> int:
    """Bytes of memory that this machine has, or lends to this container."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in LIMITS:
        with suppress(OSError, ValueError):  # not there, or `max`
            found.append(int(path.read_text()))
    return min(found)


class TooLargeError(ValueError):
    """There is no memory for it."""


def check_fits(what: str, size: int, way: str) -> None:
    """See that something fits into memory at all.

    Args:
        what: it is, with its verb: `x takes`.
        size: bytes.
        way: what to do where it does not.

    Raises:
        TooLargeError: it does not.
    """
    if size > (most := at_hand()):
        raise TooLargeError(f"{what} {gigabytes(size)} of memory, and here are {gigabytes(most)}: {way}")


def gigabytes(size: int) -> str:
    """Bytes as people say them.

    >>> gigabytes(25_300_000_000), gigabytes(8 * 10**12)
    ('25.3 GB', '8,000 GB')
    """
    return f"{size / 1e9:,.3g} GB" if size < 1e12 else f"{size / 1e9:,.0f} GB"
