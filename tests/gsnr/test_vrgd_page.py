"""Every block of code in docs/vrgd.md runs, in order."""

import re
from pathlib import Path
from typing import Any

import torch


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "vrgd.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert 0.1 <= names["optimizer"].mean_multiplier() <= 1
    assert len(names["r"]) == 4
