"""Data of one's own through a run: what is said, what it is made of, what makes it stale, what is refused before."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from runs import one, trained
from shell import in_one_line

from batchlab.results.store.run import Run
from batchlab.results.store.runs import RunStore
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.fingerprint import Fingerprints
from batchlab.runner.plan.reading import data_files
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.stale import Staleness

FUNCTIONS = """import pandas as pd, torch
from torch.utils.data import TensorDataset
def load(name="wine.csv"):
    return pd.read_csv(name)
def samples(name="wine.csv", rows=None):
    table = load(name).head(rows or 40)
    return TensorDataset(torch.tensor(table["a"].values), torch.tensor(table["quality"].values))
"""
DATA = {
    "csv": ("dataset=csv", "dataset.path=wine.csv", "dataset.target=quality"),
    "two": ("dataset=csv", "dataset.path=wine.csv", "dataset.test_path=test.csv", "dataset.target=quality"),
    "frame": ("dataset=frame", "dataset.frame=my_functions.load", "dataset.target=quality"),
    "torch": ("dataset=torch_dataset", "dataset.data={_target_:my_functions.samples,rows:30}"),
    "images": ("dataset=image_folder", "dataset.path=photos"),
}
CHANGED = {
    "wine.csv": ("csv", "two", "frame", "torch"),
    "test.csv": ("two",),
    "my_functions.py": ("frame", "torch"),
    "photos/a/1.png": ("images",),
}
WHAT = {"photos/a/1.png": "data: photos", "my_functions.py": "code: my_functions.py"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, which is the data root too."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": rng.random(40), "colour": rng.choice(["red", "white"], 40), "quality": np.arange(40) % 2}
    )
    table.to_csv(tmp_path / "wine.csv", index=False)
    table.head(9).to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "my_functions.py").write_text(FUNCTIONS)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (5, 5), np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "my_functions", raising=False)
    return tmp_path


def planned(data: str, *more: str) -> Planned:
    return one(*DATA[data], "batch_schedule.size=4", *more)


def parts(plan: Planned) -> dict[str, str]:
    return {name: part.value for name, part in Fingerprints().of(plan.tree).items() if "package" not in name}


def test_whatever_is_read_is_part_of_the_run(here: Path) -> None:
    plans = {name: planned(name) for name in DATA}
    validate([*plans.values()])
    before = {name: parts(plan) for name, plan in plans.items()}
    for file, made_of in CHANGED.items():
        content = (here / file).read_bytes()
        (here / file).write_bytes(content + b"\n")
        what = WHAT.get(file, f"data: {file}")
        for name, plan in plans.items():
            differing = {part for part, value in parts(plan).items() if before[name].get(part) != value}
            assert differing == ({what} if name in made_of else set()), (file, name)
        (here / file).write_bytes(content)
    assert before == {name: parts(plan) for name, plan in plans.items()}


def test_a_saved_folder_is_all_its_files(here: Path) -> None:
    (here / "saved" / "train").mkdir(parents=True)
    (here / "saved" / "train" / "data.arrow").write_bytes(b"some")
    plan = one("dataset=huggingface", "dataset.path=saved")
    before = parts(plan)
    (here / "saved" / "train" / "data.arrow").write_bytes(b"same")
    assert parts(plan).keys() == before.keys() == {"data: saved"}
    assert parts(plan) != before


def test_a_new_image_is_another_folder(here: Path) -> None:
    plan = planned("images")
    before = parts(plan)
    (here / "photos" / "b" / "9.png").write_bytes((here / "photos" / "b" / "1.png").read_bytes())
    assert parts(plan).keys() == before.keys() == {"data: photos"}
    assert parts(plan) != before


def test_what_a_reader_decided_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    assert validate([planned("csv", f"seed={seed}") for seed in range(3)], say=said.append) == []
    assert said == [
        "wine.csv: quality holds whole numbers, 0 to 1: 2 classes; dataset.task=regression takes them as values; "
        "32 rows for training, 8 for testing, 3 features of 2 columns, texts one-hot"
    ]


def test_the_validation_split_is_no_part_of_the_scale() -> None:
    dataset = load_dataset(planned("csv", "dataset.standardize=true", "dataset.validation=0.25").tree["dataset"])
    np.testing.assert_allclose([dataset.x_train.mean(0), dataset.x_train.std(0) - 1], 0, atol=1e-12)
    assert abs(np.asarray(dataset.x_validation).mean(0)).max() > 1e-3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("dataset=frame", "dataset.frame=load", "dataset.target=a"), "dataset.frame=load: what makes it is named by"),
        (("dataset=frame", "dataset.frame=my_functions.lod", "dataset.target=a"), "cannot import my_functions.lod"),
        (
            ("dataset=frame", "dataset.frame={_target_:my_functions.load,nam:x}", "dataset.target=a"),
            "dataset.frame.nam: my_functions.load takes no such argument",
        ),
        (("dataset=torch_dataset", "dataset.data=my_functions.load"), "dataset.data: sample|KeyError"),
    ],
)
def test_what_makes_no_data_is_refused(asked: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        validate([one(*asked)])
    assert "\n" not in str(caught.value)


def test_a_reader_that_returns_something_else_is_told_the_way(here: Path) -> None:
    (here / "conf" / "dataset").mkdir(parents=True)
    (here / "conf" / "dataset" / "mine.yaml").write_text("name: mine\n_target_: my_functions.load\n")
    with pytest.raises(
        ConfigError, match=r"my_functions.load returned DataFrame, not a Dataset: a DataFrame is dataset=f"
    ):
        validate([one("dataset=mine")])


@pytest.mark.parametrize(
    ("gone", "asked"), [("csv", ()), ("csv", ("--dry-run",)), ("two", ("--dry-run",)), ("images", ("--dry-run",))]
)
def test_a_missing_file_is_refused_before_anything_starts(
    gone: str,
    asked: tuple[str, ...],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = {"csv": "wine.csv", "two": "test.csv", "images": "photos"}[gone]
    (here / name).rename(here / "elsewhere")
    code, said = in_one_line("sweep", *DATA[gone], "model=mlp", *asked, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "not here yet" in said) == (2, False)
    what = "folder" if gone == "images" else "file"
    assert f"no {what} {here / name}; put it there, or set dataset." in said


@pytest.mark.parametrize("reader", ["npz", "libsvm", "image_folder"])
def test_what_is_read_is_what_is_looked_at(reader: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the data root, where something else here has its name."""
    (here / "root" / "mine").mkdir(parents=True)
    (here / "root" / "mine.npz").write_bytes(b"arrays")
    (here / "root" / "mine" / "a.png").write_bytes(b"picture")
    (here / "mine").write_text("text") if reader == "image_folder" else (here / "mine").mkdir()
    (here / "label").write_text("not the target")
    monkeypatch.setenv("BATCHLAB_DATA", str(here / "root"))
    key = "file" if reader == "npz" else "path"
    node = one(f"dataset={reader}", f"dataset.{key}=mine").tree["dataset"] | {"target": "label"}
    found = {"npz": here / "root" / "mine.npz", "libsvm": here / "mine.svm", "image_folder": here / "root" / "mine"}
    if reader == "libsvm":
        (here / "mine.svm").write_text("1 1:1")
        node["path"] = "mine.svm"
    assert [*data_files(node).values()] == [found[reader]]
    assert [*data_files(node | {key: "~nobody_of_this_name/x"})] == []


