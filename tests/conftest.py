"""One thread per test process: two processes on two cores are faster than two threads for one.

Tests marked real_data run where BATCHLAB_DATA holds the sets; elsewhere they are not collected.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

REAL = ("cifar10.npz", "MNIST/raw", "libsvm/a9a")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    root = os.environ.get("BATCHLAB_DATA")
    if root and all((Path(root) / name).exists() for name in REAL):
        return
    absent = [item for item in items if item.get_closest_marker("real_data")]
    config.hook.pytest_deselected(items=absent)
    items[:] = [item for item in items if item not in absent]
