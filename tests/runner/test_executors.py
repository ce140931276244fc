"""What every engine must do, asked of each in the same words; another joins by a context manager that gives its Rig."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cluster import beside
from fake import FakeExecutor
from rays import nodes
from runs import HANGS, TINY, Fleet, Watcher, rows, wait_until

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors import Executor
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze, run_sweep

LONG = ("train.epochs=30000", "train.checkpoint_seconds=0.1", "log.evaluations=2")
"""Of a run that is still trained when a test stops it."""
SHORT = ("train.epochs=2",)


@dataclass(frozen=True)
class Rig:
    """An engine to try: what chooses it, and how it is lost.

    Attributes:
        chosen: Overrides of the command line.
        node: In place of what they choose, of an engine without a file in `conf/`.
        lose: Takes the engine itself away, with all that it runs.
        trains: Its runs have rows.
    """

    chosen: tuple[str, ...]
    lose: Callable[[Executor], None]
    node: dict[str, Any] | None = None
    trains: bool = True

    def plans(self, *overrides: str) -> list[Planned]:
        """Runs that are trained there."""
        plans = compose([*(t for t in TINY if not t.startswith("train.epochs")), *self.chosen, *overrides])
        return [replace(p, tree=p.tree | ({"executor": self.node} if self.node else {})) for p in plans]

    @contextmanager
    def engine(self, plans: Sequence[Planned]) -> Iterator[Executor]:
        """The engine of these runs, closed after the block."""
        executor = executor_for([p.tree for p in plans])
        try:
            yield executor
        finally:
            executor.close()

    def sweep(self, root: Path, plans: Sequence[Planned], watcher: Watcher) -> Report:
        """Train them as the command does."""
        with self.engine(plans) as executor:
            return swept(root, plans, executor, watcher)


def swept(root: Path, plans: Sequence[Planned], executor: Executor, watcher: Watcher) -> Report:
    store = RunStore(root).prepare()
    freeze(store, "test", plans)
    return run_sweep(plans, store, executor, watcher)


@contextmanager
def local() -> Iterator[Rig]:
    """This machine; its warm process is killed."""

    def lose(executor: Executor) -> None:
        os.kill(executor.server.pid, signal.SIGKILL)  # type: ignore[attr-defined]

    yield Rig(("executor.fuse=off",), lose)  # groups have tests of their own


@contextmanager
def fake() -> Iterator[Rig]:
    """Nothing is trained, and time is the engine's own."""

    def lose(executor: Executor) -> None:
        assert isinstance(executor, FakeExecutor)
        executor.lose()

    node = {"name": "fake", "_target_": "fake.FakeExecutor", "width": 2, "seconds": 60.0}
    yield Rig((), lose, node, trains=False)


@contextmanager
def ray() -> Iterator[Rig]:
    """Two nodes of a CPU each; the head dies."""
    with nodes(1, 1) as cluster:
        yield Rig(("executor=ray", f"executor.address='{cluster.address}'"), lambda _: cluster.behead())


@contextmanager
def slurm() -> Iterator[Rig]:
    """Two nodes of a Slurm of its own; nothing takes that away: its workers go on without a controller."""
    width = ("executor.workers=2", "executor.cpus_per_task=1", "executor.timeout_min=10")
    with beside():
        yield Rig(("executor=slurm", *width), lambda _: None)


ENGINES: dict[str, Callable[[], AbstractContextManager[Rig]]] = {
    "fake": fake,
    "local": local,
    "ray": ray,
    "slurm": slurm,
}
MARKS: dict[str, Any] = {"fake": (), "slurm": pytest.mark.slurm}
ROWS = [pytest.param(name, marks=MARKS.get(name, pytest.mark.slow)) for name in ENGINES]


