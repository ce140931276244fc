"""Workers on a Slurm that only answers, and the queue that they drain."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import frozen, one
from slurms import ON_SLURM, Slurm, only

from batchlab.results.store.queue import Queue
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.base import Ended
from batchlab.runner.launch.executors.slurm import SlurmExecutor
from batchlab.runner.launch.launch import Interrupted, LaunchFailure
from batchlab.runner.launch.slurm import engine as engines
from batchlab.runner.launch.slurm import nodes, worker
from batchlab.runner.sweep import freeze


def test_a_queue_is_its_files(tmp_path: Path) -> None:
    queue = Queue.of(RunStore(tmp_path), "abc")
    queue.declare({"nproc": 1})
    assert [queue.add("a"), queue.add("b"), queue.add("a")] == [True, True, False]
    assert queue.place("a") < queue.place("b")
    since: dict[str, int] = {}
    queue.tell("1_0", "began", "a")
    assert [event["run"] for _, event in queue.heard(since)] == ["a"]
    with (queue.folder / "events" / "1_0").open("a") as file:
        file.write('{"event": "en')  # being written
    assert queue.heard(since) == []
    with (queue.folder / "events" / "1_0").open("a") as file:
        file.write('ded", "run": "a"}\nnot JSON\n[1]\n')
    assert [event["event"] for _, event in queue.heard(since)] == ["ended"]
    queue.remove("a")
    queue.remove("a")
    assert queue.entries() == {"b"}
    assert Run(tmp_path / ".queue").run_id not in [run.run_id for run in RunStore(tmp_path).runs()]


class Node:
    """The engine of a worker that trains nothing: whatever it started is stopped by Slurm within one call of `wait`."""

    places = 2

    def __init__(self, *signals: int, tries: int = 1) -> None:
        self.signals, self.tries = signals, tries
        self.started: list[Run] = []
        self.running: list[Run] = []

    def room(self, nproc: int) -> bool:
        return len(self.running) < self.places

    def start(self, run: Run, nproc: int) -> None:
        self.started.append(run)
        self.running.append(run)

    def stop(self, run: Run | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    def wait(self, seconds: float) -> list[Ended]:
        self.tries -= 1
        for signum in self.signals:
            os.kill(os.getpid(), signum)
        stopped, self.running = self.running, []
        for run in stopped:
            run.write_state(state=State.INTERRUPTED if self.tries >= 0 else State.FAILED)
        return [Ended(run, 130 if self.tries >= 0 else 0) for run in stopped]


@pytest.fixture
def handlers() -> Iterator[None]:
    """A worker sets its own for the rest of its life."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def drained(node: Node, root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Queue, list[Run]]:
    """A worker has been at two runs; its queue, and the runs."""
    planned = [one(*ON_SLURM, f"seed={seed}") for seed in range(2)]
    store = RunStore(root).prepare()
    freeze(store, "s", planned)
    executor = SlurmExecutor(cpus_per_task=1)
    runs = [store.run(p.run_id) for p in planned]
    for run in runs:
        executor.start(run, 1)
    monkeypatch.setattr(engines, "engine_for", lambda shape, runs: node)
    assert worker.Worker(only(store), store, {"SLURM_JOB_ID": "7"}).drain() == 0
    return only(store), runs


@pytest.mark.parametrize(
    ("signum", "job", "why"),
    [
        (signal.SIGTERM, "JobState=RUNNING Restarts=0", "requeued"),
        (signal.SIGTERM, "JobState=PENDING Restarts=1", "requeued"),
        (signal.SIGTERM, "JobState=RUNNING Restarts=0 PreemptTime=2030-01-01T00:00:00", "preempted"),
        (signal.SIGUSR2, "JobState=RUNNING Restarts=0 EndTime=2001-01-01T00:00:00", "its time limit is near"),
        (signal.SIGTERM, "", "requeued"),
    ],
)
def test_runs_that_slurm_stops_before_the_worker_knows_stay_in_the_queue(
    signum: int, job: str, why: str, slurm: Slurm, handlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm signals the ranks too, and they may have ended by the time that the worker hears of it."""
    slurm.job = job
    queue, runs = drained(Node(signum), tmp_path, monkeypatch)
    assert queue.entries() == {run.run_id for run in runs}
    assert {run.read_state().reason for run in runs} == {f"{why}: back in the queue"}
    told = [event["event"] for _, event in queue.heard({})]
    assert told == ["here", "began", "began", "back", "back", "back"]
    assert slurm.calls[-1] == ("scontrol", "requeue", "7")


def test_runs_that_a_cancelled_job_stops_before_its_worker_knows(
    slurm: Slurm, handlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.job = "JobState=CANCELLED Restarts=0"
    queue, runs = drained(Node(signal.SIGTERM), tmp_path, monkeypatch)
    assert {run.read_state().state for run in runs} == {State.CANCELLED}
    assert not queue.entries()


def test_srun_that_slurm_stops_before_the_run_knows(
    handlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with an error of its own then, which is none of the run's."""
    signal.signal(signal.SIGTERM, lambda signum, _: None)
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n(sleep 0.2; kill -TERM $PPID) >/dev/null 2>&1 &\nexit 1\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    run, config = frozen(tmp_path / "runs")
    run.log.mkdir(parents=True, exist_ok=True)
    with pytest.raises(Interrupted):
        nodes.over(run, config, nodes=2, cores=1)
    srun.write_text("#!/bin/sh\necho 'no such node'\nexit 1\n")
    monkeypatch.setattr(nodes, "SOON", 0.0)
    with pytest.raises(LaunchFailure, match="no such node"):
        nodes.over(run, config, nodes=2, cores=1)


def test_a_run_that_somebody_else_stopped_goes_on(
    slurm: Slurm, handlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal to a rank alone: the worker is never told, and the run is still wanted."""
    monkeypatch.setattr(worker, "SOON", 0.05)
    monkeypatch.setattr(worker, "LOOK", 0.0)
    node = Node()
    queue, runs = drained(node, tmp_path, monkeypatch)
    assert len(node.started) == 4
    assert {run.read_state().state for run in runs} == {State.FAILED}
    assert not queue.entries()
