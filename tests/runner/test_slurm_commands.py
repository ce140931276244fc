"""Slurm's commands, and what `status` says of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import DOCS
from runs import HANGS, Watcher, frozen, one
from shell import TRAIN, batchlab, in_one_line
from slurms import ON_SLURM, Slurm, asked, only

from batchlab.results.store.queue import queues
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.launch.executors.slurm import SlurmExecutor
from batchlab.runner.launch.slurm import commands
from batchlab.runner.launch.slurm.commands import SlurmError, StoppedError
from batchlab.runner.launch.slurm.view import queued
from batchlab.runner.sweep import freeze, run_sweep


def test_status_tells_shapes_apart(slurm: Slurm, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    executor = asked(store, 1, SlurmExecutor(cpus_per_task=2))
    executor.start(store.run("run0001"), 2)
    executor.wait(0)
    assert sorted(queued(store, ["run0000", "run0001"]).notes) == [
        "1 run queued (nproc=1) in Slurm: 1 worker PENDING (Priority)",
        "1 run queued (nproc=2) in Slurm: 1 worker PENDING (Priority)",
    ]


def test_status_asks_once_for_all_and_only_where_something_waits(slurm: Slurm, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    executor = asked(store, 5)
    executor.wait(0)
    slurm.calls.clear()
    slurm.jobs["1_0"][0] = "RUNNING"
    found = queued(store, [f"run{i:04}" for i in range(5)])
    assert found.notes == ["5 runs queued in Slurm: 3 workers PENDING (Priority), 1 worker RUNNING"]
    assert set(found.runs) == {f"run{i:04}" for i in range(5)}
    slurm.jobs.clear()
    assert queued(store, ["run0000"]).notes == [
        "1 run queued, no worker in Slurm: the same sweep command asks for some"
    ]
    assert queued(store, ["run0000"]).runs == {"run0000": "no worker: sweep again"}
    assert "`no worker: sweep again`" in (DOCS / "slurm.md").read_text().replace("\n", " ")
    assert slurm.count("squeue") == 3
    executor.stop()
    slurm.calls.clear()
    assert queued(store, ["run0000"]).notes == []
    assert not slurm.calls


def test_status_where_there_is_no_slurm(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another machine that sees the store: it says so in a note and nothing else."""
    run, _ = frozen(tmp_path / "runs")
    executor = SlurmExecutor(cpus_per_task=1)
    executor.start(run, 1)
    executor.wait(0)

    def missing(*command: str, **how: object) -> str:
        raise SlurmError("there is no squeue here")

    monkeypatch.setattr(commands, "call", missing)
    code, said = in_one_line("status", "--runs", str(tmp_path / "runs"), monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "1 run queued in Slurm, which cannot be asked from here" in said


UNREACHABLE = "#!/bin/sh\necho 'sbatch: error: Unable to contact slurm controller' >&2\nexit 1\n"


@pytest.mark.slow
@pytest.mark.parametrize("tools", [(), ("sbatch", "squeue", "scancel")], ids=["no sbatch", "no cluster"])
def test_no_cluster_is_one_line(tools: tuple[str, ...], tmp_path: Path) -> None:
    """The run is left as it was, and the same command goes on where there is a cluster."""
    (tmp_path / "bin").mkdir()
    for tool in tools:
        (tmp_path / "bin" / tool).write_text(UNREACHABLE)
        (tmp_path / "bin" / tool).chmod(0o755)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin" if tools else str(tmp_path / "bin")
    done = batchlab(*TRAIN, "executor=slurm", cwd=tmp_path, PATH=path)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith(b"batchlab: executor=slurm: ")
    assert (b"Unable to contact slurm controller" if tools else b"no sbatch") in said
    assert {run.read_state().state for run in RunStore(tmp_path / "runs").runs()} <= {State.PENDING}
    assert not [entry for queue in queues(RunStore(tmp_path / "runs")) for entry in queue.entries()]


def test_a_command_that_is_missing_fails_or_hangs_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SlurmError, match="there is no squeue-of-nowhere here"):
        commands.call("squeue-of-nowhere")
    with pytest.raises(SlurmError, match=r"^sh: two lines$"):
        commands.call("sh", "-c", "echo two >&2; echo lines >&2; exit 3")
    monkeypatch.setattr(commands, "PATIENCE", 0.01)
    with pytest.raises(SlurmError, match=r"did not answer in 0\.01 s"):
        commands.call(sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that this process was told to stop by, as in a sweep."""
    told: list[int] = []
    before = signal.signal(signal.SIGINT, lambda signum, _: told.append(signum))
    yield told
    assert callable(signal.getsignal(signal.SIGINT))
    signal.signal(signal.SIGINT, before)


def after_signal(what: str) -> tuple[str, ...]:
    """A command that has this process told to stop, and then does something."""
    return sys.executable, "-c", f"import os, signal, time; os.kill(os.getppid(), signal.SIGINT); {what}"


def test_ctrl_c_gives_up_a_command_that_hangs(told: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm may take a minute to say that its controller is not there."""
    monkeypatch.setattr(commands, "STOPPED", 0.05)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StoppedError, match="was given up"):
        commands.call(*after_signal("time.sleep(60)"))
    assert told == [signal.SIGINT], "whoever caught the signal before was told too"
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_lets_a_command_end_that_answers(told: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says counts; a failure then is the signal's and no other's."""
    monkeypatch.setattr(commands, "STOPPED", HANGS)
    assert commands.call(*after_signal("print(7)")) == "7\n"
    with pytest.raises(StoppedError):
        commands.call(*after_signal("raise SystemExit(3)"))
    assert commands.call(*after_signal("time.sleep(0.3); print(7)"), interruptible=False) == "7\n"


def test_a_command_is_out_of_the_terminal_s_reach() -> None:
    """Ctrl-C there goes to all processes of the group of this one."""
    assert int(commands.call(sys.executable, "-c", "import os; print(os.getpgrp())")) != os.getpgrp()


def test_ctrl_c_during_the_submission_is_130(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = [one(*ON_SLURM, f"seed={seed}") for seed in range(3)]
    store = RunStore(tmp_path).prepare()
    freeze(store, "s", planned)

    def interrupted(*command: str, **how: object) -> str:
        if command[0] == "sbatch":
            os.kill(os.getpid(), signal.SIGINT)
            raise StoppedError("sbatch was given up")
        return slurm(*command)

    monkeypatch.setattr(commands, "call", interrupted)
    report = run_sweep(planned, store, executor_for([p.tree for p in planned]), Watcher())
    assert report.exit_code == 130
    assert not only(store).entries()
