"""Every block of code in docs/gradient-noise.md runs, in order, and so do the docstrings' examples."""

import doctest
import re
from pathlib import Path

import torch

from batchlab.optimizers.batch import adaptive
from batchlab.optimizers.moments import moments


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gradient-noise.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 2
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["batch_size"].value > 16


def test_the_examples_run() -> None:
    for module in (moments, adaptive):
        result = doctest.testmod(module)
        assert result.attempted > 5
        assert result.failed == 0
