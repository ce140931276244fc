"""docs/vrgd.md runs, block by block; so do the docstrings' examples."""

import doctest
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from batchlab.optimizers import gsnr, lamb, lars, vrgd


@pytest.mark.parametrize("module", [gsnr, lamb, lars, vrgd], ids=lambda m: m.__name__)
def test_examples(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "vrgd.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    # labels drawn at random: the page gives 0.49 for pure noise and 8 groups
    assert names["optimizer"].mean_multiplier() == pytest.approx(0.49, abs=0.05)
    assert len(names["r"]) == 4
