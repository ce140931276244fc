"""What all tests of the runner share: the warm process, and what Hydra makes of files that are the same."""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
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


@pytest.fixture
def _beside_code_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with models and optimizers to train together, or not."""
    from stacks import beside  # which brings torch along

    beside(tmp_path / "beside", monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def _the_same_files_are_composed_once() -> Iterator[None]:
    """Hydra takes 0.2 s for what is composed a thousand times here: of the same files and choices once a session.

    What is refused is refused anew, and all that is made of what was composed is made each time.
    """
    real, known = files._composed, {}

    def composed(file: str, groups: tuple[str, ...], choices: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        own = contents_of(Path("conf"))
        if own is None or any(text.startswith("executor=") for text in groups):  # packages offer executors too
            return real(file, groups, choices)
        asked = file, groups, tuple(choices), own
        if asked not in known:
            known[asked] = real(file, groups, choices)
        return copy.deepcopy(known[asked])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_composed", composed)
        yield


def contents_of(conf: Path) -> tuple[tuple[str, bytes], ...] | None:
    """All that a user's own folder says; None where it holds anything else than small files."""
    if not os.path.lexists(conf) or conf.resolve() == files.PACKAGED:
        return ()
    found = []
    for path in [conf, *sorted(conf.rglob("*"))]:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size < 1 << 16 and status.st_mode & 0o400:
            found.append((path.relative_to(conf).as_posix(), path.read_bytes()))
        elif not stat.S_ISDIR(status.st_mode):
            return None
    return tuple(found)


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