@pytest.fixture(scope="module", params=ROWS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """An engine, for all tests of it that leave it as it is."""
    with ENGINES[request.param]() as there:
        yield there


class Enough(Exception):
    """Ends a sweep from within, as a crash of the driver would."""


def once(root: Path, run_id: str, act: Callable[[], None]) -> Watcher:
    """Who does something, once, as soon as a run is in the middle of its training."""
    run, done = RunStore(root).run(run_id), []

    def interfere() -> None:
        trained = run.checkpoint.exists() or not run.log.joinpath("launch.log").exists()
        if not done and run.read_state().state is State.RUNNING and trained:
            done.append(True)
            act()

    return Watcher(on_tick=interfere)


def test_each_run_once_and_as_on_this_machine(rig: Rig, tmp_path: Path, fleet: Fleet) -> None:
    plans, watcher = rig.plans(*SHORT, "seed=range(0,3)"), Watcher()
    with rig.engine(plans) as executor:
        report = swept(tmp_path / "there", plans, executor, watcher)
    assert (report.exit_code, report.states[State.DONE]) == (0, 3), watcher.states
    assert watcher.begun == {p.run_id: 1 for p in plans}
    assert watcher.most <= 2 or executor.queues, "of a queue is heard later what began and what ended"
    again = rig.sweep(tmp_path / "there", plans, watcher)
    assert (again.exit_code, again.skipped) == (0, 3)
    if rig.trains:
        here = fleet.train(tmp_path / "here", compose([*TINY[:3], "train.device=cpu", *SHORT, "seed=1"])[0])
        assert rows(RunStore(tmp_path / "there").run(plans[1].run_id)) == rows(here)


def test_a_stop_leaves_a_checkpoint_and_the_run_goes_on(rig: Rig, tmp_path: Path) -> None:
    (planned,) = plans = rig.plans(*LONG)
    run = RunStore(tmp_path).run(planned.run_id)
    with rig.engine(plans) as executor:
        watcher = once(tmp_path, planned.run_id, lambda: executor.stop(run))
        report = swept(tmp_path, plans, executor, watcher)
    assert (report.exit_code, watcher.states[planned.run_id].state) == (1, State.INTERRUPTED)
    assert run.checkpoint.exists()
    with rig.engine(plans) as executor:  # it goes on there, and is stopped again: nothing waits for 30,000 epochs
        watcher = once(tmp_path, planned.run_id, executor.stop)
        swept(tmp_path, plans, executor, watcher)
    assert watcher.log[0] == ("resumed", planned.run_id)


def test_a_kill_leaves_nobody_behind(rig: Rig, tmp_path: Path) -> None:
    (planned,) = plans = rig.plans(*LONG)
    run = RunStore(tmp_path).run(planned.run_id)

    def crash() -> None:
        raise Enough

    with rig.engine(plans) as executor:
        with pytest.raises(Enough):
            swept(tmp_path, plans, executor, once(tmp_path, planned.run_id, crash))
        executor.stop()  # as Ctrl-C twice does
        executor.close(kill=True)
        wait_until(lambda: not run.held())
    assert run.read_state().state in (State.CRASHED, State.INTERRUPTED)


def test_two_drivers_train_every_run_once(rig: Rig, tmp_path: Path) -> None:
    plans = rig.plans(*SHORT, "seed=range(0,3)")
    watchers = [Watcher(), Watcher()]
    store = RunStore(tmp_path).prepare()
    freeze(store, "test", plans)

    def drive(asked: Sequence[Planned], watcher: Watcher) -> Report:
        with rig.engine(asked) as executor:
            return run_sweep(asked, store, executor, watcher)

    with rig.engine(plans) as executor:
        if executor.queues:
            pytest.skip("the files of its queue are named after processes: tests/slurm drives it from two")
    with ThreadPoolExecutor() as pool:
        ways = [pool.submit(drive, plans, watchers[0]), pool.submit(drive, plans[::-1], watchers[1])]
        reports = [way.result(HANGS) for way in ways]
    assert [report.exit_code for report in reports] == [0, 0], [watcher.states for watcher in watchers]
    for planned in plans:
        run = RunStore(tmp_path).run(planned.run_id)
        assert run.read_state().state is State.DONE
        if rig.trains:
            assert len(list((run.log / "agent").iterdir())) == 1, "one launch, however many sweeps asked for it"


@pytest.mark.parametrize("name", [row for row in ROWS if row.values != ("slurm",)])  # its workers need no controller
def test_a_lost_engine_is_a_line_and_the_same_command_goes_on(name: str, tmp_path: Path) -> None:
    with ENGINES[name]() as rig:
        (planned,) = plans = rig.plans(*LONG)
        with rig.engine(plans) as executor:
            watcher = once(tmp_path, planned.run_id, lambda: rig.lose(executor))
            report = swept(tmp_path, plans, executor, watcher)
        run = RunStore(tmp_path).run(planned.run_id)
        assert report.exit_code == 1
        if report.lost:
            (said,) = watcher.notes
            assert said.endswith("; the same command goes on from the checkpoints")
            assert "\n" not in said
        wait_until(lambda: not run.held())
        if (found := run.read_state().state) is State.DONE and name == "ray":
            return  # its nodes end what they train a minute after their head, and a fast one had done it by then
        assert found in (State.CRASHED, State.INTERRUPTED)
    with ENGINES[name]() as rig, rig.engine(plans := rig.plans(*LONG)) as executor:
        watcher = once(tmp_path, planned.run_id, executor.stop)
        swept(tmp_path, plans, executor, watcher)
    assert watcher.states[planned.run_id].state is State.INTERRUPTED, "it began again, and was stopped in order"
