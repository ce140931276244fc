"""docs/tutorial.md leads from an empty folder to a decided comparison."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_it_ends_with_a_verdict(tmp_path: Path) -> None:
    for block in (*blocks("python"), *blocks("yaml")):
        assert len(block.splitlines()) <= 21
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.partition("\n")[2])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "120"}
    said = []
    for script in blocks("bash"):
        done = subprocess.run(
            ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=580
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    sentence = " ".join(said[1].splitlines()[-3:])
    assert "has the best test macro F1" in sentence
    assert re.search(r"better than (sign|shb)|No difference beyond 1 point", sentence), sentence
    assert "by validation_macro_f1 on 2 seeds that judge nothing" in " ".join(said[1].split())
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert "macro F1" in (tmp_path / "report.html").read_text()
