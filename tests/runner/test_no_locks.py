"""A file system without locks is said, and nothing is trained there as if somebody else did."""

from __future__ import annotations

import errno
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import TINY
from shell import batchlab

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

PRELOADED = """
#include <errno.h>
int flock(int descriptor, int operation) { errno = ENOLCK; return -1; }
"""
"""A C library's flock where NFS has no lock service."""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_only_a_lock_that_is_taken_is_busy(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(tmp_path).prepare()
    run = store.run("abc")
    run.write_state(state="running")
    run.lock.touch()

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = rf"files in {tmp_path} cannot be locked \(No locks available\).*with locks .*, or "
    with pytest.raises(ValueError, match=said):
        RunStore(tmp_path).prepare()
    with pytest.raises(ValueError, match=said), run.hold():
        raise AssertionError("held without a lock")
    assert run.read_state().state is State.CRASHED, "nobody can be training it"
    assert not [*tmp_path.glob(".probe*")]


@pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("cc")), reason="needs a C compiler")
def test_a_sweep_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "flock.c").write_text(PRELOADED)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "flock.so", "flock.c"], cwd=tmp_path, check=True)
    done = batchlab("sweep", *TINY, cwd=tmp_path, LD_PRELOAD=str(tmp_path / "flock.so"))
    assert done.returncode == 2, done.stdout
    assert b"batchlab: files in runs cannot be locked (No locks available)" in done.stderr
    assert not [*tmp_path.glob("runs/*/config.yaml")]
