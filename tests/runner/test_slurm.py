"""The slurm executor on a Slurm that only answers (`slurms.py`); `tests/slurm` has a real one."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
from pages import DOCS, blocks
from runs import TINY, Watcher, frozen, one
from shell import in_one_line
from slurms import ON_SLURM, Slurm, asked, only, submitted

from batchlab.results.store.queue import LEFT
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.base import Began, Ended, executor_for
from batchlab.runner.launch.executors.slurm import ASK, SlurmExecutor
from batchlab.runner.scheduler import settled
from batchlab.runner.sweep import freeze, run_sweep


def test_five_hundred_runs_are_one_submission_and_one_question_in_ten_seconds(slurm: Slurm, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    executor = asked(store, 500)
    began = slurm.clock
    ended: list[Ended] = []
    while slurm.clock < began + 300:
        ended += executor.wait(0.1)
    assert slurm.count("sbatch") == 1
    assert slurm.count("squeue") <= 1 + 300 / ASK
    assert {call[0] for call in slurm.calls} == {"sbatch", "squeue"}, "no accounting, no call for a job alone"
    assert not ended
    assert "--array=0-3" in submitted(slurm)
    for run_id in only(store).entries():
        only(store).tell("1_0", "began", run_id)
        only(store).tell("1_0", "ended", run_id, code=0)
        only(store).remove(run_id)
    while len(ended) < 500:
        ended += executor.wait(0.5)
    assert {end.code for end in ended} == {0}
    assert sum(isinstance(item, Began) for item in executor.news()) == 500


def test_a_worker_with_room_for_four_is_worth_four(slurm: Slurm, tmp_path: Path) -> None:
    asked(RunStore(tmp_path), 10, SlurmExecutor(cpus_per_task=4, workers=16)).wait(0)
    assert "--array=0-2" in submitted(slurm)


def test_two_drivers_ask_for_what_is_missing(slurm: Slurm, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    asked(store, 2).wait(0)
    asked(store, 2).wait(0)
    assert slurm.count("sbatch") == 1
    asked(store, 6, first=1).wait(0)
    assert len(slurm.jobs) == 4, "workers=4, and two were there"
    assert len(only(store).entries()) == 7
    only(store).tell("1_0", LEFT)  # it takes no more, though its job may be seen
    asked(store, 1, first=9).wait(0)
    assert len(slurm.jobs) == 5


def test_what_another_driver_has_had_trained_meanwhile_needs_no_worker(slurm: Slurm, tmp_path: Path) -> None:
    """Both planned the same sweep; the workers of the first were done, and gone, before the second came to start."""
    store = RunStore(tmp_path)
    store.prepare()
    for i in range(2):
        run = store.run(f"run{i:04}")
        run.log.mkdir(parents=True)
        run.write_state(state=State.DIVERGED, reason="of another driver")
    late = asked(store, 2)
    assert [end.code for end in late.wait(0)] == [0, 0]
    assert slurm.count("sbatch") == 0
    asked(store, 3, late).wait(0)
    assert only(store).entries() == {"run0002"}


def test_a_stop_takes_out_only_what_was_put_in(slurm: Slurm, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first, second = asked(store, 2), asked(store, 3)
    first.wait(0)
    second.stop()
    assert only(store).entries() == {"run0000", "run0001"}
    assert slurm.count("scancel") == 0, "there are runs that another driver wants"
    over = second.wait(1)
    assert {end.run.run_id for end in over} == {"run0000", "run0001", "run0002"}
    left = [end for end in over if end.run.run_id != "run0002"]
    found = [settled(end, stopped=True) for end in left]
    assert {(state.state, str(state.reason)[:13]) for state in found} == {(State.PENDING, "left to Slurm")}
    first.stop()
    assert slurm.calls[-1] == ("scancel", "-Q", "1_0", "1_1", "1_2")
    assert [end.code for end in first.wait(1)] == [130, 130]


def test_runs_that_were_left_without_a_worker_are_whose_asks_again(slurm: Slurm, tmp_path: Path) -> None:
    """Of a driver that was killed, or a detached sweep whose workers were cancelled."""
    store = RunStore(tmp_path)
    asked(store, 2).wait(0)
    for job in slurm.jobs.values():
        job[0] = "CANCELLED"
    again = asked(store, 2)
    again.wait(0)
    assert slurm.count("sbatch") == 2
    again.stop()
    assert not only(store).entries()
    assert slurm.calls[-1] == ("scancel", "-Q", "2_0", "2_1")
    assert [end.code for end in again.wait(1)] == [130, 130]


def test_a_driver_says_why_its_workers_wait(slurm: Slurm, tmp_path: Path) -> None:
    def said(reason: str, state: str = "PENDING") -> list[Began | str]:
        for job in slurm.jobs.values():
            job[:2] = state, reason
        executor.wait(ASK)
        executor.wait(ASK)
        return executor.news()

    executor = asked(RunStore(tmp_path), 9)
    executor.wait(0)
    executor.news()
    assert said("Priority") == ["4 workers waiting in Slurm: Priority"]
    assert said("Priority") == []
    assert said("Resources") == ["4 workers waiting in Slurm: Resources"]
    assert said("None", "RUNNING") == []
    never = "they cannot start as they are asked for: Ctrl-C, and see partition, time and size"
    assert said("PartitionConfig") == [f"4 workers waiting in Slurm: PartitionConfig; {never}"]
    assert said("QOSMaxCpuPerJobLimit") == [f"4 workers waiting in Slurm: QOSMaxCpuPerJobLimit; {never}"]


def test_workers_that_were_cancelled_leave_cancelled_runs(slurm: Slurm, tmp_path: Path) -> None:
    planned = [one(*ON_SLURM, f"seed={seed}") for seed in range(3)]
    store = RunStore(tmp_path).prepare()
    freeze(store, "s", planned)

    def cancel() -> None:
        for job in slurm.jobs.values():
            job[0] = "CANCELLED"

    slurm.on_sleep = cancel
    watcher = Watcher()
    report = run_sweep(planned, store, executor_for([p.tree for p in planned]), watcher)
    assert report.exit_code == 1
    assert +report.states == {State.CANCELLED: 3}
    assert {state.reason for state in watcher.states.values()} == {"its Slurm job 1 was cancelled"}
    assert slurm.count("sbatch") == 1


def test_workers_that_vanish_are_asked_for_again_and_then_given_up(slurm: Slurm, tmp_path: Path) -> None:
    planned = [one(*ON_SLURM, f"seed={seed}") for seed in range(2)]
    store = RunStore(tmp_path).prepare()
    freeze(store, "s", planned)
    slurm.on_sleep = slurm.jobs.clear
    watcher = Watcher()
    report = run_sweep(planned, store, executor_for([p.tree for p in planned]), watcher)
    assert +report.states == {State.CRASHED: 2}
    assert slurm.count("sbatch") == 2
    assert "no worker got to it" in str(next(iter(watcher.states.values())).reason)


def test_a_sweep_is_left_to_the_queue(slurm: Slurm, tmp_path: Path) -> None:
    planned = [one(*ON_SLURM, f"seed={seed}") for seed in range(3)]
    store = RunStore(tmp_path).prepare()
    freeze(store, "s", planned)
    watcher = Watcher()
    report = run_sweep(planned, store, executor_for([p.tree for p in planned]), watcher, detach=True)
    assert (report.detached, report.exit_code) == (True, 0)
    assert watcher.notes == ["3 runs left to Slurm: nothing here need wait for them"]
    assert not watcher.log, "none has begun"


def test_a_failed_run_that_is_asked_for_again_waits(slurm: Slurm, tmp_path: Path) -> None:
    run, _ = frozen(tmp_path)
    run.write_state(state="failed", reason="division by zero")
    executor = SlurmExecutor(cpus_per_task=1)
    executor.start(run, 1)
    assert (run.read_state().state, run.read_state().reason) == (State.PENDING, None)


def test_the_page_s_example(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As it stands, with fewer seeds; nothing is trained here."""
    page = (DOCS / "slurm.md").read_text()
    (block,) = blocks(page, "bash")
    first, *arguments = shlex.split(block.replace("\\\n", " ").replace("range(0,250)", "range(0,3)"))
    assert first == "batchlab"
    more = ("--dry-run", *TINY, "--runs", str(tmp_path / "runs"))
    code, said = in_one_line(*arguments, *more, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    assert "6 runs, all valid" in said
    keys = {
        key
        for line in page.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`(\w+)`", line[: line.find("|", 2)])
    }
    offered = set(inspect.signature(SlurmExecutor).parameters)
    assert keys == offered, "the page has a line for each key"
