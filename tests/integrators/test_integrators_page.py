"""docs/integrators.md runs, block by block, and gives the numbers beside it; so do the docstrings' examples."""

import doctest
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from batchlab.optimizers.integrators import multistep, runge_kutta


@pytest.mark.parametrize("module", [multistep, runge_kutta], ids=lambda m: m.__name__)
def test_examples(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "integrators.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["order"] == pytest.approx(3, abs=0.1)
    assert names["limit"] == pytest.approx(6 / 11, rel=0.01)
    assert names["x"].item() == pytest.approx(0.9055, abs=1e-4)
