"""Policies of a sweep: a timeout, at most so many runs, tries again with back-off, an end after so many failures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import Fleet, Watcher, one
from shell import in_one_line

from batchlab.results.store.run import Run, RunState, State
from batchlab.results.store.runs import RunStore
from batchlab.runner import policies
from batchlab.runner.options import OnError, SweepOptions, failures_of, seconds_of
from batchlab.runner.policies import Policies, spelt

FAILS = "+model.no_such_argument=1"


@given(st.integers(1, 10**6), st.sampled_from([("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("", 1)]))
def test_a_length_of_time_is_read_as_it_is_written(number: int, unit: tuple[str, int]) -> None:
    seconds = seconds_of(f"{number}{unit[0]}") if number * unit[1] < 1e9 else number * unit[1]
    assert seconds == number * unit[1]
    if seconds < 1e6:
        assert seconds_of(spelt(float(seconds))) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "m", "1w", "1e3", "30 m m", "9" * 30, "٣"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--timeout .*: give a length of time, such as 90"):
        SweepOptions(timeout=text)


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1.5", "-2", "few", "9" * 30])
def test_what_is_no_number_of_failures_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--stop-after .*: give a number of failures"):
        SweepOptions(stop_after=text)


def test_one_way_to_stop_at_the_first_failure() -> None:
    assert failures_of("2.5%") == (0, 0.025)
    with pytest.raises(ValueError, match="--on-error stop is --stop-after 1"):
        SweepOptions(on_error=OnError.STOP, stop_after="2")


@pytest.mark.parametrize(
    ("options", "total", "failures"),
    [
        (SweepOptions(), 10, 0),
        (SweepOptions(on_error=OnError.STOP), 10, 1),
        (SweepOptions(stop_after="3"), 10, 3),
        (SweepOptions(stop_after="10%"), 25, 3),
        (SweepOptions(stop_after="10%"), 4, 1),
        (SweepOptions(stop_after="100%"), 4, 4),
    ],
)
def test_after_how_many_failures_it_is_enough(options: SweepOptions, total: int, failures: int, tmp_path: Path) -> None:
    """At ceil(share * total), and never before the first."""
    asked, planned, run = Policies(options), one(), Run(tmp_path)
    asked.begin(total)
    count = 0
    while not asked.enough() and count <= total:
        asked.started(planned.run_id)
        asked.ended(planned, run, RunState(State.DONE), halted=False)
        asked.ended(planned, run, RunState(State.FAILED, "why"), halted=False)
        count += 1
    assert count == (failures or total + 1)


def test_pauses_double_and_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = [0.0]
    monkeypatch.setattr(policies.time, "monotonic", lambda: clock[0])
    asked, planned = Policies(SweepOptions(retries=9)), one()
    pauses = []
    for _ in range(9):
        asked.started(planned.run_id)
        state = asked.ended(planned, Run(tmp_path), RunState(State.CRASHED, "why"), halted=False)
        assert state.state is State.PENDING
        began = clock[0]
        while not asked.due():
            assert asked.pausing
            clock[0] += 1
        pauses.append(clock[0] - began)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    asked.started(planned.run_id)
    assert asked.ended(planned, Run(tmp_path), RunState(State.CRASHED, "why"), halted=False).state is State.CRASHED
    assert (asked.failures, asked.pausing) == (1, False)


@pytest.mark.slow
def test_a_run_that_fails_is_tried_again(tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "BACKOFF", 0.01)
    bad, good = one(FAILS), one("seed=1")
    report, watcher = fleet.sweep(tmp_path, [bad, good], options=SweepOptions(retries=2))
    assert dict(watcher.begun) == {bad.run_id: 3, good.run_id: 1}
    assert (report.exit_code, report.states[State.FAILED], report.states[State.DONE]) == (1, 1, 1)
    assert report.states[State.PENDING] == 0


@pytest.mark.slow
def test_a_run_that_is_killed_once_is_done(tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    monkeypatch.setattr(policies, "BACKOFF", 0.01)
    planned = one("train.epochs=200", "train.checkpoint_seconds=0")
    run, killed = RunStore(tmp_path).run(planned.run_id), []

    def kill() -> None:
        if run.checkpoint.exists() and not killed:
            killed.append(run.read_state().info["pid"])
            os.kill(killed[0], signal.SIGKILL)

    watcher = Watcher(on_tick=kill)
    report, _ = fleet.sweep(tmp_path, [planned], watcher=watcher, options=SweepOptions(retries=1))
    assert (report.exit_code, report.states[State.DONE], len(killed)) == (0, 1, 1)
    assert [what for what, _ in watcher.log] == ["started", "ended", "resumed", "ended"]


def test_at_most_so_many_runs(tmp_path: Path, fleet: Fleet) -> None:
    plans = [one(f"seed={seed}") for seed in range(3)]
    report, watcher = fleet.sweep(tmp_path, plans, slots=1, options=SweepOptions(max_runs=2))
    assert (report.exit_code, report.states[State.DONE]) == (0, 2)
    assert [*watcher.begun] == [plan.run_id for plan in plans[:2]]
    assert watcher.notes == ["--max-runs: 1 run left, the same command goes on"]
    report, watcher = fleet.sweep(tmp_path, plans, options=SweepOptions(max_runs=2))
    assert (report.exit_code, report.states[State.DONE], watcher.notes) == (0, 3, [])


def test_a_timeout_stops_a_run_at_a_checkpoint(tmp_path: Path, fleet: Fleet) -> None:
    """It goes on with a longer one only, or when it is asked for."""
    long = one("train.epochs=50000")
    run = RunStore(tmp_path).run(long.run_id)
    report, watcher = fleet.sweep(tmp_path, [long], options=SweepOptions(timeout="1"))
    assert (report.exit_code, report.states[State.INTERRUPTED]) == (1, 1)
    killed = "; killed, as it wrote no checkpoint when it was told to"  # on a machine that takes so long to begin
    first = "timeout after 1 s" + ("" if run.checkpoint.exists() else killed)
    assert run.read_state().reason == watcher.states[long.run_id].reason == first
    report, watcher = fleet.sweep(tmp_path, [long], options=SweepOptions(timeout="1"))
    assert (report.exit_code, [*watcher.begun]) == (1, [])
    (note,) = watcher.notes
    assert note == f"{long.run_id} was stopped before ({first}): a longer --timeout, or --retry, goes on"
    for options in (SweepOptions(timeout="1.5"), SweepOptions(timeout="1.5", retry=True)):
        there = run.checkpoint.exists()
        report, watcher = fleet.sweep(tmp_path, [long], options=options)
        assert watcher.log[0] == ("resumed" if there else "started", long.run_id)
        assert str(run.read_state().reason).startswith("timeout after 1.5 s")


def test_the_time_of_a_run_begins_when_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while it waits for a warm process that still imports torch, or for a queue."""
    clock = [0.0]
    monkeypatch.setattr(policies.time, "monotonic", lambda: clock[0])
    store, asked = RunStore(tmp_path), Policies(SweepOptions(timeout="10"))
    run = store.run("abc").create()
    asked.started("abc")
    clock[0] = 100
    assert asked.overdue(store) == []
    with run.hold():
        run.write_state(state="running")
        assert asked.overdue(store) == []
        clock[0] = 109
        assert asked.overdue(store) == []
        clock[0] = 110.5
        assert asked.overdue(store) == ["abc"]
        assert asked.overdue(store) == [], "told once"


