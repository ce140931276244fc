"""A stop that comes while a run ends by itself: the run keeps its outcome, and nobody waits for a dead rank."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from batchlab.results.store.runs import RunStore, State

STOPPED_AS_IT_DIVERGES = """
import os, signal, time, torch

class Stops(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.data.fill_(float("nan"))
        if not self.state.get("asked"):
            self.state["asked"] = True
            os.kill(os.getppid(), signal.SIGTERM)  # the agent, which passes it on to this rank
            time.sleep(0.5)
"""


def test_a_run_that_diverges_while_it_is_stopped_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text(STOPPED_AS_IT_DIVERGES)
    runs = tmp_path / "runs"
    command = [sys.executable, "-c", "from batchlab.runner.cli import main; main()", "train", "--runs", str(runs)]
    command += ["optimizer._target_=stops.Stops", "~optimizer.fused", "model=mlp", "train.epochs=2"]
    began = time.monotonic()
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=120
    )
    took = time.monotonic() - began
    (run,) = RunStore(runs).runs()
    assert run.read_state().state is State.DIVERGED, ended.stdout + ended.stderr
    assert ended.returncode == 0
    assert took < 28, "the agent waits 30 s for a rank that waits for it"
