"""`dataset.validation`: composed without a `+`, part of the identity when used, measured in every kind of run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import Fleet, context, frozen, one, rows, solve

from batchlab.datasets import Dataset, with_validation
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.loop import train
from batchlab.runner.train.session import Session

SOLVER = ("optimizer=svrg", "train.epochs=6")
CANCER = (*SOLVER, "dataset=breast_cancer", "model=logistic", "batch_schedule.size=21")


def ids(*overrides: str) -> list[str]:
    """The identities of a sweep, in order."""
    return [planned.run_id for planned in compose(overrides)]


def test_none_is_the_run_that_it_was() -> None:
    for none in ("0", "0.0", "null"):
        assert ids(f"dataset.validation={none}") == ids() == ["4c9f08b3aa6e"]
    assert ids("dataset.split_seed=3") == ids(), "without a split its seed means nothing"
    assert ids("~dataset.validation") == ids()
    (planned,) = compose(["dataset.validation=0", "dataset.split_seed=1"])
    assert not {"validation", "split_seed"} & planned.tree["dataset"].keys()


def test_part_of_the_identity_when_used() -> None:
    (tenth,) = ids("dataset.validation=0.1")
    assert ids("dataset.validation=1e-1", "dataset.split_seed=0") == [tenth]
    assert ids("dataset.validation=0.1", "dataset.split_seed=null") == [tenth]
    assert ids("++dataset.validation=0.1") == [tenth]
    swept = ids("dataset.validation=0.1,0.2", "dataset.split_seed=0,1,2")
    assert len({*swept, *ids()}) == 7
    assert swept[0] == tenth
    (planned,) = compose(["dataset.validation=0.1"])
    assert (planned.tree["dataset"]["validation"], planned.tree["dataset"]["split_seed"]) == (0.1, 0), "an axis"


def test_an_experiment_or_a_data_set_of_ones_own_may_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    text = "name: parted\n_target_: batchlab.datasets.images.digits\nroot: null\nvalidation: 0.2\n"
    (tmp_path / "conf" / "dataset" / "parted.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    (planned,), (without,) = compose(["dataset=parted"]), compose(["dataset=parted", "dataset.validation=0"])
    assert (planned.tree["dataset"]["validation"], planned.tree["dataset"]["split_seed"]) == (0.2, 0)
    assert "validation" not in without.tree["dataset"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.validaton=0.1", "there is no key dataset.validaton; did you mean dataset.validation"),
        ("dataset.splitseed=1", "did you mean dataset.split_seed"),
        ("dataset.validation=1", "dataset.validation=1.0: .* between 0 and 1 .* 0 or null for none"),
        ("dataset.validation=-0.1", "dataset.validation=-0.1: .* between 0 and 1"),
        ("dataset.validation=true", "dataset.validation must be a number"),
        ("++dataset.validation=a", "dataset.validation=a: "),
        ("+dataset.validation=0.1", "dataset.validation exists; write it without the +"),
        ("dataset.split_seed=0.5", "dataset.split_seed must be a whole number"),
    ],
)
def test_refused_when_composed(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose([override])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.003", r"dataset=digits: .* leaves class 8, of 140 samples, with 0 .*; choose at least 0.00714"),
        (
            "0.998",
            r"leaves class 8, of 140 samples, with 140 for validation and 0 for training; choose at most 0.992857",
        ),
    ],
)
def test_a_split_that_leaves_a_class_empty_is_refused_before_anything_starts(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate([one(f"dataset.validation={value}")])


def test_a_seed_without_a_split_is_warned_of() -> None:
    (warning,) = validate([one("dataset.split_seed=1")])
    assert warning == "dataset.split_seed has no effect without dataset.validation=0.1"
    assert validate([one("dataset.split_seed=1", "dataset.validation=0.1")]) == []


def test_a_reader_with_an_argument_of_that_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_reader_that_parts.py").write_text("def read(validation=0.5):\n    raise NotImplementedError\n")
    monkeypatch.syspath_prepend(tmp_path)
    tree = one("dataset.validation=0.1").tree
    node = {"name": "parts", "_target_": "a_reader_that_parts.read", "validation": 0.1, "split_seed": 0}
    with pytest.raises(ConfigError, match=r"dataset.validation is what batchlab sets apart: rename that argument"):
        validate([Planned("x", tree | {"dataset": node})])


def test_readers_know_nothing_of_it(tmp_path: Path) -> None:
    x, y = np.arange(40.0)[:, None], np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    (tmp_path / "own.svm").write_text("".join(f"{i % 2} 1:{i + 1}\n" for i in range(40)))
    (tmp_path / "line.svm").write_text("".join(f"{i}.5 1:{i + 1}\n" for i in range(40)))
    for overrides, plain in (
        (["dataset=npz", "dataset.file=own"], Dataset("own", x, y, x[:4], y[:4], 2)),
        (["dataset=libsvm", "dataset.path=own.svm", "dataset.unit_rows=false"], None),
        (["dataset=libsvm", "dataset.path=line.svm", "dataset.regression=true"], None),
    ):
        root = f"dataset.root={tmp_path}"
        nodes = [
            compose([*overrides, root, *more])[0].tree["dataset"]
            for more in ([], ["dataset.validation=0.25", "dataset.split_seed=7"])
        ]
        whole, parted = map(load_dataset, nodes)
        expected = with_validation(plain or whole, 0.25, 7)
        assert (parted.n, parted.name, parted.classes) == (30, whole.name, whole.classes)
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(parted.split(split)[1], expected.split(split)[1])


def test_the_same_split_for_every_seed_of_the_run() -> None:
    nodes = [planned.tree for planned in compose(["dataset.validation=0.1", "seed=0,1", "dataset.split_seed=0,1"])]
    found = {}
    for tree in nodes:
        dataset = load_dataset(tree["dataset"])
        assert dataset.y_validation is not None
        assert isinstance(dataset.x_validation, np.ndarray)
        assert (dataset.n, len(dataset.y_validation), len(dataset.y_test)) == (1297, 145, 355)
        found[tree["seed"], tree["dataset"]["split_seed"]] = dataset.x_validation.tobytes()
    assert found[0, 0] == found[1, 0] != found[0, 1] == found[1, 1]


def test_a_runs_rows(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, "dataset.validation=0.1", "train.epochs=2", "+measure=train_accuracy")
    assert train(config, context(run)).state == "done"
    found, dataset = rows(run), load_dataset(config.dataset)
    assert [row["samples"] for row in found] == [0, 1297, 2594], "an epoch is what is left for training"
    session = Session.build(config, torch.device("cpu"), 0, 1)
    outputs, targets = session.probe.predictions("validation")
    assert dataset.y_validation is not None
    assert targets.tolist() == dataset.y_validation.tolist()
    loss = torch.nn.functional.cross_entropy(outputs, targets)
    assert found[0]["validation_loss"] == pytest.approx(float(loss), rel=1e-6)
    assert found[0]["validation_accuracy"] == pytest.approx(float((outputs.argmax(1) == targets).double().mean()))
    for split in ("validation", "test"):
        assert 0.6 < found[-1][f"{split}_accuracy"] <= 1
        assert found[-1][f"{split}_loss"] < found[0][f"{split}_loss"]
    right = found[-1]["validation_accuracy"] * 145
    assert right == pytest.approx(round(right)), "of 145 samples"

    without, config = frozen(tmp_path, "train.epochs=2")
    assert train(config, context(without)).state == "done"
    assert not [name for name in rows(without)[-1] if name.startswith("validation")]


def test_two_ranks_give_the_numbers_of_one(fleet: Fleet, tmp_path: Path) -> None:
    overrides = ("dataset.validation=0.15", "train.precision=float64", "train.epochs=1")
    alone, pair = (rows(fleet.train(tmp_path, one(*overrides, f"nproc={n}"))) for n in (1, 2))
    assert len(alone) == len(pair) == 2
    for first, second in zip(alone, pair, strict=True):
        assert first["validation_accuracy"] == second["validation_accuracy"]
        assert first["validation_loss"] == pytest.approx(second["validation_loss"], rel=1e-9)


def solved(folder: Path, *overrides: str) -> tuple[list[dict[str, Any]], RunConfig]:
    """The rows of a solver's run."""
    run, config = frozen(folder, *overrides)
    assert solve(config, context(run)).state == "done"
    return rows(run), config


