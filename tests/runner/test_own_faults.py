"""Faults in a user's own optimizer, schedule or numbers: refused before a run begins, and the override is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import TINY, one

from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

FAULTY = """
import torch
from batchlab.optimizers.batch import BatchSchedule
from batchlab.optimizers.lr import LRSchedule
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

class Runaway(Plain):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr * 1e400)

class Divides(Plain):
    def __init__(self, params, lr=0.1):
        super().__init__(params, 1 / 0)

class Rateless(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})
    def step(self):
        pass

class Bursts(LRSchedule):
    def shape(self, time, length):
        return 1.0 if time < 5 else float("nan")

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
    "optimizer": {
        "plain": "lr: 0.1",
        "solves": "lr: 0.1",
        "by_sample": "lr: 0.1",
        "rateless": "",
        "divides": "",
        "runaway": "lr: 0.1",
    },
    "lr_schedule": {"bursts": ""},
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
        "optimizer.lr=1e400",
        "optimizer.weight_decay=inf",
        f"optimizer.lr={10**400}",
        f"lr_schedule.warmup={10**400}",
        "batch_schedule.factor=inf",
        "batch_schedule.eta=nan",
    ],
)
def test_numbers_are_finite(override: str) -> None:
    added = "+" if override.startswith(("model", "batch_schedule")) else ""
    said = refused(f"{added}{override}")
    assert said.startswith(override.split("=")[0])
    assert ": must be finite" in said


@pytest.mark.parametrize("optimizer", ["sgd", "shb", "adam", "adamw", "lars", "nshb", "plain"])
@pytest.mark.parametrize("rate", ["nan", "inf", "-inf", "1e400"])
def test_no_optimizer_takes_a_rate_that_is_no_number(optimizer: str, rate: str) -> None:
    assert ": must be finite" in refused(f"optimizer={optimizer}", f"optimizer.lr={rate}")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            "optimizer=adam optimizer.betas=[0.9]",
            "optimizer=adam: optimizer.betas=[0.9]: IndexError: list index out of",
        ),
        ("optimizer=adam optimizer.betas=[0.9,fast]", "optimizer=adam: optimizer.betas=[0.9, 'fast']: '<"),
        ("optimizer=worded", "optimizer=worded: optimizer.lr='fast': '<"),
        ("optimizer=quoted", "optimizer=quoted: optimizer.lr='0.1' (a text: write it without quotes, or ${oc.decode:"),
        ("model.hidden=[1e12]", "model=mlp: hidden=1000000000000.0 must be a whole number, at least 1"),
        ("model.hidden=[wide]", "model=mlp: hidden=wide must be a whole number"),
    ],
)
def test_the_key_is_named_whatever_the_error(overrides: str, says: str) -> None:
    for name, rate in (("worded", "fast"), ("quoted", "0.1")):
        Path(f"conf/optimizer/{name}.yaml").write_text(f'_target_: torch.optim.SGD\nlr: "{rate}"\nmomentum: 0.9\n')
    assert refused(*overrides.split()).startswith(says)


def test_a_choice_is_called_by_a_word() -> None:
    Path("conf/optimizer/one.yaml").write_text("_target_: torch.optim.SGD\nname: 1\n")
    with pytest.raises(ConfigError, match=r"^conf/optimizer/one\.yaml: name: 1 must be a word"):
        one("optimizer=one")


@pytest.mark.parametrize(
    ("file", "text", "chosen"),
    [
        ("optimizer/copied", "name: plain\n_target_: own_faults.Plain\n", "optimizer=copied"),
        ("optimizer/heir", "defaults: [sgd]\nlr: 0.2\n", "optimizer=heir"),
        ("lr_schedule/copied", "name: constant\n_target_: batchlab.optimizers.lr.Constant\n", "lr_schedule=copied"),
        ("measure/copied", "name: scores\n_target_: batchlab.runner.measures.Scores\n", "+measure=copied"),
        ("callback/copied", "name: other\n_target_: own_faults.Plain\n", "+callback=copied"),
    ],
)
def test_a_choice_is_called_as_its_file(file: str, text: str, chosen: str) -> None:
    """Of two files of one name tables would make one row."""
    path = Path(f"conf/{file}.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^conf/{file}\.yaml: its name is \w+, .*write name: {path.stem} in it, or"):
        compose([chosen])
    path.write_text(f"{text.replace('name:', '#')}name: {path.stem}\n")
    assert compose([chosen])
    path.unlink()


