"""A loss of the user's own by `train.loss`: trained with as batchlab's are, tried before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from runs import context, frozen, one, rows
from runs import trained as trained_here
from shell import in_one_line as batchlab

from batchlab.results.store.runs import RunStore
from batchlab.runner.plan.loss import make_loss, own_loss

OWN = '''
import torch
from torch import nn
from torch.nn import functional as F

def entropy(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")

def squared(outputs, targets, power=2):
    return (outputs.squeeze(-1) - targets).abs() ** power

class Focal(nn.Module):
    """(1 - p)^gamma times the cross entropy (Lin et al. 2017)."""
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma
    def forward(self, outputs, targets):
        loss = entropy(outputs, targets)
        return (1 - torch.exp(-loss)) ** self.gamma * loss

def centred(outputs, targets):
    return entropy(outputs - outputs.mean(0), targets)

def mean(outputs, targets):
    return entropy(outputs, targets).mean()

def number(outputs, targets):
    return float(mean(outputs, targets))

def wrong(outputs, targets):
    return (outputs.argmax(1) != targets).float()

def onehot(outputs, targets):
    return (outputs - targets).square().mean(1)

class Learned(Focal):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

class Weighted(nn.Module):
    """Its weights take part in the precision that it is given."""
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.arange(1.0, 11.0))
    def forward(self, outputs, targets):
        return F.cross_entropy(outputs, targets, weight=self.weight, reduction="none")

def distance(outputs, targets):
    assert outputs.shape == targets.shape
    return (outputs - targets).flatten(1).norm(dim=1)

def table():
    import numpy as np
    from batchlab.datasets import Dataset
    draw = np.random.default_rng(0)
    x, w = draw.normal(size=(60, 5)), draw.normal(size=(5, 6))
    y = (x @ w).reshape(60, 2, 3)
    return Dataset("table", x[:50], y[:50], x[50:], y[50:], None)

class Twofold(nn.Linear):
    def __init__(self, shape, classes):
        super().__init__(shape[0], classes)
    def forward(self, x):
        return super().forward(x).reshape(-1, 2, 3)

class Deaf:
    pass

RATE = 3
'''


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def trained(folder: Path, *overrides: str) -> list[dict[str, object]]:
    run, config = frozen(folder / "runs", *overrides)
    assert trained_here(run, config) == "done"
    return [{key: value for key, value in row.items() if key != "run_id"} for row in rows(run)]


@pytest.mark.parametrize(
    "own",
    [
        "own_losses.entropy",
        "{_target_:own_losses.Focal,gamma:0}",
        "{_target_:torch.nn.CrossEntropyLoss,reduction:none}",
    ],
)
def test_one_that_is_the_cross_entropy_trains_as_it_does(own: str, tmp_path: Path) -> None:
    """Every row, evaluations included, bit for bit."""
    assert trained(tmp_path, f"train.loss={own}", "train.groups=2") == trained(tmp_path, "train.groups=2")


def test_focal_loss_by_hand() -> None:
    node = own_loss({"_target_": "own_losses.Focal", "gamma": 2.0})
    assert node is not None
    losses = make_loss(node, torch.device("cpu"), torch.float64)(torch.zeros(1, 4).double(), torch.tensor([2]))
    assert losses.tolist() == pytest.approx([(3 / 4) ** 2 * torch.log(torch.tensor(4.0)).item()], rel=1e-6)


def test_the_gradients_noise_is_that_of_the_loss(tmp_path: Path) -> None:
    """An adaptive batch sees the loss's own gradients: those of twice a loss have four times the variance."""
    adaptive = ("batch_schedule=norm_test", "batch_schedule.estimator=per_sample", "train.samples=1442")
    assert trained(tmp_path, "train.loss=own_losses.entropy", *adaptive) == trained(tmp_path, *adaptive)


@pytest.mark.slow
def test_targets_that_are_numbers(tmp_path: Path) -> None:
    data = ("dataset=linear_regression", "model=linear", "batch_schedule.size=10", "optimizer.lr=0.01")
    own = trained(tmp_path, *data, "train.loss=own_losses.squared")
    for mine, theirs in zip(own, trained(tmp_path, *data, "train.loss=mse"), strict=True):
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-5)
    other = trained(tmp_path, *data, "train.loss={_target_:own_losses.squared,power:1}")
    assert other[-1]["test_loss"] != pytest.approx(own[-1]["test_loss"], rel=1e-3)


