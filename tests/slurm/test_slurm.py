"""Sweeps on a real Slurm of two nodes: each run is trained once, whatever becomes of jobs, nodes and drivers."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from cluster import Slurm
from runs import HANGS, TINY, Fleet, one, wait_until
from shell import batchlab
from sweeps import LONG, PATIENCE, SAVES, WORKERS, driver, goes_on, same_as_here, states, told, trains

from batchlab.results.store.queue import queues
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.slurm import ASK

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(PATIENCE)]
both = pytest.mark.parametrize("slurm", ["cluster", "accounted"], indirect=True)
"""With accounting, all is as without."""


@both
def test_many_short_runs_are_one_submission(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    began = time.monotonic()
    done = batchlab("sweep", *TINY, *WORKERS, "seed=range(0,40)", cwd=tmp_path)
    seconds = time.monotonic() - began
    said = done.stdout.decode()
    store = RunStore(tmp_path / "runs")
    assert done.returncode == 0, said + done.stderr.decode()
    assert states(store) == [State.DONE] * 40
    assert set(told(store, "ended").values()) == {1}
    assert len(told(store, "ended")) == 40
    (queue,) = queues(store)
    workers = Counter(worker for worker, e in queue.heard({}) if e["event"] == "ended")
    assert len(workers) == 2, "both had their share"
    assert (slurm.calls("sbatch"), slurm.calls("sacct"), slurm.calls("scontrol")) == (1, 0, 0)
    assert slurm.calls("squeue") <= 1 + seconds / ASK, "one before the submission, then one in ten seconds"
    assert not queue.entries()
    same_as_here(store, fleet, tmp_path / "here", "seed=3")


def test_detached_then_joined(slurm: Slurm, tmp_path: Path) -> None:
    """Nobody need wait; a second command finds what the first asked for, and a third has nothing to do."""
    command = ("sweep", *LONG, *WORKERS, "seed=range(0,3)", "--name", "s")
    left = batchlab(*command, "--detach", cwd=tmp_path)
    assert left.returncode == 0, left.stderr
    assert b"3 runs left to Slurm" in left.stdout
    store = RunStore(tmp_path / "runs")
    status = batchlab("status", "s", cwd=tmp_path)
    assert b"3 runs queued in Slurm: 2 workers" in status.stdout
    assert status.stderr == b""
    more = batchlab(*command[:-3], "seed=range(0,4)", "--name", "s", cwd=tmp_path)
    assert more.returncode == 0, more.stdout + more.stderr
    assert states(store).count(State.DONE) + states(store).count(State.RUNNING) == 4
    wait_until(lambda: states(store) == [State.DONE] * 4)
    assert slurm.calls("sbatch") <= 2, "another worker is asked for only where one has left by then"
    assert set(told(store, "ended").values()) == {1}
    assert b"queued" not in batchlab("status", "s", cwd=tmp_path).stdout


def test_two_drivers_submit_once(slurm: Slurm, tmp_path: Path) -> None:
    drivers = [driver(*TINY, *WORKERS, "seed=range(0,8)", cwd=tmp_path) for _ in range(2)]
    assert [one.wait(HANGS) for one in drivers] == [0, 0], (tmp_path / "driver.log").read_text()
    store = RunStore(tmp_path / "runs")
    assert states(store) == [State.DONE] * 8
    assert set(told(store, "ended").values()) == {1}
    assert slurm.calls("sbatch") == 1


@both
def test_cancelled_from_outside(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    """No crash, no success; the same command goes on, bit for bit."""
    process = driver(*LONG, *WORKERS, "executor.workers=1", "seed=0,1", cwd=tmp_path)
    store = RunStore(tmp_path / "runs")
    first = store.run(one(*LONG, "seed=0").run_id)
    trains(first, process)
    slurm.ask("scancel", "-n", "batchlab")
    assert process.wait(HANGS) == 1
    assert states(store) == [State.CANCELLED] * 2
    assert "was cancelled" in str(first.read_state().reason)
    assert "crashed" not in (tmp_path / "driver.log").read_text()
    again = batchlab("sweep", *LONG, *WORKERS, "seed=0,1", cwd=tmp_path)
    assert again.returncode == 0, again.stdout
    assert b"resumed" in again.stdout
    assert slurm.calls("sacct") == 0
    same_as_here(store, fleet, tmp_path / "here", *LONG, "seed=0")


def test_requeued(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    def requeue() -> None:
        slurm.ask("scontrol", "requeue", slurm.jobs()[0].split()[0])

    said = goes_on(slurm, fleet, tmp_path, requeue)
    assert "requeued: back in the queue" in said
    assert "resumed" in said


@both
def test_preempted_with_grace(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    """Jobs of another partition, or of another QOS, come first, and take both nodes for a moment."""
    first = "--qos=first" if slurm.cluster.accounts else "--partition=first"

    def preempt() -> None:
        slurm.ask("sbatch", first, "-N2", "--exclusive", "-t", "1", "-o", "/dev/null", "--wrap", "sleep 1")

    said = goes_on(slurm, fleet, tmp_path, preempt)
    assert "preempted: back in the queue" in said
    assert "resumed" in said


def test_time_limit(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    """The worker's time is over before the run is: it comes back for the rest."""

    def back() -> bool:
        found = [job.split()[1] for job in slurm.jobs()]
        assert found, "the run was over before Slurm looked"
        return found == ["PENDING"]

    def shorten() -> None:
        job = slurm.jobs()[0].split()[0]
        ran = slurm.ask("squeue", "-h", "-j", job, "-o", "%M").split(":")
        slurm.ask("scontrol", "update", f"jobid={job}", f"timelimit={int(ran[-2]) + 2}")
        wait_until(back)
        slurm.ask("scontrol", "update", f"jobid={job}", "timelimit=10")

    said = goes_on(slurm, fleet, tmp_path, shorten, "train.epochs=5000")  # Slurm looks every half minute
    assert "its time limit is near: back in the queue" in said
    assert "resumed" in said