@pytest.mark.parametrize(("wrote", "killed"), [([], True), (["before"], True), (["before", "told"], False)])
def test_a_run_that_hangs_is_told_apart_by_its_checkpoint(
    wrote: list[str], killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever killed it says `interrupted`, as it does itself where it stops in order."""
    clock = [0.0]
    monkeypatch.setattr(policies.time, "monotonic", lambda: clock[0])
    store, planned, asked = RunStore(tmp_path), one(), Policies(SweepOptions(timeout="10"))
    run = store.run(planned.run_id).create()
    asked.started(planned.run_id)
    with run.hold():
        run.write_state(state="running")
        if "before" in wrote:
            run.checkpoint.write_text("before")
        asked.overdue(store)
        clock[0] = 11
        assert asked.overdue(store) == [planned.run_id]
        if "told" in wrote:
            os.replace(run.checkpoint, run.checkpoint_before)
            run.checkpoint.write_text("told")
        run.write_state(state="interrupted")
    found = asked.ended(planned, run, run.read_state(), halted=False)
    assert found.reason == run.read_state().reason
    assert found.reason == "timeout after 10 s" + "; killed, as it wrote no checkpoint when it was told to" * killed


def test_what_is_given_up_before_it_is_tried_again_is_told(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [one(FAILS, f"seed={seed}") for seed in range(3)]
    pauses = iter([1000.0, 1000.0, 0.0])
    monkeypatch.setattr(policies, "min", lambda *_: next(pauses), raising=False)
    report, watcher = fleet.sweep(tmp_path, plans, slots=1, options=SweepOptions(retries=1, stop_after="1"))
    tried = [*watcher.begun]
    assert report.states == {State.FAILED: 3}
    assert {run_id: watcher.states[run_id].state for run_id in tried} == dict.fromkeys(tried, State.FAILED)


def test_a_run_is_given_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose pause is over, and that waits for room."""
    monkeypatch.setattr(policies, "BACKOFF", 0.0)
    asked, planned = Policies(SweepOptions(retries=1)), one()
    asked.started(planned.run_id)
    asked.ended(planned, Run(tmp_path), RunState(State.FAILED, "why"), halted=False)
    assert asked.due() == [planned]
    assert asked.given_up() == [(planned, RunState(State.FAILED, "why: not tried again"))]
    assert not asked.given_up()


@pytest.mark.parametrize("arguments", [["--timeout", "soon"], ["--stop-after", "some"]])
def test_a_bad_policy_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in (["sweep"], ["compare", "optimizer=shb,sgd"], ["reproduce", "vrgd"]):
        code, said = in_one_line(*command, *arguments, monkeypatch=monkeypatch, capfd=capfd)
        assert code == 2
        assert said.startswith(f"batchlab: {' '.join(arguments)}: give a ")
