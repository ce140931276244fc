"""What docs/callbacks.md shows runs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import DOCS, bash, blocks, write_block

PAGE = (DOCS / "callbacks.md").read_text()


@pytest.mark.slow
def test_the_example_of_ones_own(tmp_path: Path) -> None:
    files = [*blocks(PAGE, "python"), *blocks(PAGE, "yaml")]
    assert sum(bool(line.strip()) for file in files for line in file.splitlines()[1:]) <= 20
    for file in files:
        write_block(file, tmp_path)
    said = bash(blocks(PAGE, "bash")[1], tmp_path).splitlines()
    assert [line.partition(":")[0] for line in said[-2:]] == ["done", "done"]
    assert any("steps [1" in line for line in said[-2:]), "a loss above 2 where training begins"


@pytest.mark.slow
def test_the_commands_of_the_exporters(tmp_path: Path) -> None:
    for package in ("tensorboard", "mlflow", "wandb"):
        pytest.importorskip(package)
    lines = [line for line in blocks(PAGE, "bash")[0].splitlines() if line.startswith("batchlab")]
    assert len(lines) == 2
    bash("\n".join(lines), tmp_path)
    assert len([*tmp_path.glob("runs/*/tensorboard/*")]) == 2
    assert len([*tmp_path.glob("runs/*/wandb/offline-run-*")]) == 1
