"""What docs/grids.md shows runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from batchlab.runner.plan.config import compose

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "grids.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's experiment."""
    (text,) = blocks("yaml")
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
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", "\n".join(blocks("bash"))],
        cwd=here, env=os.environ | {"PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    totals = re.findall(r"^(\d+) of \d+ runs?  ·", done.stdout, re.MULTILINE)
    assert totals[0] == "8", done.stdout
    assert (here / "plot.png").is_file()
    assert "experiment" in done.stdout
