"""The warm process that all tests of the runner share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runs import Fleet
from slurms import Slurm

from batchlab.runner.launch.executors import slurm as engine
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.launch.slurm import commands


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Shared by the whole session: the warm process takes seconds to import torch. Each run has a process."""
    executor = LocalExecutor(fuse="off")
    executor.warm_up()
    yield Fleet(executor)
    executor.close()


@pytest.fixture(autouse=True)
def _no_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHLAB_RUNS", raising=False)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """Asked instead of a real one; time passes there only where somebody sleeps."""
    found = Slurm()
    monkeypatch.setattr(commands, "call", found)
    monkeypatch.setattr(engine, "time", found)
    monkeypatch.setattr(engine.shutil, "which", lambda name: f"/bin/{name}")
    return found
