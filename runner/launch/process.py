"""What the processes of a run agree on: exit codes, how long a stop may take, and who dies with whom."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

STOP_GRACE = 20
"""Seconds that ranks get to write their checkpoint after a SIGTERM."""
INTERRUPTED = 130
"""Exit code of a rank, a job and the command when they were told to stop."""
BUSY = 75
"""Exit code of a job whose run another process is training."""
APART = 76
"""Of a run that could not be trained together with others, as its state says why: it is to be trained alone."""
OWNER = "BATCHLAB_OWNER"
"""The variable by which a job's ranks know the token with which it holds the run, or those of several runs."""
AGENT = "BATCHLAB_AGENT"
"""The variable by which the ranks of the torchrun command know its process, which may have died before they began."""


class Told:
    """A handler of signals that only notes that this process is to stop: who has begun something asks, and ends it.

    An exception from a handler can be lost: Python drops those that hit what it calls at a fork, or when it deletes.

    Attributes:
        heard: It was told.
    """

    def __init__(self) -> None:
        self.heard = False

    def __call__(self, signum: int, frame: object) -> None:
        """Hear it."""
        self.heard = True


def die_with_parent(signum: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Ask the kernel for `signum` when the parent dies, so that a killed parent leaves no orphan (Linux only).

    Args:
        signum: what this process will get.
        parent: its process id, where it is known: it may have died before the kernel was asked.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signum)
        gone = os.getppid() != parent if parent is not None else os.getppid() == 1
        if gone:
            os.kill(os.getpid(), signum)
