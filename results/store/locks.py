"""The kernel's locks on open files: who has one, and what to say where a file system has none."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

ELSEWHERE = "choose a folder with --runs DIR or BATCHLAB_RUNS"
"""What to do about a folder of runs that cannot be used."""


def acquire(descriptor: int, attempts: int = 5) -> bool:
    """Lock an open file exclusively; False where somebody else has it, and does not only ask whether it is held."""
    for attempt in range(attempts):
        if locked(descriptor, fcntl.LOCK_EX):
            return True
        if attempt + 1 < attempts:  # somebody may only be asking whether the run is held
            time.sleep(0.01)
    return False


def locked(descriptor: int, mode: int) -> bool:
    """Lock an open file without waiting; False where somebody else has it.

    Args:
        descriptor: of the file; closing it lets go of the lock.
        mode: fcntl.LOCK_EX or fcntl.LOCK_SH.

    Raises:
        OSError: The file system has no locks, or none left: that says nothing of who has the file.
    """
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def no_locks(folder: Path, error: OSError) -> str:
    """One line for a folder of runs whose files cannot be locked."""
    return (
        f"files in {folder} cannot be locked ({error.strerror}), and locks are what keeps two processes from training "
        f"one run: mount that file system with locks (Lustre: -o flock; NFS: with its lock service), or {ELSEWHERE}"
    )


def same(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def holder_of(descriptor: int) -> str:
    """Who wrote into an open lock file that they have it."""
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