def test_a_node_that_fails(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    """Its processes die without a word; the run goes on from its last checkpoint on the other node."""

    def fail() -> None:
        (node,) = {job.split()[2] for job in slurm.jobs()}
        lost.append(node)
        slurm.cluster.kill_node(node)
        slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    lost: list[str] = []
    try:
        said = goes_on(slurm, fleet, tmp_path, fail, SAVES)
    finally:
        for node in lost:
            slurm.cluster.start_node(node)
    (queue,) = queues(RunStore(tmp_path / "runs"))
    nodes = [event["node"] for _, event in queue.heard({}) if event["event"] == "here"]
    assert nodes[0] == lost[0]
    assert nodes[-1] != lost[0]
    assert "interrupted" not in said
    assert "lost with its node or job, and taken up again" in said


def test_ctrl_c_is_one_scancel(slurm: Slurm, tmp_path: Path) -> None:
    process = driver(*LONG, *WORKERS, "seed=range(0,6)", cwd=tmp_path)
    store = RunStore(tmp_path / "runs")
    trains(store.run(one(*LONG, "seed=0").run_id), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(HANGS) == 130
    found = Counter(states(store))
    assert found.keys() <= {State.INTERRUPTED, State.PENDING}
    assert found[State.INTERRUPTED] >= 1
    assert slurm.calls("scancel") == 1
    assert store.run(one(*LONG, "seed=0").run_id).checkpoint.exists()
    wait_until(lambda: not slurm.jobs())


def test_over_two_nodes(slurm: Slurm, fleet: Fleet, tmp_path: Path) -> None:
    """Two ranks on two nodes by srun and torchrun; requeued in the middle they go on bit for bit."""
    overrides = ("nproc=2", "executor.nodes=2", "executor.workers=1")
    fleet.executor.slots = type(fleet.executor.slots)(["core0", "core1"], 1)

    def requeue() -> None:
        slurm.ask("scontrol", "requeue", slurm.jobs()[0].split()[0])

    said = goes_on(slurm, fleet, tmp_path, requeue, *overrides)
    assert "back in the queue" in said


def test_a_worker_that_cannot_start(slurm: Slurm, tmp_path: Path) -> None:
    """Two fruitless submissions are enough: the runs say where to look."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\nif 'SLURM_JOB_ID' in os.environ:\n    sys.stderr.write('no such library')\n    os._exit(3)\n"
    )
    path = os.pathsep.join([str(broken), os.environ.get("PYTHONPATH", "")])
    done = batchlab("sweep", *TINY, *WORKERS, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert b"no worker got to it" in done.stdout
    assert b"FAILED" in done.stdout
    assert slurm.calls("sbatch") == 2
    (log, *_) = (tmp_path / "runs" / ".queue").glob("*/log/*")
    assert "no such library" in log.read_text()
