"""Faults in a user's own optimizer, schedule or numbers: refused before a run begins, and the override is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import one

from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

FAULTY = """
import torch
from batchlab.optimizers.batch import BatchSchedule
from batchlab.optimizers.needs import FiniteSum, Moments

class Plain(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params)
        for group in self.param_groups:
            group["lr"] = lr

class Solves(Plain):
    needs = FiniteSum()

class BySample(Plain):
    needs = Moments(estimator="per_sample")
    def step(self, moments):
        super().step()

class Rateless(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})
    def step(self):
        pass

class Shrinks(BatchSchedule):
    def planned(self, clock):
        return 0 if clock.steps > 5 else 16

class Word(BatchSchedule):
    def planned(self, clock):
        return "16"

class SampleWise(BatchSchedule):
    needs = Moments(estimator="per_sample")
    def planned(self, clock):
        return 16
    def update(self, moments):
        pass
"""
YAML = {
    "optimizer": {"plain": "lr: 0.1", "solves": "lr: 0.1", "by_sample": "lr: 0.1", "rateless": ""},
    "batch_schedule": {"shrinks": "", "word": "", "sample_wise": ""},
}
CONVOLUTIONS = ("model=resnet8", "dataset=digits")
"""Of a model with BatchNorm."""


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has a conf folder and a module of the user's own."""
    (tmp_path / "faulty_things.py").write_text(FAULTY)
    for axis, files in YAML.items():
        (tmp_path / "conf" / axis).mkdir(parents=True)
        for name, rest in files.items():
            target = name.title().replace("_", "")
            (tmp_path / "conf" / axis / f"{name}.yaml").write_text(f"_target_: faulty_things.{target}\n{rest}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def refused(*overrides: str) -> str:
    """What is said of a run that cannot work."""
    with pytest.raises(ConfigError) as caught:
        validate([one(*overrides)])
    return str(caught.value)


def test_sizes_of_no_batch() -> None:
    assert refused("batch_schedule=shrinks").startswith("batch_schedule=shrinks: Shrinks.planned gives 0: it must be a")
    assert refused("batch_schedule=word").startswith("batch_schedule=word: Word.planned gives '16': it must be a whole")


def test_who_asks_for_each_samples_gradient_is_blamed() -> None:
    said = refused("optimizer=by_sample", *CONVOLUTIONS)
    assert said.startswith("optimizer=by_sample measures noise by estimator=per_sample with model=resnet8: ")
    assert said.split("; ")[-1].startswith("that is model.norm=group")
    said = refused("batch_schedule=sample_wise", *CONVOLUTIONS)
    assert said.startswith("batch_schedule=sample_wise measures noise by estimator=per_sample with model=resnet8: ")
    assert "batch_schedule.estimator" not in said
    said = refused("batch_schedule=norm_test", "batch_schedule.estimator=per_sample", *CONVOLUTIONS)
    assert said.startswith("batch_schedule.estimator=per_sample with model=resnet8: ")
    assert "that is batch_schedule.estimator=groups or model.norm=group" in said


def test_an_optimizer_is_no_solver() -> None:
    said = refused("optimizer=solves")
    assert said.startswith("optimizer=solves: Solves declares FiniteSum(batches=True), which is for a solver")


def test_an_optimizer_without_a_rate() -> None:
    said = refused("optimizer=rateless")
    assert said.startswith("optimizer=rateless: faulty_things.Rateless has no lr in its param_groups")
    assert refused("optimizer=plain", "optimizer.lr=null").startswith("optimizer=plain: lr=None must be a number")


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=nan",
        "optimizer.lr=inf",
        "optimizer.momentum=-inf",
        "lr_schedule.warmup=nan",
        "lr_schedule.peak=inf",
        "model.dropout=nan",
    ],
)
def test_numbers_are_finite(override: str) -> None:
    added = "+" if override.startswith("model") else ""
    assert refused(f"{added}{override}").startswith(f"{override}: must be finite")


def test_numbers_within_lists_and_of_solvers_are_finite() -> None:
    assert refused("optimizer=adam", "optimizer.betas=[nan,0.9]").startswith("optimizer.betas=[nan, 0.9]: must be fin")
    solver = ("optimizer=svrg", "dataset=breast_cancer", "model=logistic", "optimizer.l2=nan")
    assert refused(*solver).startswith("optimizer.l2=nan: must be finite")


def test_null_is_said_to_be_null_and_no_more() -> None:
    said = refused("optimizer=adam", "optimizer.lr=null")
    assert said.startswith("optimizer=adam: is null meant for optimizer.lr? (run:")
    said = refused("batch_schedule=exponential", "+batch_schedule.foo=1")
    assert "unexpected keyword argument 'foo'" in said
    assert "null" not in said, "the file's own nulls are not at fault"


def test_arguments_of_a_measure_are_looked_at() -> None:
    said = refused("measure=full_gradient_norm", "+measure.full_gradient_norm.x=1")
    assert said.startswith("measure.full_gradient_norm.x: batchlab.runner.measures.FullGradientNorm takes no such")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            "optimizer=rateless optimizer.lr=1",
            "there is no key optimizer.lr; optimizer=rateless has no keys of its own",
        ),
        ("measure.scores.split=1", "there is no key measure.scores.split; measure=scores has no keys of its own"),
        ("optimizer.nam=1", "there is no key optimizer.nam; (?!.*name)"),
        ("optimizer._targt_=1", "there is no key optimizer._targt_; (?!.*_target_)"),
        ("optimizer.name=foo", r"optimizer\.name says which file of conf/optimizer this is.* with optimizer=\.\.\."),
        ("++lr_schedule.name=foo", "says which file of conf/lr_schedule"),
        ("measure.scores.name=foo", "says which file of conf/measure"),
        ("~optimizer.name", "optimizer.name cannot be left out"),
    ],
)
def test_keys_that_are_no_keys(overrides: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        one(*overrides.split())
