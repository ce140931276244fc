"""What docs/workloads.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks, write_block
from runs import one

from batchlab.runner.plan.validate import validate

PAGE = (DOCS / "workloads.md").read_text()


def block(language: str) -> str:
    (found,) = blocks(PAGE, language)
    return found


def test_a_click_log_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = 0
    for language in ("python", "yaml"):
        write_block(block(language), tmp_path)
        lines += sum(bool(line.strip()) for line in block(language).splitlines()[1:])
    assert lines <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert validate([one("dataset=log", "model=dlrm", "batch_schedule.size=64", "+measure=auc")]) == []


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    said = bash(block("bash"), tmp_path)
    rows = re.findall(r"^ (adam|vr_adam|sgd|shb)\s+\*?([\d.]+) ±", said, re.MULTILINE)
    found = {name: float(mean) for name, mean in rows}
    assert found.keys() == {"adam", "vr_adam", "sgd", "shb"}, said
    assert all(5 < found[name] < 40 for name in ("adam", "vr_adam"))
    assert all(45 < found[name] < 83.6 for name in ("sgd", "shb"))
