"""Runs that train together are the runs that train alone: rows, facts, files, resumed and diverged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import rows, trained
from stacks import check_same, prepared, together
from torch.utils._python_dispatch import TorchDispatchMode

from batchlab.results.store.run import Run, RunLostError
from batchlab.runner.train.together import ApartError
from batchlab.runner.train.together.stack import Stack

pytestmark = pytest.mark.usefixtures("_beside_code_of_ones_own")

TEXT = ("dataset=text", "model=transformer", "model.width=16")
GRIDS = {
    "seeds": ["optimizer=shb", "seed=range(0,4)"],
    "rates": ["optimizer=sgd", "optimizer.lr=0.01,0.1,0.3", "seed=0,1"],
    "momentum": ["optimizer=shb", "optimizer.momentum=0.5,0.9", "optimizer.weight_decay=0,0.01"],
    "several methods": ["optimizer=sgd,shb,nesterov,nshb,adam,adamw,taylor,ab2,ab3,ab4,rmsprop,adagrad"],
    "more methods": ["optimizer=radam,nadam,lars,lamb,adagrad_norm,adafactor", "seed=0,1"],
    "muon": ["optimizer=muon", "seed=0,1"],
    "heun": ["optimizer=heun", "optimizer.lr=0.01,0.1", "seed=0,1"],
    "rk4": ["optimizer=rk4", "optimizer.lr=0.01,0.1", "seed=0,1"],
    "schedules": ["optimizer=shb", "lr_schedule=constant,cosine,diminishing,linear", "seed=0,1"],
    "growing": ["optimizer=sgd", "batch_schedule=exponential", "batch_schedule.initial=8", "batch_schedule.every=1"],
    "no decay of biases": ["optimizer=sgd,adamw,lamb", "optimizer.weight_decay=0.1", "train.decay=weights", "seed=0,1"],
    "smoothing": ["train.label_smoothing=0.1", "seed=0,1"],
    "parts": ["train.micro_batch=10", "seed=0,1"],
    "batchnorm": ["model=resnet8", "model.width=4", "train.samples=320", "seed=0,1,2"],
    "groupnorm": ["model=resnet8", "model.width=8", "model.norm=group", "train.samples=320", "seed=0,1"],
    "cnn": ["model=cnn_mnist", "train.samples=160", "seed=0,1"],
    "regression": ["dataset=linear_regression", "model=linear", "train.loss=mse", "model.zero_init=false", "seed=0,1"],
    "table": ["dataset=breast_cancer", "model=logistic", "seed=0,1"],
    "transformer": [
        "dataset=text",
        "model=transformer",
        "model.width=16",
        "train.samples=96",
        "optimizer=adam",
        "seed=0,1",
    ],
    "clicks": ["dataset=clicks", "model=dlrm", "train.samples=640", "seed=0,1"],
    "noise": ["optimizer=vr_sgd,vr_adam", "optimizer.control=false,true", "train.groups=8", "seed=0,1"],
    "measures": ["+measure=full_gradient_norm", "+measure=train_accuracy", "log.steps=true", "seed=0,1"],
    "dropout": ["model=dropped", "optimizer=shb", "seed=0,1,2"],
    "own optimizer": ["optimizer=plain", "optimizer.lr=0.05,0.1", "seed=0,1"],
    "schedule-free": ["optimizer=schedulefree_sgd,sgd", "optimizer.lr=0.1", "seed=0,1"],
    "layers": ["optimizer=vr_lars", "train.groups=4", "+measure=gsnr", "seed=0,1"],
}


@pytest.mark.parametrize("grid", GRIDS)
def test_each_has_the_numbers_that_it_has_alone(grid: str, tmp_path: Path) -> None:
    runs, configs = prepared(tmp_path / "together", *GRIDS[grid])
    assert set(together(runs, configs)) == {"done"}
    alone, configs = prepared(tmp_path / "alone", *GRIDS[grid])
    assert {trained(run, config) for run, config in zip(alone, configs, strict=True)} == {"done"}
    check_same(runs, alone, 1e-9)


class Normalized(TorchDispatchMode):
    """Notes of every BatchNorm that trains the types of its inputs and of its running mean."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[tuple[torch.dtype, torch.dtype]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func == torch.ops.aten.native_batch_norm.default and args[5]:
            self.types.add((args[0].dtype, args[3].dtype))
        return func(*args, **(kwargs or {}))


