"""The command, in a process of its own as a shell, a scheduler or a daemon starts it, or quickly in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import HANGS, TINY

from batchlab.results.store.run import RunState
from batchlab.results.store.runs import RunStore
from batchlab.runner import cli

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


def in_process(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """The command in this process: its exit code, and what it said on both streams."""
    monkeypatch.setattr(sys, "argv", ["batchlab", *arguments])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    signal.signal(signal.SIGINT, before)  # it answers Ctrl-C for its whole process
    code = caught.value.code
    assert code is None or isinstance(code, int)
    said = capfd.readouterr()
    return code or 0, said.out, said.err


def in_one_line(*arguments: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """As `in_process`; all that it said, in one line."""
    code, out, err = in_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    return code, " ".join((out + err).split())


def redirected(redirections: str) -> tuple[str, ...]:
    """A prefix that opens and closes streams as a shell does."""
    return ("sh", "-c", f'exec "$@" {redirections}', "sh")


def only_state(folder: Path) -> RunState:
    """The state of the only run there."""
    (run,) = RunStore(folder).runs()
    return run.read_state()
