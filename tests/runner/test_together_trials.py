"""Which runs train together: a trial says whether it pays, and what cannot be put together trains alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import one, rows, trained
from stacks import check_same, prepared, together

from batchlab.runner.plan import fusable
from batchlab.runner.plan.config import compose
from batchlab.runner.train.launched import TOGETHER
from batchlab.runner.train.session import Session
from batchlab.runner.train.together import ApartError, group, look, pays

pytestmark = pytest.mark.usefixtures("_beside_code_of_ones_own")


def test_what_does_not_pay_is_apart_and_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    asked: list[int] = []

    looked: list[int] = []

    def together_in(trial: pays.Trial, size: int, alone: float) -> float:
        asked.append(len(trial.sessions))
        return together_seconds

    def looked_at(trial: pays.Trial, size: int) -> float:
        looked.append(size)
        return 1.0

    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 10.0)
    monkeypatch.setattr(pays.Trial, "together", together_in)
    monkeypatch.setattr(pays.Trial, "looked_at_alone", looked_at)
    monkeypatch.setattr(pays.Trial, "looked_at_together", lambda trial, size, alone: alone)
    monkeypatch.delenv(TOGETHER)
    runs, configs = prepared(
        tmp_path / "runs",
        "seed=range(0,3)",
        "dataset=linear_regression",
        "model=linear",
        "train.loss=mse",
    )
    together_seconds = 10.0
    for _ in range(2):
        with pytest.raises(ApartError, match="take as long as alone"):
            together(runs, configs)
        assert not any(run.folder.joinpath("metrics.jsonl").exists() for run in runs)
    assert (asked, looked) == ([3], []), "how they are evaluated is no question then"
    for found in (tmp_path / "data" / "together").glob("*.json"):
        found.write_text("[damaged")
    together_seconds = 5.0
    assert set(together(runs, configs)) == {"done"}
    assert (asked, looked) == ([3, 3], [pays.LOOKED])


GROWING = ["batch_schedule=exponential", "batch_schedule.initial=4", "batch_schedule.every=1", "train.samples=6000"]


@pytest.mark.parametrize("large", [0.03, 3.0])
def test_a_batch_that_grows_is_asked_at_the_sizes_it_comes_to(
    large: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second a step alone at 64 samples, and `large` together: what small ones gain is lost by large ones."""
    asked: list[int] = []

    def together_in(trial: pays.Trial, size: int, alone: float) -> float:
        asked.append(size)
        return 0.001 if size < 50 else large

    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 0.01 if size < 50 else 1.0)
    monkeypatch.setattr(pays.Trial, "together", together_in)
    monkeypatch.delenv(TOGETHER)
    runs, configs = prepared(tmp_path / "runs", "seed=0,1", *GROWING)
    if large < 1:
        assert set(together(runs, configs)) == {"done"}
    else:
        with pytest.raises(ApartError, match="take as long as alone"):
            together(runs, configs)
    assert asked == [64, 16, 4]


@pytest.mark.parametrize(
    ("steps", "groups", "tried"),
    [
        ({128: 100, 1: 1}, 1, [128]),
        ({8: 1000, 64: 125, 512: 16, 4096: 2, 3: 1}, 1, [8, 64, 512]),
        ({4: 10, 9: 10}, 8, [8, 9]),
        ({3: 1}, 1, [3]),
    ],
)
def test_what_an_epoch_leaves_is_no_size_to_try(steps: dict[int, int], groups: int, tried: list[int]) -> None:
    assert pays._tried(steps, groups) == tried


@pytest.mark.filterwarnings("ignore:own. x_test has no samples")
def test_a_data_set_without_a_test_split_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pays, "LEAST", 0.0)
    monkeypatch.setattr(pays, "WORTH", math.inf)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv(TOGETHER)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 5), dtype=np.float32), rng.integers(0, 2, 64)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])
    grid = ["dataset=npz", f"dataset.file={tmp_path / 'own.npz'}", "model=logistic", "seed=0,1"]
    runs, configs = prepared(tmp_path / "runs", *grid)
    assert set(together(runs, configs)) == {"done"}


@pytest.mark.parametrize("shared", [False, True])
def test_evaluations_are_shared_where_they_are_quicker(
    shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv(TOGETHER)
    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 10.0)
    monkeypatch.setattr(pays.Trial, "together", lambda trial, size, alone: 1.0)
    monkeypatch.setattr(pays.Trial, "looked_at_alone", lambda trial, size: 1.0)
    monkeypatch.setattr(pays.Trial, "looked_at_together", lambda trial, size, alone: 0.5 if shared else 2.0)
    looked: list[bool] = []
    ahead = look.Look.ahead

    def counted(self: look.Look, group: group.Group) -> None:
        looked.append(True)
        ahead(self, group)

    monkeypatch.setattr(look.Look, "ahead", counted)
    runs, configs = prepared(tmp_path / "together", "seed=0,1")
    assert set(together(runs, configs)) == {"done"}
    assert bool(looked) is shared
    alone, configs = prepared(tmp_path / "alone", "seed=0,1")
    assert {trained(run, config) for run, config in zip(alone, configs, strict=True)} == {"done"}
    check_same(runs, alone, 1e-9)


