"""Runs on a full disk and its kin: named once, nothing more is started, the same sweep goes on when there is room."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import TINY, Fleet, Watcher, context, frozen, one, rows
from shell import batchlab, redirected

from batchlab.results.show.status import read_status
from batchlab.results.store import exhausted
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.launch import run_job
from batchlab.runner.train import loop

PLANS = tuple(f"seed={seed}" for seed in range(6))


@pytest.mark.parametrize(
    ("options", "cause", "nproc"),
    [
        ("size=120k", "the disk is full at", 1),
        ("size=120k", "the disk is full at", 2),
        ("size=3m,nr_inodes=40", "no inode is left at", 1),
    ],
    ids=["full", "ranks", "inodes"],
)
def test_a_sweep_without_room(
    options: str, cause: str, nproc: int, small: Callable[[str], Path], tmp_path: Path, fleet: Fleet
) -> None:
    plans = [one(seed, f"nproc={nproc}") for seed in PLANS]
    folder = small(options)
    report, watcher = fleet.sweep(folder / "runs", plans)
    assert report.exit_code == 1
    assert report.states[State.DONE] + report.states[State.INTERRUPTED] == len(watcher.begun) < len(plans)
    (note,) = watcher.notes
    assert f"{cause} {folder} (" in note
    assert note.endswith("; nothing more is started, what was recorded is kept, the same command goes on")
    states = [RunStore(folder / "runs").run(run_id).read_state() for run_id in watcher.begun]
    ended = [state for state in states if state.state not in (State.DONE, State.PENDING)]
    assert {state.state for state in ended} <= {State.INTERRUPTED}
    assert all(cause in (state.reason or "") for state in ended)
    small("remount,size=3m,nr_inodes=4000")
    report, watcher = fleet.sweep(folder / "runs", plans)
    assert (report.exit_code, report.states[State.DONE], watcher.notes) == (0, len(plans), [])
    store = RunStore(folder / "runs")
    undisturbed = fleet.train(tmp_path / "runs", plans[-1])
    assert rows(store.run(plans[-1].run_id)) == rows(undisturbed)


@pytest.mark.slow
def test_a_file_system_that_becomes_read_only(small: Callable[[str], Path], fleet: Fleet) -> None:
    plans = [one(seed) for seed in PLANS]
    folder = small("size=30m")

    class Meanwhile(Watcher):
        """It happens when the sweep has begun."""

        def begin(self, total: int, done: int, left: int) -> None:
            small("remount,ro")

    report, watcher = fleet.sweep(folder / "runs", plans, slots=1, watcher=Meanwhile())
    assert (report.exit_code, report.states[State.INTERRUPTED], len(watcher.begun)) == (1, 1, 1)
    assert f"the file system at {folder} is read-only" in watcher.notes[0]
    assert len(watcher.notes) == 1
    small("remount,rw")
    assert fleet.sweep(folder / "runs", plans)[0].states[State.DONE] == len(plans)


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_a_job_says_by_its_exit_code_what_has_run_out(
    kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where torch cannot write a checkpoint and says nothing of why."""
    run, config = frozen(tmp_path, "train.checkpoint_seconds=0")

    def launch(*_: object) -> None:
        def refuse(descriptor: int) -> None:
            raise OSError(kind, os.strerror(kind))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            loop.train(config, context(run))

    assert exhausted.of_code(run_job(run, launch)) == kind
    state = run.read_state()
    assert (state.state, state.reason) == (State.INTERRUPTED, exhausted.said(kind, run.folder))
    assert not run.checkpoint.exists()


@pytest.mark.parametrize("kept", ["progress", "nothing"])
def test_the_last_state_is_written_where_no_room_is_left(kept: str, small: Callable[[str], Path]) -> None:
    """In place of what the display reads, or over the state before."""
    folder = small("size=200k")
    run, _ = frozen(folder / "runs")
    run.write_state(state="running")
    if kept == "progress":
        run.write_progress(samples=1)
    assert exhausted.now(folder) == ""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert "the disk is full at" in exhausted.now(folder)
    assert run.read_state().state is State.CRASHED, "as a kill leaves it"
    (line,) = read_status(RunStore(folder / "runs")).problems
    assert line.startswith(f"the disk is full at {folder} (0 bytes of 205 kB free): ")
    with pytest.raises(OSError, match="No space left"):
        run.write_state(state="interrupted")
    long = "no room" * 20
    run.write_end(state="interrupted", reason=long)
    with pytest.MonkeyPatch.context() as patch:  # killed after the first thing that is written in place
        write = os.pwrite

        def killed(*arguments: Any) -> int:
            write(*arguments)
            raise KeyboardInterrupt

        patch.setattr(os, "pwrite", killed)
        with contextlib.suppress(KeyboardInterrupt):
            run.write_end(state="interrupted", reason="no room")
    assert (run.read_state().state, run.read_state().reason) == (State.INTERRUPTED, "no room")
    assert read_status(RunStore(folder / "runs")).problems == []
    with pytest.raises(OSError, match="No space left"):
        run.write_end(reason="x" * 5000)
    assert (run.read_state().state, run.read_state().reason) == (State.INTERRUPTED, "no room")


QUOTA = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
ssize_t write(int descriptor, const void *data, size_t size) {
    char link[64], name[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    if (readlink(link, name, sizeof name - 1) > 0 && strstr(name, "metrics.jsonl")) { errno = EDQUOT; return -1; }
    return ((ssize_t (*)(int, const void *, size_t)) dlsym(RTLD_NEXT, "write"))(descriptor, data, size);
}
"""
"""A C library where the user's quota is used up as soon as rows are written."""


@pytest.mark.slow
@pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("cc")), reason="needs a C compiler")
@pytest.mark.parametrize("launcher", ["fork", "torchrun"])
def test_a_quota(launcher: str, tmp_path: Path) -> None:
    (tmp_path / "quota.c").write_text(QUOTA)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "quota.so", "quota.c", "-ldl"], cwd=tmp_path, check=True)
    one_by_one = ("executor.devices=1", "executor.fuse=off")
    arguments = ("sweep", *TINY, "seed=0,1,2", f"executor.launcher={launcher}", *one_by_one)
    done = batchlab(*arguments, cwd=tmp_path, LD_PRELOAD=str(tmp_path / "quota.so"))
    assert done.returncode == 1, done.stdout
    assert b"the quota at " in done.stdout
    assert done.stdout.count(b"nothing more is started") == 1
    assert done.stdout.count(b" started ") == 1
    (run,) = [run for run in RunStore(tmp_path / "runs").runs() if run.state_file.exists()]
    assert run.read_state().state is State.INTERRUPTED
    done = batchlab(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_too_many_open_files(tmp_path: Path) -> None:
    arguments = ("sweep", *TINY, "seed=0,1,2", "executor.devices=1")
    done = batchlab(*arguments, cwd=tmp_path, prefix=("sh", "-c", 'ulimit -n 12; exec "$@"', "sh"))
    assert done.returncode == 1, done.stdout
    assert b"too many open files: this process may have 12 of them" in done.stdout
    assert done.stdout.count(b"nothing more is started") == 1
    assert batchlab(*arguments, cwd=tmp_path).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.slow
def test_a_sweep_whose_output_is_full_has_trained(tmp_path: Path) -> None:
    done = batchlab("sweep", *TINY, "seed=0,1", cwd=tmp_path, prefix=redirected(">/dev/full"))
    assert done.returncode == 1
    assert b"could not all be written (No space left on device)" in done.stderr
    assert {run.read_state().state for run in RunStore(tmp_path / "runs").runs()} == {State.DONE}
