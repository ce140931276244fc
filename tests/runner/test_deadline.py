"""A sweep that is given a time: what runs then writes its checkpoint, and that is no failure."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from runs import Fleet, Watcher, one

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.base import Ended
from batchlab.runner.scheduler import Report, settled


def test_what_runs_is_cut_off_and_what_waits_is_not_begun(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [one("train.epochs=5000", f"seed={seed}") for seed in range(3)]
    store, clock = RunStore(tmp_path), [0.0]
    first = store.run(plans[0].run_id)

    def tick() -> None:
        """The time is over as soon as the first has written something."""
        clock[0] = 10.0 * bool(read_stream(first, "metrics"))

    monkeypatch.setattr("batchlab.runner.scheduler.time", SimpleNamespace(monotonic=lambda: clock[0], sleep=time.sleep))
    report, watcher = fleet.sweep(tmp_path, plans, slots=1, deadline=5.0, watcher=Watcher(on_tick=tick))
    states = [store.run(p.run_id).read_state().state for p in plans]
    assert states == [State.INTERRUPTED, State.PENDING, State.PENDING]
    assert first.checkpoint.exists()
    assert (report.expired, report.halted, report.interrupted, report.exit_code) == (True, True, False, 0)
    assert [note for note in watcher.notes if "the time is over" in note] == watcher.notes
    assert len(watcher.notes) == 1, "said once"


def test_nothing_is_begun_after_it(tmp_path: Path, fleet: Fleet) -> None:
    """Looks follow each other: one that comes when the time is over starts no run only to stop it."""
    report, watcher = fleet.sweep(tmp_path, [one()], deadline=-math.inf)
    assert (report.expired, report.halted, report.exit_code) == (True, True, 0)
    assert not watcher.log


def test_a_run_that_is_stopped_before_it_could_say_anything_has_not_crashed(tmp_path: Path) -> None:
    """What a signal ends while it still loads: on Ctrl-C and at the deadline alike it is as if it had not begun."""
    run = RunStore(tmp_path).run("x").create()
    assert settled(Ended(run, -15), stopped=True).state is State.INTERRUPTED
    assert settled(Ended(run, -15), stopped=False).state is State.CRASHED
    run.write_state(state="running")
    assert settled(Ended(run, -15), stopped=True).state is State.CRASHED, "it had begun"


def test_a_time_that_is_long_enough_is_not_mentioned(tmp_path: Path, fleet: Fleet) -> None:
    plans = [one(f"seed={seed}") for seed in range(2)]
    report, watcher = fleet.sweep(tmp_path, plans, deadline=time.monotonic() + 1e6)
    assert report.states == Counter({State.DONE: 2})
    assert not report.halted
    assert watcher.notes == []
    again, _ = fleet.sweep(tmp_path, plans, deadline=-math.inf)
    assert (again.skipped, again.expired) == (2, False), "nothing was left to cut off"


def test_the_same_sweep_goes_on_later(tmp_path: Path, fleet: Fleet) -> None:
    planned = one("train.epochs=30")
    fleet.sweep(tmp_path, [planned], deadline=-math.inf)
    report, watcher = fleet.sweep(tmp_path, [planned])
    assert report.states == Counter({State.DONE: 1})
    assert RunStore(tmp_path).run(planned.run_id).read_state().state is State.DONE
    assert watcher.notes == []


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (Report(Counter({State.DONE: 3}), expired=True), 0),
        (Report(Counter({State.INTERRUPTED: 2, State.DONE: 1}), expired=True), 0),
        (Report(Counter({State.INTERRUPTED: 2})), 1),
        (Report(Counter({State.INTERRUPTED: 1, State.FAILED: 1}), expired=True), 1),
        (Report(Counter({State.INTERRUPTED: 1, State.CRASHED: 1}), expired=True), 1),
        (Report(Counter({State.INTERRUPTED: 1}), expired=True, interrupted=True), 130),
    ],
)
def test_exit_codes(report: Report, code: int) -> None:
    assert report.exit_code == code
