"""What all tests of the runner share: the warm process, and what Hydra makes of the packaged files."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from runs import Fleet
from slurms import Slurm

from batchlab.runner.launch.executors import slurm as engine
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.launch.slurm import commands
from batchlab.runner.plan.conf import files


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Shared by the whole session: the warm process takes seconds to import torch. Each run has a process."""
    executor = LocalExecutor(fuse="off")
    executor.warm_up()
    yield Fleet(executor)
    executor.close()


@pytest.fixture(scope="session", autouse=True)
def _packaged_files_are_composed_once() -> Iterator[None]:
    """Hydra takes 0.2 s to compose files that no test changes: where there is no other `conf`, once a session for each.

    Which files and choices are asked for, and all that is made of them, is as without.
    """
    real, known = files._composed, {}

    def composed(file: str, groups: tuple[str, ...], choices: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        own = os.path.lexists("conf") and not os.path.samefile("conf", files.PACKAGED)
        if own or any(text.startswith("executor=") for text in groups):  # packages offer executors of their own
            return real(file, groups, choices)
        asked = file, groups, tuple(choices)
        if asked not in known:
            known[asked] = real(file, groups, choices)
        return copy.deepcopy(known[asked])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_composed", composed)
        yield


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
