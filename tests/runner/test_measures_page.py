"""What docs/measures.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import bash, blocks, write_block

from batchlab.runner.plan.conf.files import axes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "measures.md").read_text()


def test_the_table_lists_what_there_is() -> None:
    listed = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert sorted(listed) == axes()["measure"] == sorted(p.stem for p in (ROOT / "conf" / "measure").glob("*.yaml"))


@pytest.mark.slow
def test_a_macro_f1_of_ones_own(tmp_path: Path) -> None:
    for language in ("python", "yaml"):
        (block,) = blocks(PAGE, language)
        write_block(block, tmp_path)
        if language == "python":
            assert len([line for line in block.splitlines()[1:] if line.strip()]) <= 10, "ten lines"
        else:
            assert yaml.safe_load(block)["name"] == "macro_f1"
    *_, script = blocks(PAGE, "bash")
    said = bash(script, tmp_path)
    rows = [line for line in said.splitlines() if line.strip().startswith(("shb", "nshb"))]
    assert "macro F1 [%]" in said
    assert len(rows) == 2
    assert all(50 < float(re.findall(r"[\d.]+ ±", row)[0].split()[0]) < 100 for row in rows)