def test_batchnorm_in_bfloat16_has_inputs_that_a_gpu_takes() -> None:
    """vmap gives it the running statistics of all models, which a GPU refuses beside narrower inputs."""
    stack = Stack([torch.nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4)], [torch.Generator()] * 2)
    x = torch.randn(2, 8, 4).bfloat16()
    with Normalized() as seen:
        out = stack.forward(x, training=True)
    assert seen.types == {(torch.float32, torch.float32)}
    assert out.dtype == torch.bfloat16
    right = torch.stack([torch.nn.BatchNorm1d(4)(own.float()) for own in x])
    torch.testing.assert_close(out, right.bfloat16())


def test_bfloat16_on_a_cpu_is_apart(tmp_path: Path) -> None:
    """vmap leaves its convolutions in float32 there: other numbers than alone."""
    runs, configs = prepared(tmp_path, "train.precision=bfloat16", "seed=0,1")
    with pytest.raises(ApartError, match="bfloat16"):
        together(runs, configs)


@pytest.mark.parametrize("grid", ["rates", "several methods", "heun", "batchnorm", "dropout", "noise"])
def test_a_group_that_was_cut_off_goes_on_bit_for_bit(grid: str, tmp_path: Path) -> None:
    whole, configs = prepared(tmp_path / "whole", *GRIDS[grid])
    assert set(together(whole, configs)) == {"done"}
    parts, configs = prepared(tmp_path / "parts", *GRIDS[grid])
    assert set(together(parts, configs, stop_after=6)) == {"interrupted"}
    assert {run.read_state().state for run in parts} == {"interrupted"}
    assert set(together(parts, configs)) == {"done"}
    assert [rows(run) for run in parts] == [rows(run) for run in whole]
    assert not any(run.checkpoints for run in parts)


def test_runs_go_on_alone_and_together_from_each_others_checkpoints(tmp_path: Path) -> None:
    grid = ["optimizer=shb,adam,taylor", "seed=0,1"]
    alone, configs = prepared(tmp_path / "alone", *grid)
    for run, config in zip(alone, configs, strict=True):
        assert trained(run, config) == "done"
    runs, configs = prepared(tmp_path / "runs", *grid)
    assert set(together(runs, configs, stop_after=6)) == {"interrupted"}
    assert trained(runs[2], configs[2], stop_after=3) == "interrupted"  # now it stands at another place than the others
    assert trained(runs[4], configs[4]) == "done"
    left = [i for i in range(6) if i != 4]
    assert set(together([runs[i] for i in left], [configs[i] for i in left])) == {"done"}
    check_same(runs, alone, 1e-9)
    assert [run.read_state().info.get("fused") for run in runs] == [6] * 6, "number 4 alone from its checkpoint on"
    assert not any("fused" in run.read_state().info for run in alone)


@pytest.mark.parametrize("diverging", ["1e9", "1e300"])
def test_one_that_diverges_is_recorded_and_the_others_go_on(diverging: str, tmp_path: Path) -> None:
    grid = ["optimizer=sgd", f"optimizer.lr=0.1,{diverging},0.05", "seed=0,1"]
    grid += ["dataset=linear_regression", "model=linear", "train.loss=mse", "model.zero_init=false"]
    runs, configs = prepared(tmp_path / "together", *grid)
    states = together(runs, configs)
    assert sorted(set(states)) == ["diverged", "done"]
    alone, configs = prepared(tmp_path / "alone", *grid)
    assert [trained(run, config) for run, config in zip(alone, configs, strict=True)] == states
    check_same(runs, alone, 1e-9)


def test_a_run_that_another_process_has_taken_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, configs = prepared(tmp_path / "together", "seed=range(0,3)")
    taken = runs[1]

    def check_owned(self: Run) -> None:
        if self.run_id == taken.run_id and self.stream("metrics").exists():
            raise RunLostError(f"{self.folder}: taken")

    monkeypatch.setattr(Run, "check_owned", check_owned)
    assert sorted(together(runs, configs)) == ["done", "done", "interrupted"]
    assert taken.read_state().state not in ("done", "interrupted")
