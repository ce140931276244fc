"""What a run writes about its gradient's noise, and about the parameters of a small model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import context, frozen, one, rows

from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.loop import train

NOISE = ("optimizer=vr_momentum", "train.groups=8", "+measure=gsnr", "train.epochs=2")
TOY = ("dataset=linear_regression", "model=linear", "model.bias=false", "train.loss=mse")


def test_layers_are_seen_at_the_first_step_after_each_evaluation(tmp_path: Path) -> None:
    """1,442 = 5 x 256 + 162: the steps that reach an evaluation are remainders, those seen here are not."""
    run, config = frozen(tmp_path, *NOISE, "batch_schedule.size=256", "log.evaluate_every=0.5")
    train(config, context(run))
    layers = pq.read_table(run.layers).to_pylist()
    assert list(dict.fromkeys(row["layer"] for row in layers)) == [
        *("layers.0.weight", "layers.0.bias"),
        *("layers.2.weight", "layers.2.bias"),
    ]
    # evaluations after 768 (past a half), 1,442, 1,442 + 768 and 2,884 samples; the run begins with one
    assert list(dict.fromkeys(row["samples"] for row in layers)) == [256, 1024, 1442 + 256, 1442 + 1024]
    for row in layers:
        assert 0.1 <= row["q05"] <= row["q50"] <= row["q95"] <= 1
        assert 0 <= row["clipped_low"] <= 1


def test_a_small_models_parameters_are_columns(tmp_path: Path) -> None:
    sizes = ("dataset.samples=512", "dataset.test_samples=8", "dataset.features=3", "batch_schedule.size=256")
    run, config = frozen(
        tmp_path, *TOY, *sizes, "optimizer=vr_sgd", "train.groups=8", "+measure=parameters", "log.evaluate_every=0.5"
    )
    train(config, context(run))
    start, first, second = rows(run)
    assert [start[f"w{i}"] for i in (1, 2, 3)] == [0.0, 0.0, 0.0]
    assert start["gsnr_w1"] is None
    assert first["w1"] != second["w1"]

    def at(row: dict[str, float]) -> float:
        w, dataset = np.array([row["w1"], row["w2"], row["w3"]]), load_dataset(config.dataset)
        return float(np.mean((dataset.x_test @ w - dataset.y_test) ** 2))

    assert first["test_loss"] == pytest.approx(at(first), rel=1e-5)
    assert min(first["gsnr_w1"], first["gsnr_w3"]) > 1  # at w = 0 every gradient points the same way


def test_only_a_small_models() -> None:
    with pytest.raises(ConfigError, match=r"measure=parameters with .*model=mlp: a model of 1,\d\d\d parameters"):
        validate([one("+measure=parameters")])


def test_without_moments_there_is_no_ratio(tmp_path: Path) -> None:
    sizes = ("dataset.samples=64", "dataset.test_samples=8", "batch_schedule.size=64")
    run, config = frozen(tmp_path, *TOY, *sizes, "optimizer=sgd", "+measure=parameters")
    train(config, context(run))
    assert not [name for name in pq.read_schema(run.metrics).names if name.startswith("gsnr_")]


def test_a_run_in_pieces_writes_the_same_layers(tmp_path: Path) -> None:
    overrides = (*NOISE, "batch_schedule.size=64", "log.evaluate_every=0.25")
    whole, config = frozen(tmp_path / "whole", *overrides)
    train(config, context(whole))
    run, config = frozen(tmp_path / "pieces", *overrides)
    pieces = 0
    while not run.metrics.exists():
        place = context(run)
        place.stop()  # told to stop from the first step on: it goes as far as the ranks' next question
        pieces += train(config, place).state == "interrupted"
    assert pieces > 3
    assert pq.read_table(run.layers).to_pylist() == pq.read_table(whole.layers).to_pylist()
