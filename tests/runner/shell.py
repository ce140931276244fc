"""The command in a process of its own, as a shell, a scheduler or a daemon starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runs import HANGS, TINY

from batchlab.results.store.run import RunState
from batchlab.results.store.runs import RunStore

ENTRY = (sys.executable, "-c", "from batchlab.runner.cli import main; main()")
TRAIN = ("train", *TINY)


def batchlab(
    *arguments: str, cwd: Path, prefix: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end.

    Args:
        *arguments: of the command.
        cwd: where.
        prefix: a program that starts it, with its arguments.
        **environment: variables in place of this process's.
    """
    return subprocess.run(
        [*prefix, *ENTRY, *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, timeout=HANGS
    )


def redirected(redirections: str) -> tuple[str, ...]:
    """A prefix that opens and closes streams as a shell does."""
    return ("sh", "-c", f'exec "$@" {redirections}', "sh")


def only_state(folder: Path) -> RunState:
    """The state of the only run there."""
    (run,) = RunStore(folder).runs()
    return run.read_state()
