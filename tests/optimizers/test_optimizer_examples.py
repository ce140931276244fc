"""The examples in the docstrings of the room run (those of the finite-sum solvers in their own test)."""

import doctest
import importlib
from pathlib import Path

import pytest

import batchlab.optimizers

ROOM = Path(next(iter(batchlab.optimizers.__path__)))
FILES = [file for file in sorted(ROOM.rglob("*.py")) if ">>>" in file.read_text() and file.parent.name != "finite_sum"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_examples(file: Path) -> None:
    name = ".".join(["batchlab.optimizers", *file.relative_to(ROOM).with_suffix("").parts])
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


def test_the_examples_are_found() -> None:
    assert {"gsnr", "lamb", "lars", "moments", "multistep", "needs", "nshb", "schedules"} < {f.stem for f in FILES}
