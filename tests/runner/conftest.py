"""The warm process that all tests of the runner share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runs import Fleet

from batchlab.runner.launch.executors.local import LocalExecutor


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Shared by the whole session: the warm process takes seconds to import torch."""
    node = {"name": "local", "devices": "auto", "jobs_per_device": 1, "threads": 1, "launcher": "fork"}
    executor = LocalExecutor(node, 1, on_cpu=True)
    executor.warm_up()
    yield Fleet(executor)
    executor.close()


@pytest.fixture(autouse=True)
def _no_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHLAB_RUNS", raising=False)
