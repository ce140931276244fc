"""Two Slurms for all tests here, with and without accounting, and one warm process on this machine to compare with."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Slurm, Unavailable
from runs import Fleet

from batchlab.runner.launch.executors.local import LocalExecutor

COUNTED = ("sbatch", "squeue", "scancel", "scontrol", "sacct")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """It starts in seconds; a test leaves it without jobs."""
    yield from _started(accounted=False)


@pytest.fixture(scope="session")
def accounted() -> Iterator[Cluster]:
    """One with accounts, limits and QOS (`accounting.py`)."""
    yield from _started(accounted=True)


def _started(*, accounted: bool) -> Iterator[Cluster]:
    try:
        with Cluster(accounted=accounted) as started:
            yield started
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    executor = LocalExecutor(devices=1)
    yield Fleet(executor)
    executor.close()


@pytest.fixture
def slurm(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """An empty cluster, whose commands are counted: `cluster`, or the one that a test names as the parameter."""
    cluster: Cluster = request.getfixturevalue(getattr(request, "param", "cluster"))
    log, folder = tmp_path / "calls", tmp_path / "bin"
    log.touch()
    folder.mkdir()
    for command in COUNTED:
        if real := shutil.which(command):
            (folder / command).write_text(f'#!/bin/sh\necho "{command} $*" >> {log}\nexec {real} "$@"\n')
            (folder / command).chmod(0o755)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{folder}:{path}")
    yield Slurm(cluster, cluster.environment, log, path)
    cluster.ask("scancel", "--user=root", check=False, path=path)
    cluster.ask("scontrol", "update", "nodename=ALL", "state=resume", check=False, path=path)
    deadline = time.monotonic() + 60
    while cluster.ask("squeue", "-h", path=path) and time.monotonic() < deadline:
        time.sleep(0.2)
