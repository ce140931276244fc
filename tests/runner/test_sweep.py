"""Sweeps on real processes: what is started, how often, on how many devices, and what is left after a failure."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from runs import TINY, Fleet, Watcher, one, rows

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import compose
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import run_sweep

FAILS = "model.hidden=[16]", "+model.no_such_argument=1"
"""A run that only fails once its rank builds the model: what validation would have refused."""


def test_done_runs_are_skipped_and_new_ones_trained(tmp_path: Path, fleet: Fleet) -> None:
    plans = compose([*TINY, "seed=0,1,2"])
    report, watcher = fleet.sweep(tmp_path, plans[:2])
    assert (report.exit_code, report.states[State.DONE], report.skipped) == (0, 2, 0)
    before = rows(RunStore(tmp_path).run(plans[0].run_id), times=True)
    report, watcher = fleet.sweep(tmp_path, plans)
    assert (report.exit_code, report.states[State.DONE], report.skipped) == (0, 3, 2)
    assert list(watcher.begun) == [plans[2].run_id]
    assert rows(RunStore(tmp_path).run(plans[0].run_id), times=True) == before, "a finished run is left alone"


@pytest.mark.parametrize(("slots", "each", "nproc", "most"), [(1, 1, 1, 1), (2, 1, 1, 2), (1, 3, 1, 3), (2, 1, 2, 2)])
def test_slots_are_never_oversubscribed(
    slots: int, each: int, nproc: int, most: int, tmp_path: Path, fleet: Fleet
) -> None:
    plans = compose([*TINY, "seed=range(0,4)", f"nproc={nproc}"])
    report, watcher = fleet.sweep(tmp_path, plans, slots=slots, each=each)
    assert report.states[State.DONE] == 4
    assert watcher.most == most
    assert all(used == 0 for used in fleet.executor.slots.load.values())


def test_a_failure_is_a_line_and_the_others_go_on(tmp_path: Path, fleet: Fleet) -> None:
    bad, good = one(*FAILS), one("seed=1")
    report, watcher = fleet.sweep(tmp_path, [bad, good], slots=1)
    assert (report.exit_code, report.states[State.FAILED], report.states[State.DONE]) == (1, 1, 1)
    state = watcher.states[bad.run_id]
    assert "no_such_argument" in str(state.reason)
    assert "\n" not in str(state.reason)
    assert "Traceback" in (RunStore(tmp_path).run(bad.run_id).log / "traceback.txt").read_text()
    report, watcher = fleet.sweep(tmp_path, [bad, good])
    assert not watcher.begun
    assert report.exit_code == 1
    assert "--retry" in watcher.notes[0]
    _, watcher = fleet.sweep(tmp_path, [bad, good], options=SweepOptions(retry=True))
    assert list(watcher.begun) == [bad.run_id]


def test_stop_at_the_first_failure(tmp_path: Path, fleet: Fleet) -> None:
    plans = [one("train.epochs=100000"), one(*FAILS), one("seed=1"), one("seed=2")]
    report, watcher = fleet.sweep(tmp_path, plans, slots=2, options=SweepOptions(stop_after="1"))
    assert report.exit_code == 1
    assert set(watcher.begun) == {plans[0].run_id, plans[1].run_id}
    assert watcher.states[plans[0].run_id].state is State.INTERRUPTED, "stopped, perhaps before its first step"


def test_diverged_is_a_result(tmp_path: Path, fleet: Fleet) -> None:
    planned = one("optimizer.lr=1e30")
    report, _ = fleet.sweep(tmp_path, [planned])
    run = RunStore(tmp_path).run(planned.run_id)
    assert (report.exit_code, report.states[State.DIVERGED]) == (0, 1)
    assert run.read_state().state is State.DIVERGED
    assert "not finite" in str(run.read_state().reason)
    assert rows(run)[-1]["train_loss"] != rows(run)[-1]["train_loss"] or rows(run)[-1]["train_loss"] == float("inf")
    assert fleet.sweep(tmp_path, [planned])[1].begun[planned.run_id] == 0


def test_damaged_files_fail_one_run_and_lose_nothing(tmp_path: Path, fleet: Fleet) -> None:
    plans = compose([*TINY, "seed=range(0,3)"])
    fleet.sweep(tmp_path, plans[:1])
    done = RunStore(tmp_path).run(plans[0].run_id)
    before = done.metrics.read_bytes()
    done.state_file.write_text('{"state": "do')
    report, watcher = fleet.sweep(tmp_path, plans)
    assert (report.exit_code, report.states[State.DONE], report.states[State.DAMAGED]) == (1, 2, 1)
    assert str(done.state_file) in watcher.notes[0]
    assert done.metrics.read_bytes() == before


def test_a_damaged_checkpoint_fails_one_run(tmp_path: Path, fleet: Fleet) -> None:
    bad, good = one("seed=5"), one("seed=6")
    run = RunStore(tmp_path).run(bad.run_id).create()
    run.checkpoint.write_bytes(b"PK\x03\x04 half a zip")
    report, watcher = fleet.sweep(tmp_path, [bad, good])
    assert (report.states[State.FAILED], report.states[State.DONE]) == (1, 1)
    reason = str(watcher.states[bad.run_id].reason)
    assert str(run.checkpoint) in reason
    assert f"delete checkpoint.pt in {run.folder} to train this run from its beginning" in reason
    run.checkpoint.unlink()
    assert fleet.sweep(tmp_path, [bad], options=SweepOptions(retry=True))[0].exit_code == 0


def test_a_damaged_configuration_fails_one_run(tmp_path: Path, fleet: Fleet) -> None:
    """Damaged after the sweep froze it: the next sweep writes it anew."""
    planned = one()
    run = RunStore(tmp_path).run(planned.run_id).create()
    watcher = Watcher()
    run.config.write_text("optimizer: [")
    report = run_sweep([planned], RunStore(tmp_path), fleet.executor, watcher)
    assert (report.exit_code, report.states[State.FAILED]) == (1, 1)
    assert str(run.config) in str(run.read_state().reason)
    assert fleet.sweep(tmp_path, [planned], options=SweepOptions(retry=True))[0].exit_code == 0


@pytest.mark.slow
def test_two_sweeps_at_once_train_every_run_once(tmp_path: Path, fleet: Fleet) -> None:
    plans = compose([*TINY[:3], "train.device=cpu", "seed=range(0,4)", "train.epochs=4"])
    other = LocalExecutor(devices=1, fuse="off")
    watchers = [Watcher(), Watcher()]
    other.check([p.tree for p in plans])
    other.warm_up()

    reports: list[Report] = []
    begun: list[bool] = []

    def interleave() -> None:  # a whole second sweep, from its other end, while the first one's run goes on
        if not begun:
            begun.append(True)
            reports.append(run_sweep(plans[::-1], RunStore(tmp_path), other, watchers[1]))

    watchers[0].on_tick = interleave
    reports.append(fleet.sweep(tmp_path, plans, slots=1, watcher=watchers[0])[0])
    other.close()
    assert all(report.exit_code == 0 for report in reports)
    store = RunStore(tmp_path)
    assert all(store.run(p.run_id).read_state().state is State.DONE for p in plans)
    for planned in plans:
        agents = list((store.run(planned.run_id).log / "agent").iterdir())
        assert len(agents) == 1, "one launch, however many sweeps asked for it"


@pytest.mark.slow
def test_a_killed_warm_process_is_replaced(tmp_path: Path) -> None:
    plans = [one("train.epochs=3000"), one("seed=1")]
    executor = LocalExecutor(devices=1)
    run = RunStore(tmp_path).run(plans[0].run_id)
    killed: list[int] = []

    def interfere() -> None:
        if run.progress.exists() and not killed:
            assert executor.server is not None
            killed.append(executor.server.pid)
            os.kill(killed[0], signal.SIGKILL)

    watcher = Watcher(on_tick=interfere)
    fleet = Fleet(executor)
    report, _ = fleet.sweep(tmp_path, plans, slots=1, watcher=watcher)
    executor.close()
    assert report.exit_code == 1
    assert watcher.states[plans[0].run_id].state is State.INTERRUPTED
    assert run.checkpoint.exists()
    assert watcher.states[plans[1].run_id].state is State.DONE


@pytest.mark.slow
def test_a_warm_process_that_cannot_be_replaced_ends_the_sweep_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 would say that nothing was started."""
    plans = [one("train.epochs=3000"), one("seed=1")]
    executor = LocalExecutor(devices=1)
    run = RunStore(tmp_path).run(plans[0].run_id)

    def interfere() -> None:
        if run.progress.exists() and executor.server is not None and sys.executable != "/bin/false":
            monkeypatch.setattr("sys.executable", "/bin/false")
            os.kill(executor.server.pid, signal.SIGKILL)

    report, watcher = Fleet(executor).sweep(tmp_path, plans, slots=1, watcher=Watcher(on_tick=interfere))
    executor.close()
    assert (report.exit_code, report.states[State.INTERRUPTED]) == (1, 1)
    assert "ended with code 1 while it started; the same command goes on" in watcher.notes[-1]


def test_no_warm_process_no_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(OSError, match="ended with code 1 while it started"):
        Fleet(LocalExecutor(devices=1)).sweep(tmp_path, [one()], slots=1)


@pytest.mark.slow
def test_torchrun_gives_the_numbers_of_fork(tmp_path: Path, fleet: Fleet) -> None:
    planned = one("+measure=full_gradient_norm")
    forked = fleet.train(tmp_path / "fork", planned)
    monkey = fleet.executor.launcher
    try:
        fleet.executor.launcher = "torchrun"
        commanded = fleet.train(tmp_path / "torchrun", planned)
    finally:
        fleet.executor.launcher = monkey
    assert rows(commanded) == rows(forked)
