"""What docs/grids.md shows runs as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks

from batchlab.runner.plan.config import compose

PAGE = (DOCS / "grids.md").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's experiment."""
    (text,) = blocks(PAGE, "yaml")
    path = tmp_path / "conf" / "experiment" / "quick.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_ranges_of_the_table(here: Path) -> None:
    rows = [re.findall(r"`([^`]+=.*?)`", line) for line in PAGE.splitlines() if line.startswith("| `")]
    texts = [shlex.split(row[0])[0] for row in rows if row]
    runs = {
        text: len(compose([text]))
        for text in texts
        if "interval" not in text and "glob" not in text and "hidden" not in text
    }
    assert sorted(runs.values()) == [3, 4, 5, 7]
    assert len(texts) == 8


@pytest.mark.slow
def test_the_commands_run(here: Path) -> None:
    said = bash("\n".join(blocks(PAGE, "bash")), here)
    totals = re.findall(r"^(\d+) of \d+ runs?  ·", said, re.MULTILINE)
    assert totals[0] == "8", said
    assert (here / "plot.png").is_file()
    assert "experiment" in said
