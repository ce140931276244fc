"""Tests marked real_data run where BATCHLAB_DATA holds the sets; elsewhere they are not collected."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REAL = ("cifar10.npz", "MNIST/raw", "libsvm/a9a")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    root = os.environ.get("BATCHLAB_DATA")
    if root and all((Path(root) / name).exists() for name in REAL):
        return
    absent = [item for item in items if item.get_closest_marker("real_data") and HERE in item.path.parents]
    config.hook.pytest_deselected(items=absent)
    items[:] = [item for item in items if item not in absent]
