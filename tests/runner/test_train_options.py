"""Options of training, and one run's figures at a fixed seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import context, frozen, rows

from batchlab.runner.train.loop import train
from batchlab.runner.train.session import Session

GOLDEN = {"train_loss": [2.158, 2.027], "test_loss": [1.964, 1.95], "test_accuracy": [0.293, 0.296]}
STEPS = [0, 71, 75]


def trained(root: Path, *overrides: str) -> list[dict[str, float]]:
    """The rows of a run in this process."""
    run, config = frozen(root, *overrides)
    assert train(config, context(run)).state == "done"
    return rows(run)


RESNET = ("model=resnet8", "model.width=4", "dataset.pad=1", "train.epochs=2")


def test_golden(tmp_path: Path) -> None:
    """A change of these figures is a change of what every run on disk means."""
    got = trained(tmp_path, *RESNET, "optimizer=nshb", "lr_schedule=cosine", "batch_schedule=exponential")
    for key, expected in GOLDEN.items():
        assert [r[key] for r in got[1:]] == pytest.approx(expected, abs=0.01), key
    assert [r["steps"] for r in got] == STEPS


@pytest.mark.parametrize("samples", [64, 128])
def test_a_run_that_diverges_in_its_last_steps_is_diverged(samples: int, tmp_path: Path) -> None:
    """A step's loss is taken before it: what the last one did shows only in the evaluation after it."""
    run, config = frozen(tmp_path, "optimizer.lr=1e30", f"train.samples={samples}", "batch_schedule.size=64")
    outcome = train(config, context(run))
    assert outcome.state == "diverged"
    assert "not finite" in str(outcome.reason)
    assert [row["samples"] for row in rows(run)] == [0, samples]
    assert run.read_state().state == "diverged"


@pytest.mark.parametrize(
    ("option", "tolerance"),
    [("train.precision=float64", 1e-3), ("train.precision=bfloat16", 0.1), ("train.channels_last=true", 1e-3)],
)
def test_options_agree_with_the_plain_run(option: str, tolerance: float, tmp_path: Path) -> None:
    plain = trained(tmp_path, *RESNET, "optimizer.lr=0.01")[-1]
    other = trained(tmp_path, *RESNET, "optimizer.lr=0.01", option)[-1]
    assert other["test_loss"] == pytest.approx(plain["test_loss"], rel=tolerance)
    assert other["test_loss"] != plain["test_loss"], "the option does something"


@pytest.mark.slow
def test_compiled_agrees(tmp_path: Path) -> None:
    plain = trained(tmp_path, "optimizer.lr=0.01")[-1]
    other = trained(tmp_path, "optimizer.lr=0.01", "train.compile=true")[-1]
    assert other["test_loss"] == pytest.approx(plain["test_loss"], rel=1e-4)


def test_decay_spares_biases_and_norms(tmp_path: Path) -> None:
    _, config = frozen(tmp_path, "model=resnet8", "optimizer.weight_decay=0.1", "train.decay=weights")
    session = Session.build(config, torch.device("cpu"), 0, 1)
    weights, others = session.optimizer.param_groups
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(p.dim() > 1 for p in weights["params"])
    assert all(p.dim() <= 1 for p in others["params"])


def test_budget_ends_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    last = trained(tmp_path, "train.samples=1000", "log.evaluate_every=0.25")[-1]
    assert (last["samples"], last["gradients"]) == (1000, 1000)
    last = trained(tmp_path, "train.samples=1000", "optimizer=heun")[-1]
    assert last["gradients"] == 2000


def test_regression(tmp_path: Path) -> None:
    last = trained(tmp_path, "dataset=linear_regression", "model=linear", "train.loss=mse", "optimizer.lr=0.01")[-1]
    assert "test_accuracy" not in last
    assert last["test_loss"] >= 0


def test_adaptive_batches_write_what_they_did(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run, config = frozen(tmp_path, "batch_schedule=norm_test", "batch_schedule.initial=16", "train.groups=4")
    train(config, context(run))
    steps = pq.read_table(run.steps).to_pylist()
    assert sum(s["batch_size"] for s in steps) == 1442
    assert len({s["batch_size"] for s in steps}) > 1
