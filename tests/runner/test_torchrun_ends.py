"""torchrun as launcher: who is killed leaves nothing that trains on, and a stop that comes twice is one stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import HANGS, frozen, wait_until

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.runner.launch import launch
from batchlab.runner.launch.process import AGENT, INTERRUPTED

JOB = """
import sys
from pathlib import Path
from batchlab.results.store.run import Run
from batchlab.runner.launch.launch import LAUNCHERS, run_job
sys.exit(run_job(Run(Path(sys.argv[1])), LAUNCHERS[sys.argv[2]]))
"""
LONG = ("train.epochs=5000", "train.checkpoint_seconds=10000")


def begun(run: Run, launcher: str = "torchrun") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", JOB, str(run.folder), launcher], start_new_session=True)


def ranks(run: Run) -> list[int]:
    """Processes of torchrun's whose command line names the run: the agent and its ranks, dead ones left out."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if str(run.folder).encode() in words and b"batchlab.runner.launch.rank" in words:
            found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_killed_job_leaves_no_rank_beside_the_next(tmp_path: Path) -> None:
    """In the seconds in which a rank imports torch, too. The kernel tells ranks just after it has freed the run."""
    run, _ = frozen(tmp_path, *LONG)
    job = begun(run)
    wait_until(lambda: len(ranks(run)) == 2)
    job.kill()
    job.wait()
    wait_until(lambda: not run.held() and not ranks(run))
    assert run.read_state().state is State.CRASHED
    assert not read_stream(run, "metrics")


def test_a_rank_whose_agent_died_before_it_began_trains_nothing(tmp_path: Path) -> None:
    """Whoever adopted it meanwhile: not everywhere is that process 1."""
    run, _ = frozen(tmp_path)
    with subprocess.Popen(["true"]) as gone:
        pass
    command = [sys.executable, "-m", "batchlab.runner.launch.rank", str(run.folder)]
    ended = subprocess.run(command, env=os.environ | {AGENT: str(gone.pid)}, check=False, timeout=HANGS)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fork", "torchrun"])
def test_a_stop_that_everybody_hears_twice_is_one_stop(launcher: str, tmp_path: Path) -> None:
    """Slurm sends SIGTERM to each process of a job, whatever its parent passes on."""
    run, _ = frozen(tmp_path, *LONG, "nproc=2")
    job = begun(run, launcher)
    wait_until(lambda: read_stream(run, "metrics"))
    everybody = {job.pid, *descendants(job.pid)}
    assert len(everybody) >= 3
    for _ in range(2):
        for pid in everybody:
            os.kill(pid, signal.SIGTERM)
    assert job.wait(HANGS) == INTERRUPTED
    assert run.read_state().state is State.INTERRUPTED
    assert run.checkpoint.exists()


def descendants(pid: int) -> list[int]:
    """Its children and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


BANNER = """\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
======================================================
[0]:
  rank      : 0 (local_rank: 0)
  exitcode  : {code} (pid: 28970)
  error_file: <N/A>
======================================================
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-9, "ended by SIGKILL (out of memory?)"),
        (-11, "ended by SIGSEGV"),
        (3, "no such thing"),
    ],
)
def test_a_killed_rank_is_named_by_its_signal(
    code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent prints it in a frame, whose last line was the reason; what an attempt before said is not this one's."""
    run, config = frozen(tmp_path)
    (run.log / "torchrun.log").write_text(BANNER.format(code=-15))
    agent = tmp_path / "agent"
    last = "" if code < 0 else "echo no such thing\n"
    agent.write_text(f"#!/bin/sh\ncat <<'END'\n{BANNER.format(code=code)}END\n{last}exit 1\n")
    agent.chmod(0o755)
    monkeypatch.setattr(launch.sys, "executable", str(agent))
    with pytest.raises(launch.LaunchFailure) as caught:
        launch.torchrun(run, config)
    assert caught.value.reason == f"rank ?: {reason}"
