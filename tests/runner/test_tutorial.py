"""docs/tutorial.md leads from an empty folder to a decided comparison."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks, write_block

PAGE = (DOCS / "tutorial.md").read_text()


@pytest.mark.slow
def test_it_ends_with_a_verdict(tmp_path: Path) -> None:
    for block in (*blocks(PAGE, "python"), *blocks(PAGE, "yaml")):
        assert len(block.splitlines()) <= 21
        write_block(block, tmp_path)
    said = [bash(script, tmp_path, COLUMNS="120") for script in blocks(PAGE, "bash")]
    sentence = " ".join(said[1].splitlines()[-3:])
    assert "has the best test macro F1" in sentence
    assert re.search(r"better than (sign|shb)|No difference beyond 1 point", sentence), sentence
    assert "by validation_macro_f1 on 2 seeds that judge nothing" in " ".join(said[1].split())
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert "macro F1" in (tmp_path / "report.html").read_text()
