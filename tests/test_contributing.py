"""The diffs of CONTRIBUTING.md, applied to a copy of the checkout: what they add passes its contract and trains."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
COPIED = ("conf", "datasets", "optimizers", "results", "runner", "tests", "__init__.py", "pyproject.toml")
CLI = "from batchlab.runner.cli import main; main()"


def run(*command: str, folder: Path, home: Path) -> str:
    """What a command prints, with the copy as the package."""
    environment = os.environ | {"PYTHONPATH": str(home), "BATCHLAB_DATA": str(home / "data")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_model_a_metric_a_data_set_and_an_optimizer_are_four_small_diffs(tmp_path: Path) -> None:
    assert len(DIFFS) == 4
    assert max(diff.count("\n+") for diff in DIFFS) < 75
    home, copy = tmp_path, tmp_path / "batchlab"
    copy.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    for diff in DIFFS:
        subprocess.run(["git", "apply", "-"], cwd=copy, input=diff, text=True, check=True)
    python = sys.executable
    assert "wrote" in run(python, "tests/optimizers/test_contract.py", folder=copy, home=home)
    contracts = ("tests/optimizers/test_contract.py", "tests/models", "tests/datasets/test_catalogue.py")
    chosen = ("-k", "qhm or highway or wine or configured or published or two_files")
    assert " passed" in run(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *contracts, *chosen, folder=copy, home=home
    )
    overrides = ("model=highway", "dataset=wine", "optimizer=qhm", "+measure=calibration_error")
    run(python, "-c", CLI, "train", *overrides, "train.epochs=3", "batch_schedule.size=16", folder=home, home=home)
    table = ("table", "--metric", "calibration_error", "--metric", "test_accuracy", "--rows", "optimizer,model,dataset")
    printed = run(python, "-c", CLI, *table, folder=home, home=home)
    assert "expected calibration error [%]" in printed
    assert "qhm highway wine" in printed
