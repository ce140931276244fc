"""A stop at a bad moment: while a rank is forked, or while a run ends by itself, which keeps its outcome then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import HANGS, frozen

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.process import INTERRUPTED

STOPPED_AT_A_FORK = """
import os, signal, sys
from pathlib import Path
from batchlab.results.store.run import Run
from batchlab.runner.launch.launch import LAUNCHERS, run_job
os.register_at_fork(**{sys.argv[2]: lambda: os.kill(os.getpid(), signal.SIGTERM)})
sys.exit(run_job(Run(Path(sys.argv[1])), LAUNCHERS[sys.argv[3]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "where"),
    [
        ("fork", "before"),
        ("fork", "after_in_parent"),
        ("fork", "after_in_child"),
        ("torchrun", "before"),
        ("torchrun", "after_in_parent"),
    ],
)
def test_a_stop_while_a_process_is_forked_is_heard(launcher: str, where: str, tmp_path: Path) -> None:
    """Python drops what a handler raises there: the run trained on until it was killed, half a minute later."""
    run, _ = frozen(tmp_path, "train.epochs=5000", "train.checkpoint_seconds=10000")
    command = [sys.executable, "-c", STOPPED_AT_A_FORK, str(run.folder), where, launcher]
    assert subprocess.run(command, check=False, timeout=HANGS).returncode == INTERRUPTED
    assert run.read_state().state is State.INTERRUPTED


STOPPED_BEFORE_ITS_AGENT = """
import os, signal, sys
from pathlib import Path
from batchlab.results.store.run import Run
from batchlab.runner.launch.launch import LAUNCHERS, run_job

class Stops:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

def launch(run, config):
    Stops()
    LAUNCHERS[sys.argv[2]](run, config)

sys.exit(run_job(Run(Path(sys.argv[1])), launch))
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fork", "torchrun"])
def test_a_stop_that_was_dropped_before_its_agent_began_is_heard_by_it(launcher: str, tmp_path: Path) -> None:
    """What a handler raises while something is deleted is dropped as well."""
    run, _ = frozen(tmp_path, "train.epochs=5000", "train.checkpoint_seconds=10000")
    command = [sys.executable, "-c", STOPPED_BEFORE_ITS_AGENT, str(run.folder), launcher]
    assert subprocess.run(command, check=False, timeout=HANGS).returncode == INTERRUPTED
    assert run.read_state().state is State.INTERRUPTED


STOPPED_AS_IT_DIVERGES = """
import os, signal, time, torch
from multiprocessing.util import Finalize
from pathlib import Path

def at_exit():
    Path(__file__).with_name("ended_by_itself").touch()

class Stops(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.data.fill_(float("nan"))
        if "TORCHELASTIC_RUN_ID" in os.environ and not self.state.get("asked"):  # a rank, not a trial beforehand
            self.state["asked"] = True
            Finalize(None, at_exit, exitpriority=-100)  # last of all: after what a process waits for before it ends
            os.kill(os.getppid(), signal.SIGTERM)  # the agent, which passes it on to this rank
            time.sleep(0.5)
"""


@pytest.mark.slow
def test_a_run_that_diverges_while_it_is_stopped_ends_by_itself(tmp_path: Path) -> None:
    """A rank that returned its outcome would wait for the agent, which waits for the rank, until the agent kills it."""
    (tmp_path / "stops.py").write_text(STOPPED_AS_IT_DIVERGES)
    runs = tmp_path / "runs"
    command = [sys.executable, "-c", "from batchlab.runner.cli import main; main()", "train", "--runs", str(runs)]
    command += ["optimizer._target_=stops.Stops", "~optimizer.fused", "model=mlp", "train.epochs=2"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANGS)
    (run,) = RunStore(runs).runs()
    assert run.read_state().state is State.DIVERGED, ended.stdout + ended.stderr
    assert ended.returncode == 0
    assert (tmp_path / "ended_by_itself").exists(), "the rank was killed: it and the agent waited for each other"
