"""`train.micro_batch=auto`: what is chosen, that it is remembered and gone on with, and where it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import context, frozen, one, rows, trained

from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train import fitting
from batchlab.runner.train.loop import train
from batchlab.runner.train.session import Session

AUTO = "train.micro_batch=auto"
LARGE = ("batch_schedule.size=500", "train.epochs=4")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root of the test's own, where choices are kept."""
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def quick(monkeypatch: pytest.MonkeyPatch, best: int) -> list[int]:
    """Passes over so many samples take the least time; the list has the sizes that are timed."""
    timed: list[int] = []

    def seconds(_: Any, size: int) -> float:
        timed.append(size)
        return size * (1.0 if size == best else 2.0)

    monkeypatch.setattr(fitting, "_seconds", seconds)
    return timed


def test_the_fastest_is_noted_remembered_and_gone_on_with(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = quick(monkeypatch, 128)
    run, config = frozen(tmp_path / "a", *LARGE, AUTO)
    assert trained(run, config, stop_after=3) == "interrupted"
    assert timed == [32, 64, 128, 256, 512]
    assert run.read_state().info["micro_batch"] == 128
    (kept,) = (data / "micro_batch").iterdir()
    assert json.loads(kept.read_text())["micro_batch"] == 128

    kept.write_text('{"micro_batch": 64}')
    assert trained(run, config) == "done"
    assert run.read_state().info["micro_batch"] == 128, "a run goes on with what it was begun with"
    plain, fixed = frozen(tmp_path / "b", *LARGE, "train.micro_batch=128")
    assert trained(plain, fixed) == "done"
    alone, given = ([{**row, "run_id": ""} for row in rows(one)] for one in (run, plain))
    assert alone == given, "to the bit those of a run that was given the number"

    other, config = frozen(tmp_path / "c", *LARGE, AUTO, "seed=1")
    assert trained(other, config) == "done"
    assert other.read_state().info["micro_batch"] == 64, "for the same model and device it is remembered"
    assert len(timed) == 5


def test_on_a_cpu_passes_are_timed(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *LARGE, AUTO)
    assert trained(run, config) == "done"
    assert run.read_state().info["micro_batch"] in fitting.ON_CPU


def test_no_more_than_a_batch_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size, tried in ((20, []), (64, [32, 64]), (65, [32, 64, 128])):
        timed = quick(monkeypatch, 32)
        run, config = frozen(tmp_path / str(size), AUTO, f"batch_schedule.size={size}")
        fitting.fitted(config, context(run), Session.build(fitting._with(config, 1), torch.device("cpu"), 0, 1).dataset)
        assert timed == tried
        assert run.read_state().info["micro_batch"] == 32


def test_what_is_out_of_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session.build(RunConfig.of(one("train.micro_batch=512").tree), torch.device("cpu"), 0, 1)
    tried: list[int] = []

    def small(session: Session, size: int) -> float:
        tried.append(size)
        if size > 100:
            raise torch.OutOfMemoryError("out of memory")
        return 0.0

    monkeypatch.setattr(fitting, "_pass", small)
    assert fitting.most_that_fits(lambda size: fitting._fits(session, size), 512) == 64
    assert tried == [512, 256, 128, 64]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ("model=resnet8",),
            "train.micro_batch=auto with model=resnet8: BatchNorm sees a micro-batch, so numbers depend on it: set one "
            "or model.norm=group",
        ),
        (("optimizer=vr_sgd", "train.groups=8"), "noise is measured between micro-batches"),
    ],
    ids=["BatchNorm", "noise"],
)
def test_refused_where_numbers_depend_on_it(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate([one(*overrides, AUTO)])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    validate([one(*overrides, "train.micro_batch=64")])


def test_random_numbers_of_a_model_of_ones_own_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = frozen(tmp_path, *LARGE, AUTO)
    monkeypatch.setattr(fitting, "_seconds", lambda session, size: float(torch.rand(())) + size)
    with pytest.raises(ConfigError, match="random numbers are drawn for each micro-batch; set a number"):
        train(config, context(run))


def test_other_words_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.micro_batch=most: choose a whole number or auto"):
        RunConfig.of(one("train.micro_batch=most").tree)
    assert RunConfig.of(one("train.micro_batch=1e2").tree).train.micro_batch == 100
    assert one(AUTO).run_id != one().run_id