def test_a_solvers_rows(tmp_path: Path) -> None:
    found, config = solved(tmp_path, *CANCER, "dataset.validation=0.2")
    dataset = load_dataset(config.dataset)
    assert found[-1]["epoch"] == found[-1]["gradients"] / dataset.n
    assert dataset.n < 456
    assert 0.9 < found[-1]["validation_accuracy"] <= 1
    assert {"validation_loss", "test_loss", "test_accuracy"} <= found[-1].keys()
    plain, _ = solved(tmp_path, *CANCER)
    assert not [name for name in plain[-1] if name.startswith("validation")]


def test_a_solver_of_sparse_rows_and_of_a_regression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    regression = ("dataset.regression=true", "model=linear", "train.loss=mse")
    for name, more in (("labels", ("model=logistic",)), ("values", regression)):
        x = rng.random((60, 4))
        y = np.sign(x[:, 0] - x[:, 1]) if name == "labels" else x @ [1.0, 2.0, 3.0, 4.0] + 0.125
        lines = (f"{t:g} " + " ".join(f"{j + 1}:{v:.6f}" for j, v in enumerate(r)) for t, r in zip(y, x, strict=True))
        (tmp_path / f"{name}.svm").write_text("\n".join(lines))
        data = ("dataset=libsvm", f"dataset.path={name}.svm", f"dataset.root={tmp_path}", "dataset.validation=0.25")
        found, _ = solved(tmp_path, *SOLVER, *data, *more, "batch_schedule.size=5")
        assert found[-1]["validation_loss"] < found[0]["validation_loss"]
        assert ("validation_accuracy" in found[-1]) == (name == "labels")
        assert "test_loss" not in found[-1], "it has no test split"


@pytest.mark.real_data("libsvm/a9a", "libsvm/a9a.t")
def test_a9a(tmp_path: Path) -> None:
    data = ("dataset=a9a", "model=logistic", "batch_schedule.size=180", "dataset.validation=0.1")
    found, config = solved(tmp_path, *SOLVER, *data)
    dataset = load_dataset(config.dataset)
    assert dataset.y_validation is not None
    assert (dataset.n, len(dataset.y_validation)) == (29_305, 3_256)
    assert abs(dataset.y_validation.mean() - dataset.y_train.mean()) < 1e-3, "stratified"
    for split in ("validation", "test"):
        assert 0.8 < found[-1][f"{split}_accuracy"] < 0.9
        assert 0.3 < found[-1][f"{split}_loss"] < 0.45
