"""What an interpolation gives has its key's type: variables of the environment are texts, and numbers where wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchlab.runner.plan.config import compose
from batchlab.runner.plan.overrides import dotted
from batchlab.runner.plan.schema import ConfigError, RunConfig

VARIABLES = {"TENTH": "0.1", "THREE": "3", "NO": "false", "PAIR": "[8, 4]", "WORD": "fast", "OPEN": "a${b"}


@pytest.fixture(autouse=True)
def _variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def value_of(key: str, *overrides: str) -> Any:
    """What a key has in the run of these overrides, which is one that a run can be made of."""
    (planned,) = compose(["model=mlp", *overrides])
    RunConfig.of(planned.tree)
    return dict(dotted(planned.tree))[key]


TAKEN = {
    "optimizer.lr=${oc.env:TENTH}": 0.1,
    "optimizer.lr=${oc.env:NOT_SET_HERE,0.1}": 0.1,
    'optimizer.lr="${oc.decode:${oc.env:TENTH}}"': 0.1,
    "optimizer.lr=${oc.env:THREE}": 3.0,
    "optimizer.lr=${train.groups}": 1.0,
    "seed=${oc.env:THREE}": 3,
    "nproc=${oc.env:THREE}": 3,
    "train.samples=${oc.env:THREE}": 3,
    "log.evaluations=${oc.env:THREE}": 3,
    "train.compile=${oc.env:NO}": False,
    "model.hidden=${oc.env:PAIR}": [8, 4],
    "model.hidden=[${oc.env:THREE}]": [3],
    "executor.devices=${oc.env:THREE}": 3,
    "+note=${oc.env:THREE}": "3",
    "+note=${oc.env:OPEN}": "a${b",
    "dataset.root=${oc.env:THREE}": "3",
}


@pytest.mark.parametrize("text", TAKEN)
def test_of_an_override(text: str) -> None:
    key = text.lstrip("+").partition("=")[0]
    found = value_of(key, text)
    assert (found, type(found)) == (TAKEN[text], type(TAKEN[text]))


REFUSED = {
    "optimizer.lr=${oc.env:WORD}": "must be a number (default 0.1), got 'fast'",
    "optimizer.lr=${oc.env:OPEN}": "must be a number (default 0.1), got 'a${b'",
    "seed=${oc.env:TENTH}": "must be a whole number (default 0), got 0.1",
    "seed=${optimizer.lr}": "must be a whole number (default 0), got 0.1",
    "train.compile=${oc.env:WORD}": "must be true or false (default False), got 'fast'",
    "train.compile=${seed}": "must be true or false (default False), got 0",
    "train.loss=${seed}": "must be a word (default 'cross_entropy'), got 0",
}


@pytest.mark.parametrize("text", REFUSED)
def test_one_of_another_type_is_refused_by_its_key(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([text])
    assert str(caught.value) == f"{text}: {text.partition('=')[0]} {REFUSED[text]}"


def experiment(text: str) -> None:
    """An experiment of the user's own."""
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/mine.yaml").write_text(f"# @package _global_\n{text}\n")


def test_of_an_experiment() -> None:
    experiment("seed: ${oc.env:THREE}\noptimizer: {lr: '${oc.env:TENTH}'}\ntrain: {samples: '${oc.env:THREE}'}")
    for key, value in (("seed", 3), ("optimizer.lr", 0.1), ("train.samples", 3)):
        assert value_of(key, "experiment=mine") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {epochs: '${train.loss}'}", "train.epochs must be a number (default 10.0), got 'cross_entropy'"),
        ("optimizer: {lr: '${oc.env:WORD}'}", "optimizer.lr must be a number (default 0.1), got 'fast'"),
    ],
)
def test_of_another_type_in_an_experiment(text: str, said: str) -> None:
    experiment(text)
    with pytest.raises(ConfigError, match=r"conf/experiment/mine\.yaml, .*=\$\{.*\}: ") as caught:
        compose(["experiment=mine"])
    assert str(caught.value).endswith(said)


def test_it_is_the_run_that_the_number_makes() -> None:
    assert compose(["optimizer.lr=${oc.env:TENTH}"])[0].run_id == compose(["optimizer.lr=0.1"])[0].run_id