def test_the_trial_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = pays.Trial.looked_at_together
    monkeypatch.setattr(pays, "LEAST", 0.0)
    monkeypatch.setattr(pays, "WORTH", math.inf)
    monkeypatch.setattr(pays.Trial, "looked_at_together", lambda *asked: 0.0 * looked_at(*asked))
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    grid = ["dataset=linear_regression", "model=linear", "train.loss=mse", "optimizer=shb,adam", "seed=0,1"]
    ends = []
    for name in ("not", "tried"):
        if name == "tried":
            assert not (tmp_path / "data").exists(), "not where somebody said how many"
            monkeypatch.delenv(TOGETHER)
        runs, configs = prepared(tmp_path / name, *grid)
        assert set(together(runs, configs)) == {"done"}
        ends.append([rows(run) for run in runs])
    assert ends[0] == ends[1]
    assert len([*(tmp_path / "data" / "together").iterdir()]) == 4


def test_a_trial_makes_its_models_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all sizes and for evaluations: one run alone, and those that are tried together."""
    _, configs = prepared(tmp_path, "seed=0,1,2", *GROWING)
    sessions = [Session.build(config, torch.device("cpu"), 0, 1) for config in configs]
    made: list[int] = []
    build = Session.build
    monkeypatch.setattr(Session, "build", lambda config, *rest: made.append(config.seed) or build(config, *rest))
    trial = pays.Trial(sessions)
    for size in (64, 16, 4):
        assert trial.together(size, trial.alone(size)) > 0
    assert trial.looked_at_together(100, trial.looked_at_alone(100)) > 0
    assert made == [0, 0, 1, 2]


def test_what_is_too_short_for_a_trial_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of ten seconds, whose step of half a second is to be tried twice, with two at a time: 2 s of 20."""
    monkeypatch.delenv(TOGETHER)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 0.5)
    monkeypatch.setattr(pays.Trial, "looked_at_alone", lambda trial, size: 1.0)
    monkeypatch.setattr(pays, "_seconds", lambda *asked: 0.01)
    runs, configs = prepared(tmp_path / "runs", "seed=0,1", "batch_schedule.size=32", "train.samples=640")
    monkeypatch.setattr(pays, "WORTH", 0.09)
    with pytest.raises(ApartError, match="too large a share"):
        together(runs, configs)
    assert not any(run.folder.joinpath("metrics.jsonl").exists() for run in runs), "nothing was written"
    monkeypatch.setattr(pays, "WORTH", 0.11)
    assert set(together(runs, configs)) == {"done"}


def test_a_model_that_vmap_cannot_follow_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOGETHER)
    monkeypatch.setattr(pays, "WORTH", math.inf)
    runs, configs = prepared(tmp_path, "model=looks", "seed=0,1")
    with pytest.raises(ApartError, match=r"vmap|data-dependent|item"):
        together(runs, configs)


@pytest.mark.parametrize(
    "choice",
    [
        *("model=padded", "model=listed", "model=assigned", "model=drawn", "model=hooked", "model=backward"),
        *("optimizer=replaces", "optimizer=noisy"),
    ],
)
def test_code_that_reaches_around_the_stack_trains_alone(choice: str, tmp_path: Path) -> None:
    runs, configs = prepared(tmp_path, choice, "seed=0,1,2")
    with pytest.raises(ApartError, match=r"would be another than alone|random numbers are drawn|differ in|meta"):
        together(runs, configs)
    assert not any(run.stream("metrics").exists() for run in runs)


def test_models_that_differ_beside_their_parameters_are_apart(tmp_path: Path) -> None:
    runs, configs = prepared(tmp_path, "model=lucky", "seed=0,1")
    with pytest.raises(ApartError, match=r"differ in Lucky\.scale, which is no parameter"):
        together(runs, configs)


ALONE = {
    "several ranks": ["nproc=2"],
    "a batch that adapts": ["batch_schedule=norm_test"],
    "a compiled model": ["train.compile=true"],
    "channels_last": ["train.channels_last=true", "model=cnn_mnist"],
}


@pytest.mark.parametrize("reason", ALONE)
def test_what_trains_alone_says_why(reason: str) -> None:
    assert fusable.why_alone(one(*ALONE[reason]).tree) == reason


def test_keys_differ_where_steps_do() -> None:
    base = ["dataset=digits", "model=mlp", "train.device=cpu"]

    def key(*overrides: str) -> str:
        (planned,) = compose([*base, *overrides])
        return fusable.key(planned.tree)

    same = [["optimizer.lr=0.3"], ["seed=5"], ["optimizer=adam"], ["lr_schedule=cosine"]]
    other = [
        *(["batch_schedule.size=64"], ["train.epochs=3"], ["model.hidden=[8]"], ["optimizer=heun"], ["optimizer=rk4"]),
        *(["optimizer=vr_sgd", "train.groups=8"], ["log.steps=true"], ["train.precision=float64"]),
    ]
    assert {key(*overrides) for overrides in same} == {key()}
    assert len({key(*overrides) for overrides in other} | {key()}) == len(other) + 1