def test_a_choice_that_reads_as_a_number_is_refused() -> None:
    for name in ("nan", "2"):
        Path(f"conf/lr_schedule/{name}.yaml").write_text("_target_: own_faults.Bursts\n")
        with pytest.raises(ConfigError, match=rf"conf/lr_schedule/{name}\.yaml is called what .* as in my_{name}"):
            compose([f"lr_schedule={name}"])


def test_choices_are_listed_however_many_there_are() -> None:
    for n in range(40):
        Path(f"conf/lr_schedule/one{n}.yaml").write_text("_target_: own_faults.Bursts\n")
    with pytest.raises(ConfigError, match="no choice 'zzz'; there are: bursts, constant"):
        compose(["lr_schedule=zzz"])


def test_what_the_users_own_code_makes_is_finite() -> None:
    assert refused("optimizer=runaway").startswith("optimizer=runaway: lr=inf must be finite")
    assert refused("lr_schedule=bursts").startswith("lr_schedule=bursts: Bursts.factor gives nan at step 11")
    lost = ("lr_schedule=growth", "lr_schedule.gamma=1e38", "lr_schedule.maximum=null", "lr_schedule.every=0.02")
    assert "grows beyond all numbers" in refused(*lost)


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("lr_schedule=constant lr_schedule.peak=1e38", "lr_schedule.peak=1e+38 times the rate of optimizer=shb"),
        ("lr_schedule=cosine lr_schedule.warmup=0.5 lr_schedule.peak=1e38", "lr_schedule.peak=1e+38 times"),
        ("lr_schedule=growth lr_schedule.maximum=1e38 lr_schedule.every=0.1", "lr_schedule.maximum=1e+38 times"),
        (
            "lr_schedule=warmup_constant lr_schedule.warmup=0.5 lr_schedule.warmup_from=1e38",
            "lr_schedule.warmup_from=1e",
        ),
    ],
)
def test_no_rate_is_beyond_all_numbers(overrides: str, says: str, at_hand: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        validate([one(*overrides.split(), "optimizer.lr=1e10")], data_at_hand=at_hand)
    assert str(caught.value).startswith(says)


def test_nor_is_what_it_grows_to() -> None:
    grown = ("lr_schedule=growth", "lr_schedule.gamma=1e30", "lr_schedule.maximum=null", "lr_schedule.every=0.1")
    assert "times lr=1e+20 at step" in refused(*grown, "optimizer.lr=1e20")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=-1", "seed=-1 must be at least 0"),
        (f"seed={2**63}", f"seed={2.0**63:.4g} must be at most {2**63 - 1}"),
        (f"seed={2**64}", "must be at most"),
        ("dataset.validation=0.1 dataset.split_seed=-1", "a whole number, 0 or more"),
        (f"dataset.validation=0.1 dataset.split_seed={2**64}", "below 2^64"),
        ("train.epochs=1e400", "train.epochs=inf must be positive and finite"),
        ("train.epochs=1e300", "train.epochs: a budget of 1.44e+303 samples is beyond all counting: lower it"),
        ("train.samples=1e300", "train.samples: a budget of 1e+300 samples is beyond all counting: lower it"),
        ("train.epochs=nan", "must be positive and finite"),
        ("batch_schedule.size=1e30", "below 2^63"),
    ],
)
def test_seeds_and_budgets_that_cannot_be_kept(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate([one(*override.split())])
    assert says in str(caught.value)


@pytest.mark.parametrize("seed", ["1.5", "true", "1e400", "nan", "'1'", "null"])
def test_a_seed_is_a_whole_number(seed: str) -> None:
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        one(f"seed={seed}")


def test_seeds_that_can_be_kept() -> None:
    assert validate(compose(["seed=range(0,3)", *TINY])) == []
    assert validate([one(f"seed={2**63 - 1}")]) == []


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


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            "optimizer=adam optimizer.betas=[0.9]",
            "optimizer=adam: optimizer.betas=[0.9]: IndexError: list index out of range",
        ),
        ("optimizer=adam optimizer.betas=[]", "optimizer=adam: optimizer.betas=[]: IndexError"),
        ("optimizer=divides", "optimizer=divides: ZeroDivisionError"),
    ],
)
def test_whatever_a_constructor_raises_is_said_of_the_choice(overrides: str, said: str) -> None:
    assert refused(*overrides.split()).startswith(said)


def test_an_argument_that_no_file_has_can_be_added() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no key optimizer\.nesterov; .*\(\+optimizer\.nesterov=true adds an"
    ):
        one("optimizer=shb", "optimizer.nesterov=true")
    assert validate([one("optimizer=shb", "+optimizer.nesterov=true")]) == []


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
