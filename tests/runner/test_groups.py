"""Groups of runs through the scheduler, with an engine that trains nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from fake import FakeExecutor
from runs import Watcher, one

from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors import Ended
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.policies import Policies
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze, run_sweep

SEEDS = range(6)


@pytest.fixture(scope="module")
def plans() -> list[Planned]:
    return [one("optimizer=sgd", f"seed={seed}") for seed in SEEDS]


def engine(width: int = 2, most: int | None = None) -> FakeExecutor:
    """An engine that can train runs together."""
    made = FakeExecutor(width=width)
    made.together = most
    made.__class__ = type("Wide", (FakeExecutor,), {"places": property(lambda self: width)})
    return made


def swept(
    root: Path, plans: list[Planned], executor: FakeExecutor, options: SweepOptions | None = None
) -> tuple[Report, Watcher]:
    watcher, store = Watcher(), RunStore(root).prepare()
    freeze(store, "test", plans)
    return run_sweep(plans, store, executor, watcher, policies=Policies(options or SweepOptions())), watcher


def test_a_group_takes_one_place_and_each_run_has_its_own_end(tmp_path: Path, plans: list[Planned]) -> None:
    executor = engine()
    report, watcher = swept(tmp_path, plans, executor)
    ids = [planned.run_id for planned in plans]
    assert executor.groups == watcher.groups == [ids[:3], ids[3:]]
    assert executor.clock < 2 * executor.seconds, "both at a time"
    assert (report.exit_code, report.states) == (0, {State.DONE: 6})
    assert [one for one in watcher.log if one[0] == "ended"] == [("ended", run_id) for run_id in ids]


def test_runs_that_may_be_started_are_counted_one_by_one(tmp_path: Path, plans: list[Planned]) -> None:
    executor = engine(1, 4)
    report, watcher = swept(tmp_path, plans, executor, SweepOptions(max_runs=4))
    ids = [planned.run_id for planned in plans]
    assert executor.groups == [ids[:3]]
    assert executor.started == ids[:4]
    assert report.states == {State.DONE: 4}
    assert watcher.notes == ["--max-runs: 2 runs left, the same command goes on"]


def test_a_timeout_is_of_each_run(tmp_path: Path, plans: list[Planned]) -> None:
    executor = engine()
    swept(tmp_path, plans, executor, SweepOptions(timeout="1h"))
    assert not executor.groups


def test_what_is_done_or_held_elsewhere_is_in_no_group(tmp_path: Path, plans: list[Planned]) -> None:
    store = RunStore(tmp_path).prepare()
    freeze(store, "test", plans)
    store.run(plans[0].run_id).write_state(state="done", sealed={})
    executor = engine(1)
    with ExitStack() as holding:
        holding.enter_context(store.run(plans[1].run_id).hold()).write_state(state="running")
        before = executor.ask

        def leave() -> list[Ended]:
            if len(executor.started) == 4:  # they did not wait for it
                holding.close()
            return before()

        executor.ask = leave  # type: ignore[method-assign]
        swept(tmp_path, plans, executor)
    assert executor.groups == [[planned.run_id for planned in plans[2:]]]
    assert executor.started[-1] == plans[1].run_id


def test_what_another_process_took_meanwhile_drops_out(tmp_path: Path, plans: list[Planned]) -> None:
    store = RunStore(tmp_path).prepare()
    freeze(store, "test", plans)
    executor = engine(1)
    with store.run(plans[1].run_id).hold() as held:
        before = executor.ask

        def over() -> list[Ended]:
            if held.read_state().state is State.PENDING:
                held.write_state(state="done", sealed={})
            return before()

        executor.ask = over  # type: ignore[method-assign]
        report, watcher = swept(tmp_path, plans, executor)
    assert len(executor.groups[0]) == 6
    assert plans[1].run_id not in executor.started
    assert report.states == {State.DONE: 6}
    assert watcher.states[plans[1].run_id].state is State.DONE


def test_runs_that_cannot_be_together_are_trained_alone_and_it_is_said_once(
    tmp_path: Path, plans: list[Planned]
) -> None:
    executor = engine(2, 2)
    executor.refused = "it would not pay"
    report, watcher = swept(tmp_path, plans, executor)
    assert len(executor.groups) == 2, "the third was not tried"
    assert executor.started == [planned.run_id for planned in plans]
    assert (report.exit_code, report.states) == (0, {State.DONE: 6})
    said = "6 runs of model=mlp dataset=digits that were to train together train each alone: it would not pay"
    assert watcher.notes == [said]


def test_kinds_that_cannot_be_together_are_told_apart(tmp_path: Path, plans: list[Planned]) -> None:
    executor = engine(2, 4)
    executor.refused = "RuntimeError: step 15 reached"
    wide = [one("optimizer=sgd", "dataset=linear_regression", "model=linear", f"seed={seed}") for seed in range(3)]
    report, watcher = swept(tmp_path, [*plans, *wide], executor)
    assert report.states == {State.DONE: 9}
    assert watcher.notes == [
        f"{kind} that were to train together train each alone: RuntimeError: step 15 reached"
        for kind in ("6 runs of model=mlp dataset=digits", "3 runs of model=linear dataset=linear_regression")
    ]


def test_who_was_stopped_before_he_trained_alone_did_not_fail(tmp_path: Path, plans: list[Planned]) -> None:
    """The first that trains alone fails, and nothing more is to be started then."""
    executor = engine(1, 6)
    executor.refused = "RuntimeError: step 15 reached"
    start = executor.start

    def fail(run: Run, nproc: int) -> None:
        start(run, nproc)
        run.write_state(state="failed", reason="RuntimeError: step 15 reached")
        executor.due[-1] = (*executor.due[-1][:3], 1)

    executor.start = fail  # type: ignore[method-assign]
    report, _ = swept(tmp_path, plans, executor, SweepOptions(stop_after="1"))
    assert report.exit_code == 1
    found = [RunStore(tmp_path).run(planned.run_id).read_state() for planned in plans]
    assert [(state.state, state.reason) for state in found] == [
        (State.FAILED, "RuntimeError: step 15 reached"), *[(State.INTERRUPTED, None)] * 5
    ]  # fmt: skip


def test_an_interrupted_group_goes_on_as_it_was(tmp_path: Path, plans: list[Planned]) -> None:
    """Not with runs that are at another place."""
    store = RunStore(tmp_path).prepare()
    freeze(store, "test", plans)
    for planned, group in zip(plans, ("a", "a", None, "b", "b", None), strict=True):
        if group:
            run = store.run(planned.run_id)
            run.write_state(state="interrupted", group=group, fused=2)
            run.checkpoint.write_bytes(b"")
    executor = engine(1)
    swept(tmp_path, plans, executor)
    ids = [planned.run_id for planned in plans]
    assert executor.groups == [ids[0:2], [ids[2], ids[5]], ids[3:5]]


def test_a_checkpoint_of_a_run_alone_goes_on_alone(tmp_path: Path, plans: list[Planned]) -> None:
    store = RunStore(tmp_path).prepare()
    freeze(store, "test", plans)
    run = store.run(plans[2].run_id)
    run.write_state(state="interrupted")
    run.checkpoint.write_bytes(b"")
    executor = engine(1)
    swept(tmp_path, plans, executor)
    (group,) = executor.groups
    assert run.run_id not in group
