"""What docs/rivals.md says of the choices is what they are, and its example runs."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml
from pages import DOCS, bash, blocks, write_block
from runs import frozen, one, rows, trained

import batchlab.conf
from batchlab.runner.plan.validate import validate

PAGE = (DOCS / "rivals.md").read_text()
CONF = Path(next(iter(batchlab.conf.__path__))) / "optimizer"
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| `([\w.]+)` \| ([\d.]+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("name", "by", "target", "lr"), ROWS, ids=[row[0] for row in ROWS])
def test_the_table_is_what_the_files_say(name: str, by: str, target: str, lr: str) -> None:
    text = (CONF / f"{name}.yaml").read_text()
    node = yaml.safe_load(text)
    assert (node["_target_"], node["lr"]) == (target, float(lr))
    said = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    assert "Of none of the five papers: docs/rivals.md." in said
    assert by.split(" ")[0].strip(",") in said


@pytest.mark.parametrize(("name", "target"), [(row[0], row[2]) for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_defaults_are_those_of_the_code(name: str, target: str) -> None:
    module, _, kind = target.rpartition(".")
    theirs = inspect.signature(getattr(importlib.import_module(module), kind)).parameters
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    for key, value in node.items():
        if key not in ("name", "_target_") and (name, key) != ("lion", "weight_decay"):
            default = theirs[key].default
            assert value == (list(default) if isinstance(default, tuple) else default), key


def test_every_rival_is_in_the_table() -> None:
    labelled = {path.stem for path in CONF.glob("*.yaml") if "docs/rivals.md" in path.read_text()}
    assert {row[0] for row in ROWS} == labelled
    assert len(ROWS) == 9


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    (script,) = blocks(PAGE, "bash")
    script = "\n".join(line for line in script.splitlines() if not line.startswith("pip "))
    said = bash(script, tmp_path)
    assert len(re.findall(r"^ \S+\s+\*?([\d.]+) ±", said, re.MULTILINE)) == 6, said


def test_the_example_is_judged_by_its_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL):
        lines += [line for line in block.splitlines()[1:] if line.strip()]
        write_block(block, tmp_path)
    assert len(lines) <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    ends = {}
    for name in ("averaged", "sgd"):
        assert validate([one(f"optimizer={name}")]) == []
        run, config = frozen(tmp_path / name, f"optimizer={name}")
        trained(run, config)
        ends[name] = rows(run)[-1]
    assert ends["averaged"]["train_loss"] == pytest.approx(ends["sgd"]["train_loss"]), "the same weights trained"
    assert ends["averaged"]["test_loss"] != ends["sgd"]["test_loss"]
