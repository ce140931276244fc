"""What docs/callbacks.md shows runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "callbacks.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(script: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_of_ones_own(tmp_path: Path) -> None:
    files = [*blocks("python"), *blocks("yaml")]
    assert sum(bool(line.strip()) for file in files for line in file.splitlines()[1:]) <= 20
    for file in files:
        path = tmp_path / file.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file)
    said = run(blocks("bash")[1], tmp_path).splitlines()
    assert [line.partition(":")[0] for line in said[-2:]] == ["done", "done"]
    assert any("steps [1" in line for line in said[-2:]), "a loss above 2 where training begins"


@pytest.mark.slow
def test_the_commands_of_the_exporters(tmp_path: Path) -> None:
    for package in ("tensorboard", "mlflow", "wandb"):
        pytest.importorskip(package)
    lines = [line for line in blocks("bash")[0].splitlines() if line.startswith("batchlab")]
    assert len(lines) == 2
    run("\n".join(lines), tmp_path)
    assert len([*tmp_path.glob("runs/*/tensorboard/*")]) == 2
    assert len([*tmp_path.glob("runs/*/wandb/offline-run-*")]) == 1
