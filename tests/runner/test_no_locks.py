"""A file system without locks is said, and nothing is trained there as if somebody else did."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import HANGS, TINY, frozen, rows, trained
from shell import ENTRY, batchlab, in_process

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

PRELOADED = """
#include <errno.h>
int flock(int descriptor, int operation) { errno = ENOLCK; return -1; }
"""
"""A C library's flock where NFS has no lock service."""


def test_where_nothing_can_be_written_nothing_is_trained_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And what would have to be written is refused as it was."""
    run, config = frozen(tmp_path)
    assert trained(run, config) == "done"
    asked = ("sweep", *TINY, "--runs", str(tmp_path))
    assert in_process(*asked, "--name", "s", monkeypatch=monkeypatch, capfd=capfd)[0] == 0

    def refuse(*_: object) -> None:
        raise ValueError("cannot write: the file system is read-only")

    monkeypatch.setattr(RunStore, "prepare", refuse)
    monkeypatch.setattr(RunStore, "_write", refuse)
    code, out, err = in_process(*asked, "--name", "s", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, err) == (0, "")
    assert "1 run: 1 done already, 0 to go\nnothing to train\n" in out
    for more in (["--name", "other"], ["--name", "s", "seed=5"], ["--name", "s", "--rerun"]):
        code, _, err = in_process(*asked, *more, monkeypatch=monkeypatch, capfd=capfd)
        assert (code, err) == (2, "batchlab: cannot write: the file system is read-only\n"), more


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


LYING = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
int flock(int descriptor, int operation) { return 0; }
int gethostname(char *name, size_t length) { strncpy(name, getenv("HOST_OF_TEST"), length); return 0; }
"""
"""One that locks each host on its own, as some shared file systems do; and two hosts."""
COMPILED = pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("cc")), reason="needs a C compiler")


def compiled(source: str, folder: Path) -> str:
    """A library to preload."""
    (folder / "flock.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "flock.so", "flock.c"], cwd=folder, check=True)
    return str(folder / "flock.so")


@COMPILED
def test_a_sweep_there_is_one_line(tmp_path: Path) -> None:
    done = batchlab("sweep", *TINY, cwd=tmp_path, LD_PRELOAD=compiled(PRELOADED, tmp_path))
    assert done.returncode == 2, done.stdout
    assert b"batchlab: files in runs cannot be locked (No locks available)" in done.stderr
    assert not [*tmp_path.glob("runs/*/config.yaml")]


@COMPILED
@pytest.mark.slow
@pytest.mark.parametrize("hosts", [("one", "one"), ("one", "two")], ids=["one host", "two hosts"])
def test_two_drivers_where_every_lock_is_granted_train_each_run_once(hosts: tuple[str, str], tmp_path: Path) -> None:
    """Both ended well before, and the sealed rows were 75 where 41 are right."""
    library = compiled(LYING, tmp_path)
    asked = (
        *TINY[:3],
        TINY[4],
        "train.epochs=40",
        "log.steps=true",
        "batch_schedule.size=32",
        "seed=1,2",
        "train.checkpoint_seconds=0",
    )
    command = [*ENTRY, "sweep", *asked, "--name", "same"]
    drivers = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"LD_PRELOAD": library, "HOST_OF_TEST": host},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for host in hosts
    ]
    said = [driver.communicate(timeout=HANGS)[0].decode() for driver in drivers]
    assert not any("fault of batchlab" in text for text in said), said
    assert 0 in [driver.returncode for driver in drivers], said
    alone = batchlab("sweep", *asked, "--name", "alone", "--runs", "alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    runs = [*RunStore(tmp_path / "runs").runs()]
    assert len(runs) == 2
    for run in runs:
        state = run.read_state()
        assert state.state is State.DONE, (state, said)
        expected = rows(RunStore(tmp_path / "alone").run(run.run_id))
        found = rows(run)
        trained = len([*(run.log / "agent").iterdir()])
        print(f"{run.run_id}: trained {trained} times, {len(found)} rows, {len(expected)} are right")
        assert trained == 1
        assert found == expected
        assert not (run.folder / "owner").exists()
