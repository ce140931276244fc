"""From a `dataset` choice to a `Dataset`, or to an error that names what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batchlab.datasets import Dataset
from batchlab.datasets.files import write_npz
from batchlab.runner.commands import sweep
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.schema import ConfigError

DIGITS = {"name": "digits", "_target_": "batchlab.datasets.images.digits"}


def test_a_choice_becomes_a_data_set(tmp_path: Path) -> None:
    dataset = load_dataset(DIGITS | {"root": str(tmp_path), "pad": 2})
    assert isinstance(dataset, Dataset)
    assert (dataset.name, dataset.preprocessing.pad, dataset.outputs) == ("digits", 2, 10)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"name": "x", "_target_": "batchlab.datasets.images.digit"}, "dataset=x: cannot import .*images.digit "),
        ({"name": "x", "_target_": "nowhere.at.all"}, "dataset=x: cannot import nowhere.at.all"),
        ({"name": "x", "_target_": "digits"}, "dataset=x: `_target_` must be a dotted path"),
        ({"name": "x", "_target_": "builtins.dict"}, "dataset=x: builtins.dict returned dict, not a Dataset"),
        (DIGITS | {"padd": 3}, "dataset=digits: .*padd"),
        (DIGITS | {"pad": "x"}, "dataset=digits: "),
        (DIGITS | {"std": [1.0]}, "dataset=digits: dataset.mean and dataset.std go together"),
    ],
    ids=str,
)
def test_bad_choices(node: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_dataset(node | {"root": str(tmp_path)})


@pytest.mark.parametrize("place", ["dataset.file=mine", "dataset.file=mine.npz", "ABSOLUTE", "dataset.root=ROOT"])
def test_a_dry_run_looks_at_a_users_own_file_where_it_is(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = np.arange(8 * 4 * 4, dtype=np.uint8).reshape(8, 4, 4, 1), np.arange(8) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": images / 255, "y_test": labels}
    write_npz(tmp_path / "mine.npz", arrays)
    if place != "dataset.root=ROOT":
        monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path))
    where = [f"dataset.file={tmp_path / 'mine'}"] if place == "ABSOLUTE" else [place.replace("ROOT", str(tmp_path))]
    asked = ["dataset=npz", *(where if "file" in where[0] else ["dataset.file=mine", *where]), "model=logistic"]
    with pytest.raises(ConfigError, match=r"dataset=npz: mine: x_train holds uint8 .*one value of white"):
        sweep([*asked, "batch_schedule.size=4"], tmp_path / "runs", SweepOptions(dry_run=True), None)
    write_npz(tmp_path / "mine.npz", arrays | {"x_test": images})
    assert sweep([*asked, "batch_schedule.size=4"], tmp_path / "runs", SweepOptions(dry_run=True), None) == 0
    assert "not here yet" not in capsys.readouterr().out
    (tmp_path / "mine.npz").unlink()
    with pytest.raises(ConfigError, match=r"dataset=npz: no file .*mine\.npz; put it there, or set"):
        sweep(asked, tmp_path / "runs", SweepOptions(dry_run=True), None)


def test_only_what_would_be_downloaded_is_not_here_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    (tmp_path / "conf" / "dataset" / "own.yaml").write_text("name: own\n_target_: a_reader_of_ones_own.read\nn: 4\n")
    (tmp_path / "a_reader_of_ones_own.py").write_text(
        "import numpy as np\nfrom batchlab.datasets import Dataset\ndef read(n):\n    x = np.ones((n, 2))\n"
        "    return Dataset('own', x, np.arange(n) % 2, x, np.arange(n) % 2, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    options = SweepOptions(dry_run=True)
    asked = ["model=logistic", "batch_schedule.size=4"]
    assert sweep([*asked, "dataset=own"], tmp_path / "runs", options, None) == 0
    assert "not here yet" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match="a first batch of 4 is larger"):
        sweep([*asked, "dataset=own", "dataset.n=2", "train.epochs=1"], tmp_path / "runs", options, None)
    assert sweep([*asked, "dataset=mnist"], tmp_path / "runs", options, None) == 0
    assert "not here yet: mnist (`batchlab data prepare mnist`)" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=rf"dataset=a9a: no LIBSVM file {tmp_path}/data/libsvm/a9a; put it there"):
        sweep([*asked, "dataset=a9a"], tmp_path / "runs", options, None)


def test_a_dry_run_refuses_a_users_own_file_that_can_never_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", "data")
    for asked in (["dataset=libsvm", "dataset.path=nothing"], ["dataset=npz", "dataset.file=nothing"]):
        with pytest.raises(ConfigError, match=rf" {tmp_path}/data/nothing(\.npz)?; put it there"):
            sweep([*asked, "model=logistic"], tmp_path / "runs", SweepOptions(dry_run=True), None)
