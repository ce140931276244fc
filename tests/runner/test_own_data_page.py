"""What docs/own-data.md shows runs as it stands, on a table, images and a saved data set made here."""

from __future__ import annotations

import io
import re
import runpy
import shlex
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pages import bash, blocks, write_block
from PIL import Image

from batchlab.datasets.sets.npz import npz
from batchlab.runner.commands import sweep
from batchlab.runner.options import SweepOptions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-data.md").read_text()
COMMANDS = [
    shlex.split(line.replace("\\\n", " "))
    for block in blocks(PAGE, "bash")
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
        write_block(block, folder)
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
    tiny_imagenet(folder / "tiny-imagenet-200.zip")


def tiny_imagenet(path: Path) -> None:
    """A stand-in for the original archive: two of its 200 kinds, laid out as it is; one image is grey."""

    def image(level: int, mode: str = "RGB") -> bytes:
        file = io.BytesIO()
        Image.new(mode, (64, 64), (level,) * 3 if mode == "RGB" else level).save(file, "JPEG")
        return file.getvalue()

    root = "tiny-imagenet-200"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/wnids.txt", "n02124075\nn01443537\n")  # not in order
        for level, kind in ((40, "n01443537"), (160, "n02124075")):
            archive.writestr(f"{root}/train/{kind}/{kind}_boxes.txt", "")
            for i in range(64):
                name = f"{root}/train/{kind}/images/{kind}_{i}.JPEG"
                archive.writestr(name, image(level + (i > 0), "L" if (level, i) == (40, 1) else "RGB"))
        said = ["val_1.JPEG\tn02124075\t0\t0\t62\t62", "val_0.JPEG\tn01443537\t1\t2\t3\t4"]
        archive.writestr(f"{root}/val/val_annotations.txt", "\n".join(said) + "\n")
        for i in range(2):
            archive.writestr(f"{root}/val/images/val_{i}.JPEG", image(100 + i))
        archive.writestr(f"{root}/test/images/test_0.JPEG", image(0))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for name in ("my_tables", "my_samples"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    runpy.run_path("tiny_imagenet.py")
    return tmp_path


def test_tiny_imagenet_of_its_archive(here: Path) -> None:
    """Kinds are numbered in sorted order; what is grey has three channels; a test image is known by its annotation."""
    dataset = npz("tiny_imagenet")
    assert (dataset.shape, dataset.classes, dataset.y_train.tolist()) == ((3, 64, 64), 2, [0] * 64 + [1] * 64)
    levels = [np.round(x.mean()) for x in (*dataset.x_train, *dataset.x_test)]
    assert levels == [40, *[41] * 63, 160, *[161] * 63, 101, 100]
    assert dataset.y_test.tolist() == [1, 0]


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
    script = "\n".join(blocks(PAGE, "bash"))
    (tmp_path / "save.py").write_text(SAVED)
    said = bash(f"python save.py\n{script}", tmp_path, COLUMNS="200")
    means = [float(mean) for mean in re.findall(r"^ \S+\s+\*?([\d.]+) ±", said, re.MULTILINE)]
    assert len(means) == 2, said
