"""Optimizers of today through the runner: trained, resumed bit for bit, judged by the weights that they mean."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_optimizer import ScheduleFreeAdamW, ScheduleFreeSGD
from runs import frozen, one, rows, same_in_parts, trained
from torch import nn

from batchlab.optimizers.needs import Modes
from batchlab.runner.plan.optimizer import make_optimizer
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.modes import evaluating, to_train

RIVALS = ("muon", "lion", "soap", "schedulefree_sgd", "schedulefree_adamw", "prodigy", "adafactor", "radam", "nadam")


@pytest.mark.parametrize("name", RIVALS)
def test_a_resumed_run_is_the_same_run(name: str, tmp_path: Path) -> None:
    overrides = (f"optimizer={name}", "train.epochs=2", "train.decay=weights", "model.hidden=[16,16]")
    assert validate([one(*overrides)]) == []
    ended = same_in_parts(tmp_path, *overrides)
    assert ended[-1]["test_loss"] < ended[0]["test_loss"]


@pytest.mark.parametrize("name", ["schedulefree_sgd", "schedulefree_adamw", "shb"])
def test_evaluations_change_no_number(name: str, tmp_path: Path) -> None:
    seldom, often = (
        frozen(tmp_path / str(every), f"optimizer={name}", f"log.evaluate_every={every}", "train.epochs=2")
        for every in (2.0, 0.25)
    )
    for run, config in (seldom, often):
        trained(run, config)
    last, same = rows(seldom[0])[-1], rows(often[0])[-1]
    assert last["samples"] == same["samples"]
    assert (last["test_loss"], last["test_accuracy"]) == (same["test_loss"], same["test_accuracy"])


MEASURES = """
from batchlab.runner.measures import Measure

class Mode(Measure):
    def __init__(self, when="evaluation"):
        self.when = when
        self.stream = "metrics" if when == "evaluation" else "layers"
    def measure(self, probe):
        group = probe.optimizer.param_groups[0]
        p = group["params"][0]
        z = probe.optimizer.state[p].get("z", p)
        row = {"trains": float(group["train_mode"]), "weights": float(p.detach().norm()), "z": float(z.detach().norm())}
        return row if self.stream == "metrics" else [row]
"""


def test_measures_see_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At an evaluation; a measure of a step sees the weights that trained."""
    import pyarrow.parquet as pq

    (tmp_path / "mode_measures.py").write_text(MEASURES)
    (tmp_path / "conf" / "measure").mkdir(parents=True)
    for name, when in (("mode", "evaluation"), ("mode_of_step", "step")):
        text = f"name: {name}\n_target_: mode_measures.Mode\nwhen: {when}\n"
        (tmp_path / "conf" / "measure" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run, config = frozen(
        tmp_path / "runs", "optimizer=schedulefree_sgd", "+measure=mode", "+measure=mode_of_step", "train.epochs=2"
    )
    trained(run, config)
    assert {row["trains"] for row in rows(run)} == {0.0}
    steps = pq.read_table(run.layers).to_pylist()
    assert {row["trains"] for row in steps} == {1.0}
    assert rows(run)[-1]["weights"] != steps[-1]["weights"]


def test_what_is_evaluated_is_the_average_of_z() -> None:
    """z <- z - lr g(y), x the mean of all z, y = (1 - beta) z + beta x, transcribed; y is back after it bit for bit."""
    beta, lr, target = 0.9, 0.3, np.array([1.0, -2.0])
    p = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = ScheduleFreeSGD([p], lr=lr, momentum=beta)
    x = y = z = np.zeros(2)
    for t in range(1, 8):
        p.grad = p.detach() - torch.from_numpy(target)
        optimizer.step()
        z = z - lr * (y - target)
        x = x + (z - x) / t
        y = (1 - beta) * z + beta * x
        before = p.detach().clone()
        np.testing.assert_allclose(before, y, rtol=1e-12)
        with evaluating(optimizer):
            np.testing.assert_allclose(p.detach(), x, rtol=1e-12)
        assert torch.equal(p, before)


def test_modes_are_asked_of_those_who_have_them() -> None:
    class Swaps(torch.optim.SGD):
        """Begins in eval mode, as schedulefree's own do, and says so where it is stepped."""

        trains = False

        def train(self) -> None:
            self.trains = True

        def eval(self) -> None:
            self.trains = False

    optimizer = Swaps([nn.Parameter(torch.ones(1))], lr=0.1)
    assert isinstance(optimizer, Modes)
    to_train(optimizer)
    assert optimizer.trains

    def fail() -> None:
        with evaluating(optimizer):
            assert not optimizer.trains
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert optimizer.trains
    plain = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    to_train(plain)
    with evaluating(plain):
        pass


def test_muons_parameters_are_in_run_json(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, "optimizer=muon", "model=mlp", "model.hidden=[8]")
    trained(run, config)
    methods = run.read_state().info["methods"]
    assert (len(methods["muon"]), len(methods["adamw"])) == (1, 3), "two layers: a hidden one and the output"


def test_muon_without_hidden_matrices_warns() -> None:
    (said,) = validate([one("optimizer=muon", "model=logistic")])
    assert said == "optimizer=muon: no parameter of model=logistic is for muon: adamw trains all"


def test_an_optimizer_that_does_not_take_the_model_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "bare.yaml").write_text("_target_: torch.optim.Muon\nlr: 0.1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^optimizer=bare: .*2D"):
        validate([one("optimizer=bare")])


def test_the_model_is_given_to_who_takes_it() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    made = make_optimizer(one("optimizer=muon").tree["optimizer"], model, "all")
    assert made.methods() == {"muon": ["0.weight"], "adamw": ["0.bias", "1.weight", "1.bias"]}  # type: ignore[attr-defined]
    assert isinstance(make_optimizer(one("optimizer=sgd").tree["optimizer"], model, "all"), torch.optim.SGD)


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(ConfigError) as caught:
        validate([one("optimizer=lion")])
    said = "optimizer=lion needs pytorch_optimizer, which is not installed: pip install 'batchlab[rivals]'"
    assert str(caught.value).startswith(said)


def test_schedule_free_keeps_both_modes() -> None:
    assert all(isinstance(kind([nn.Parameter(torch.ones(1))]), Modes) for kind in (ScheduleFreeSGD, ScheduleFreeAdamW))