def test_a_published_set_is_read_in_the_data_root(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (here, here / "root"):
        (folder / "libsvm").mkdir(parents=True)
        (folder / "libsvm" / "a9a").write_text("1 1:1")
    monkeypatch.setenv("BATCHLAB_DATA", str(here / "root"))
    assert [*data_files(one("dataset=a9a").tree["dataset"]).values()] == [here / "root" / "libsvm" / "a9a"]


SEEN_BY_NOBODY = """import numpy as np, pandas as pd, torch
def table():
    return pd.read_parquet("side.parquet")
def drawn():
    return table().assign(a=np.random.default_rng().normal(size=40))
def samples():
    x = torch.from_file("side.bin", size=40)
    return torch.utils.data.TensorDataset(x[:, None], torch.arange(40) % 2)
"""
HIDDEN = {
    "frame": ("dataset=frame", "dataset.frame=my_hidden.table", "dataset.target=quality"),
    "torch": ("dataset=torch_dataset", "dataset.data=my_hidden.samples"),
    "drawn": ("dataset=frame", "dataset.frame=my_hidden.drawn", "dataset.target=quality"),
}


@pytest.fixture
def hidden(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Readers of files that C libraries open."""
    (here / "my_hidden.py").write_text(SEEN_BY_NOBODY)
    pd.read_csv(here / "wine.csv").to_parquet(here / "side.parquet")
    np.arange(40, dtype=np.float32).tofile(here / "side.bin")
    monkeypatch.delitem(sys.modules, "my_hidden", raising=False)
    return here


def asked(name: str) -> Planned:
    return one(*HIDDEN[name], "batch_schedule.size=4")


def begun(plan: Planned, root: Path) -> Run:
    """A run that was checked and begun, as a sweep does."""
    run, looked = RunStore(root).run(plan.run_id), Staleness(RunStore(root), SweepOptions())
    validate([plan])
    looked.look_again_at_data([plan])
    run.write_config(yaml.safe_dump(plan.tree))
    looked.begin(plan, run)
    return run


@pytest.mark.parametrize("name", ["frame", "torch"])
def test_what_a_reader_returned_is_part_of_the_run(name: str, hidden: Path) -> None:
    plan = asked(name)
    run = begun(plan, hidden / "runs")
    run.write_state(state="done", sealed={})

    def why() -> str:
        return Staleness(RunStore(hidden / "runs"), SweepOptions()).why(plan, run.read_state())

    assert why() == ""
    if name == "frame":
        pd.read_parquet("side.parquet").assign(a=0.5).to_parquet("side.parquet")
    else:
        np.arange(1, 41, dtype=np.float32).tofile("side.bin")
    what = plan.tree["dataset"]["name"]
    assert why() == f"what dataset={what} returned has changed"
    info = run.read_state().info
    kept = {part: is_at for part, is_at in info["fingerprint"].items() if "returned" not in part}
    run.write_state(fingerprint=kept)
    assert why() == "", "a run of before it was looked at"


def test_a_reader_that_draws_anew_is_refused(hidden: Path) -> None:
    plan = asked("drawn")
    run = begun(plan, hidden / "runs")
    with pytest.raises(ConfigError, match=r"dataset=frame: the reader gave other data .* give its random numbers a s"):
        trained(run, RunConfig.load(run.config))
    plan = asked("frame")
    run = begun(plan, hidden / "runs")
    assert trained(run, RunConfig.load(run.config)) == "done"
