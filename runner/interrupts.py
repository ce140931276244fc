"""Ctrl-C at any moment. Standard library only, and of that as little as can be: it is imported before anything else."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
SHOWN = b"\r\x1b[2K\x1b[?25h"
"""Clears the line of a spinner and shows the cursor again."""


def answer_interrupts() -> None:
    """From now on Ctrl-C ends this process at once with one line.

    An exception would have to find its way through whatever is being imported or checked: C++ aborts over it, a library
    takes it for its own, a destructor swallows it. There is nothing to tidy up: files are replaced atomically, and the
    warm process ends with the pipe to this one. While runs are trained the sweep has handlers of its own.
    """
    with suppress(ValueError):  # not the main thread, which alone can catch signals
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(signum: int, frame: object) -> None:
    with suppress(Exception):  # what was interrupted may be a write of just that stream
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, (SHOWN if os.isatty(2) else b"") + b"batchlab: interrupted\n")
    os._exit(INTERRUPTED)


@contextmanager
def tidying() -> Iterator[None]:
    """Let Ctrl-C be a KeyboardInterrupt in this block, which has files to remove before it ends the process."""
    before = signal.getsignal(signal.SIGINT)
    if before is not _interrupted:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        _interrupted(signal.SIGINT, None)
    finally:
        signal.signal(signal.SIGINT, before)
