"""Every block of code in docs/integrators.md runs, in order, and gives the numbers beside it."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch


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
