"""Runs that another process trains: a sweep waits for them, takes over what they leave, and says so in one line."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from runs import TINY, Fleet, Watcher, one
from shell import in_one_line

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner import held
from batchlab.runner.plan.config import Planned
from batchlab.runner.sweep import freeze


class Other:
    """Another process that trains some of these runs, until a test says how that ends."""

    def __init__(self, root: Path, plans: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(held, "EVERY", 0.0)
        monkeypatch.setattr(held, "SHARE", 0)
        store = RunStore(root).prepare()
        freeze(store, "theirs", plans)
        self.runs = [store.run(plan.run_id) for plan in plans]
        self.locks = ExitStack()
        for run in self.runs:
            self.locks.enter_context(run.hold())
            run.write_state(state="running")

    def ends(self, state: State | None) -> None:
        """In this state; None: killed."""
        for run in self.runs:
            if state is not None:
                run.write_state(state=state, reason="as it is")
        self.locks.close()


@pytest.mark.parametrize(
    ("state", "code", "begun"),
    [(State.DIVERGED, 0, 0), (State.FAILED, 1, 0), (State.INTERRUPTED, 0, 1), (None, 0, 1)],
    ids=str,
)
def test_a_sweep_waits_for_what_another_process_trains(
    state: State | None, code: int, begun: int, tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, own = one(), one("seed=1")
    other = Other(tmp_path, [theirs], monkeypatch)
    watcher = Watcher()

    def end() -> None:
        if watcher.notes and other.runs:
            other.ends(state)
            other.runs = []

    watcher.on_tick = end
    report, _ = fleet.sweep(tmp_path, [theirs, own], watcher=watcher)
    assert (report.exit_code, watcher.begun[theirs.run_id], watcher.begun[own.run_id]) == (code, begun, 1)
    waited, *more = watcher.notes
    assert waited.startswith("waiting for 1 run that another process trains")
    assert more == ([f"{theirs.run_id} failed before (as it is): --retry starts it again"] if code else [])
    assert watcher.states[theirs.run_id].state is (state if begun == 0 else State.DONE)
    assert sum(report.states.values()) == 2


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting(tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Other(tmp_path, [one()], monkeypatch)
    watcher = Watcher()
    watcher.on_tick = lambda: os.kill(os.getpid(), signal.SIGINT) if len(watcher.notes) == 1 else None
    report, _ = fleet.sweep(tmp_path, [one()], watcher=watcher)
    assert (report.exit_code, len(watcher.begun)) == (130, 0)
    assert other.runs[0].read_state().state is State.RUNNING
    other.ends(None)


def test_a_dry_run_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    other = Other(tmp_path, [one()], monkeypatch)
    arguments = ("sweep", *TINY, "--dry-run", "--runs", str(tmp_path))
    code, said = in_one_line(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "another process is training it" in said
    assert "1 run, all valid: 1 to go; nothing was started" in said
    other.ends(None)
