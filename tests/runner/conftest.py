"""The warm process that all tests of the runner share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runs import Fleet

from batchlab.runner.launch.executors.local import LocalExecutor


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Shared by the whole session: the warm process takes seconds to import torch."""
    executor = LocalExecutor()
    executor.warm_up()
    yield Fleet(executor)
    executor.close()


@pytest.fixture(autouse=True)
def _no_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHLAB_RUNS", raising=False)
