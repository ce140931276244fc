"""What docs/workloads.md shows runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from runs import one

from batchlab.runner.plan.validate import validate

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "workloads.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert isinstance(found, str)
    return found


def test_a_click_log_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = 0
    for language in ("python", "yaml"):
        path = tmp_path / block(language).splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block(language))
        lines += sum(bool(line.strip()) for line in block(language).splitlines()[1:])
    assert lines <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert validate([one("dataset=log", "model=dlrm", "batch_schedule.size=64", "+measure=auc")]) == []


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", block("bash")], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^ (adam|vr_adam|sgd|shb)\s+\*?([\d.]+) ±", done.stdout, re.MULTILINE)
    found = {name: float(mean) for name, mean in rows}
    assert found.keys() == {"adam", "vr_adam", "sgd", "shb"}, done.stdout
    assert all(5 < found[name] < 40 for name in ("adam", "vr_adam"))
    assert all(45 < found[name] < 83.6 for name in ("sgd", "shb"))
