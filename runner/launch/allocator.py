"""How a run's process asks the operating system for memory.

glibc gives tensors of more than 32 MiB back to the system as soon as they are freed, and smaller ones at the end of its
heap; a training step asks for them again, and the system hands out every page anew, in zeros. Of a step of a ResNet-8
over 2,048 images of 32 x 32 pixels that was nearly half.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""What `mallopt` calls them, in glibc's malloc.h."""
KEPT = 2**31 - 1
"""Bytes at the end of the heap that are not given back: the most that can be said."""
AT_ONCE = 64 * 2**20
"""Bytes that the heap grows by beyond what is asked for."""


def keep_freed(environment: Mapping[str, str] = os.environ) -> bool:
    """Keep what tensors free for the next ones, on glibc; whoever says anything of its malloc has the word.

    No number changes. The most memory of a process does: pieces of a heap are not always of the size that is wanted.

    Args:
        environment: Of this process.

    Returns:
        Whether it is so now.
    """
    if any(key.startswith("MALLOC_") or key == "GLIBC_TUNABLES" for key in environment):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, macOS
        return False
    return all(mallopt(key, value) for key, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, KEPT), (TOP_PAD, AT_ONCE)))
