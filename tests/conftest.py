"""One thread per test process: two processes on two cores are faster than two threads for one.

A test marked real_data("FILE", ...) runs where BATCHLAB_DATA holds these files; elsewhere it is skipped.
"""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no time is judged", deadline=None)  # a loaded machine is no fault of the code
settings.load_profile("no time is judged")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
for size in ("COLUMNS", "LINES"):  # of who runs the tests, or of their workers: what is printed in a pipe heeds it
    os.environ.pop(size, None)


def pytest_configure() -> None:
    """Ten thousand tests are kept to the end: looking for garbage among them took a quarter of collecting them."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What was kept is let go before the interpreter ends: triton's bindings print a page about what it finds left."""
    if "triton" in sys.modules:
        gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = os.environ.get("BATCHLAB_DATA")
    for item in items:
        needed = [name for mark in item.iter_markers("real_data") for name in mark.args]
        missing = [name for name in needed if not (root and (Path(root) / name).exists())]
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)} under BATCHLAB_DATA"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system, or mounts it anew, with the options of `mount -o`; its folder."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root on Linux may mount a small file system")
        return folder

    yield mount
    while os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)