def test_a_loss_of_its_own_numbers_has_them_in_the_runs_precision(tmp_path: Path) -> None:
    assert trained(tmp_path, "train.loss=own_losses.Weighted", "train.precision=float64")


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mse", "own_losses.distance"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_targets_of_any_shape(
    loss: str, ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two times three numbers for each sample: exactly linear in the inputs, so that they are found."""
    for axis, target in (("dataset", "table"), ("model", "Twofold")):
        (tmp_path / "conf" / axis).mkdir(parents=True)
        (tmp_path / "conf" / axis / "two.yaml").write_text(f"name: two\n_target_: own_losses.{target}\n")
    asked = (
        "dataset=two",
        "model=two",
        f"train.loss={loss}",
        "batch_schedule.size=25",
        "optimizer=adam",
        f"nproc={ranks}",
    )
    rest = ("optimizer.lr=0.1", "train.epochs=100", "log.evaluate_every=50", "train.device=cpu")
    code, said = batchlab("train", *asked, *rest, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    (run,) = RunStore(Path("runs")).runs()
    first, *_, last = rows(run)
    assert last["test_loss"] < 0.02 * first["test_loss"]
    assert "test_accuracy" not in last


@pytest.mark.slow
def test_targets_that_a_model_or_solver_does_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    (tmp_path / "conf" / "dataset" / "two.yaml").write_text("name: two\n_target_: own_losses.table\n")
    few = ("dataset=two", "batch_schedule.size=10")
    solver = ("optimizer=svrg", "model=linear", "train.loss=mse", "optimizer.l2=0.1")
    code, said = batchlab("train", *few, *solver, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "of one number: dataset=table has targets (2, 3)" in said) == (2, True), said
    asked = ("model=linear", "train.loss=own_losses.distance")
    code, said = batchlab("train", *few, *asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2, said
    assert "does not take outputs (2, 6) and targets (2, 2, 3) of dataset=table" in said


def test_one_loss_has_one_spelling() -> None:
    short, block = one("train.loss=own_losses.Focal"), one("train.loss={_target_:own_losses.Focal}")
    assert short.run_id == block.run_id
    with_key = one("train.loss={_target_:own_losses.Focal,gamma:3}")
    assert len({short.run_id, with_key.run_id, one().run_id}) == 3


@pytest.mark.slow
def test_a_sweep_over_losses_and_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "focal.yaml").write_text(
        "# @package _global_\ntrain:\n  loss:\n    _target_: own_losses.Focal\n    gamma: 2.0\n"
    )
    few = ("model=mlp", "train.epochs=1", "train.device=cpu")
    asked = ("experiment=focal", "train.loss.gamma=1,2.5", *few)
    code, said = batchlab("sweep", *asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    asked = ("train.loss=cross_entropy,own_losses.Focal", *few)
    code, said = batchlab("sweep", *asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    assert len([*RunStore(Path("runs")).runs()]) == 4
    code, said = batchlab(
        "table", "--rows", "train.loss", "--metric", "test_loss", monkeypatch=monkeypatch, capfd=capfd
    )
    assert code == 0, said
    assert "own_losses.Focal" in said


REFUSED = {
    "own_losses.mean": r"train\.loss=own_losses\.mean gives shape \(\) for 2 samples: .*\(n,\); .*reduction: none",
    "torch.nn.CrossEntropyLoss": r"gives shape \(\) for 2 samples",
    "own_losses.number": r"gives a float for 2 samples",
    "own_losses.centred": r"gives a sample another loss alone than beside others",
    "own_losses.wrong": r"gives losses that no gradient leads back from",
    "own_losses.onehot": r"does not take outputs \(2, 10\) and targets \(2,\) of dataset=digits: RuntimeError",
    "own_losses.Learned": r"train\.loss=own_losses\.Learned: it has parameters",
    "own_losses.Deaf": r"train\.loss=own_losses\.Deaf: what it makes cannot be called",
    "own_losses.RATE": r"own_losses\.RATE is of type int",
    "own_losses.Missing": r"train\.loss=own_losses\.Missing: cannot import",
    "{_target_:own_losses.Focal,beta:2}": r"train\.loss\.beta: own_losses\.Focal takes no such argument .*gamma",
    "{_target_:own_losses.entropy,gamma:2}": r"train\.loss\.gamma: own_losses\.entropy takes no such argument",
    "{gamma:2}": r"of a loss of your own `_target_` must be its dotted path",
    "{_target_:focal}": r"train\.loss=focal: choose cross_entropy, mse",
    "{_target_:focal,gamma:2}": r"of a loss of your own `_target_` must be its dotted path",
    "1.5": r"train\.loss must be a word .*got 1\.5",
    "null": r"train\.loss must be a word .*got None",
    "focal": r"train\.loss=focal: choose cross_entropy, mse or squared_hinge, or the dotted path of your own",
    "mse": r"dataset=digits needs train\.loss=cross_entropy, or one of your own: its targets are labels of 10 classes",
}


@pytest.mark.parametrize("loss", REFUSED)
def test_what_is_no_loss_is_refused_before_it_starts(
    loss: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = batchlab("sweep", "--dry-run", "model=mlp", f"train.loss={loss}", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2, said
    assert re.search(REFUSED[loss], said), said
    assert "Traceback" not in said


def test_what_does_not_go_with_it(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    smooth = ("train.loss=own_losses.Focal", "train.label_smoothing=0.1")
    code, said = batchlab("sweep", "--dry-run", *smooth, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "train.label_smoothing=0.1 is of train.loss=cross_entropy" in said) == (2, True), said
    solver = ("optimizer=svrg", "dataset=breast_cancer", "model=logistic")
    for loss in ("own_losses.Focal", "{_target_:own_losses.Focal,gamma:1}"):
        code, said = batchlab("sweep", "--dry-run", *solver, f"train.loss={loss}", monkeypatch=monkeypatch, capfd=capfd)
        assert code == 2, said
        assert "choose cross_entropy, mse, squared_hinge" in said


def test_a_class_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchlab.runner.train.session import Session

    run, config = frozen(tmp_path / "runs", "train.loss=own_losses.Focal")
    session = Session.build(config, context(run).device, 0, 1)
    assert session.probe.criterion is session.probe.evaluation
    assert isinstance(session.probe.criterion, torch.nn.Module)
