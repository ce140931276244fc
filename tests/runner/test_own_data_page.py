"""What docs/own-data.md shows runs as it stands, on a table, images and a saved data set made here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from batchlab.runner.commands import sweep
from batchlab.runner.options import SweepOptions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-data.md").read_text()
COMMANDS = [
    shlex.split(line.replace("\\\n", " "))
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in re.findall(r"(?:.*\\\n)*.*\n", block)
]
SWEEPS = [[*words[2:]] for words in COMMANDS if words[:2] == ["batchlab", "sweep"]]
SAVED = """import datasets, numpy as np
rng = np.random.default_rng(0)
columns = {"x": list(rng.random((60, 4))), "label": np.arange(60) % 3}
datasets.Dataset.from_dict(columns).save_to_disk("saved")
"""


def written(folder: Path) -> None:
    """The page's files, and the data that it speaks of."""
    for block in (*re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL),):
        path = folder / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    rng = np.random.default_rng(0)
    quality = rng.integers(3, 9, 600)
    table = pd.DataFrame({"alcohol": quality + rng.normal(0, 0.7, 600), "acidity": rng.normal(7, 1, 600)})
    table.assign(colour=rng.choice(["red", "white"], 600), quality=quality).to_csv(
        folder / "wine.csv", sep=";", index=False
    )
    for label in range(3):
        (folder / "digits" / str(label)).mkdir(parents=True)
        for i in range(70):
            image = Image.fromarray(rng.integers(0, 80, (8, 8), np.uint8) + np.uint8(80 * label))
            image.save(folder / "digits" / str(label) / f"{i}.png")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for name in ("my_tables", "my_samples"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("asked", [asked for asked in SWEEPS if "dataset=huggingface" not in asked], ids=" ".join)
def test_every_command_of_the_page_can_run(asked: list[str], here: Path) -> None:
    overrides = [word for word in asked if word != "--dry-run"]
    assert sweep(overrides, here / "runs", SweepOptions(dry_run=True), None) == 0


def test_the_yaml_is_a_choice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["dataset=good_wine", "model=mlp", "batch_schedule.size=8"]
    assert sweep(asked, here / "runs", SweepOptions(dry_run=True), None) == 0
    assert "quality holds whole numbers, 5 to 8: 4 classes" in " ".join(capsys.readouterr().err.split())


def test_examples_are_short() -> None:
    assert max(len(block.splitlines()) - 1 for block in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL)) <= 20


def test_every_reader_of_ones_own_is_listed() -> None:
    listed = {
        name: {*re.findall(r"`dataset\.(\w+)`", must)}
        for name, must in re.findall(r"\n\| `(\w+)` \|.*\| (.*) \|", PAGE)
    }
    asking = {}
    for path in (ROOT / "conf" / "dataset").glob("*.yaml"):
        tree = yaml.safe_load(path.read_text())
        asking[path.stem] = {key for key, value in tree.items() if value == "???"}
    assert listed == {name: keys for name, keys in asking.items() if keys}


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    written(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
    (tmp_path / "save.py").write_text(SAVED)
    done = subprocess.run(
        ["bash", "-ec", f"python save.py\n{script}"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    means = [float(mean) for mean in re.findall(r"^ \S+\s+\*?([\d.]+) ±", done.stdout, re.MULTILINE)]
    assert len(means) == 2, done.stdout
