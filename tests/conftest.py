"""One thread per test process: two processes on two cores are faster than two threads for one.

A test marked real_data("FILE", ...) runs where BATCHLAB_DATA holds these files; elsewhere it is skipped.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = os.environ.get("BATCHLAB_DATA")
    for item in items:
        needed = [name for mark in item.iter_markers("real_data") for name in mark.args]
        missing = [name for name in needed if not (root and (Path(root) / name).exists())]
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)} under BATCHLAB_DATA"))
