"""Every block of code in docs/gradient-noise.md runs, in order."""

import re
from pathlib import Path

import torch


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gradient-noise.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 2
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["batch_size"].value > 16
