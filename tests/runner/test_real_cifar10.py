"""A run on real CIFAR-10, from the command line's configuration to the sealed rows."""

from pathlib import Path

import pytest
from runs import context, frozen, rows

from batchlab.runner.train.loop import train

pytestmark = pytest.mark.real_data("cifar10.npz")
CIFAR = ("dataset=cifar10", "model=cnn_cifar", "optimizer=shb", "optimizer.lr=0.02", "batch_schedule.size=64")


@pytest.mark.slow
def test_a_short_run_on_cifar10_learns(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *CIFAR, "train.samples=12800", "log.evaluate_every=1.0")
    assert train(config, context(run)).state == "done"
    first, last = rows(run)
    assert (last["samples"], last["steps"]) == (12_800, 200)
    assert 0.05 < first["test_accuracy"] < 0.15, "ten classes, at random"
    assert last["test_accuracy"] > 0.3, "a quarter of an epoch"
    assert last["train_loss"] < first["test_loss"]
