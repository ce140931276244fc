"""What docs/plots.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks

from batchlab.results.show.kinds import Kind

PAGE = (DOCS / "plots.md").read_text()


def test_every_kind_is_described() -> None:
    assert set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) == {*Kind} - {Kind.CURVES}


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    text = "\n".join(blocks(PAGE, "bash"))
    said = bash(text, tmp_path)
    pictures = re.findall(r"-o (\w+\.png)", text)
    assert len(pictures) == 9
    assert all((tmp_path / name).stat().st_size > 10_000 for name in pictures), said
