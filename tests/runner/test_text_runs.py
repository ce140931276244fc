"""The transformer on the text: trained below what single characters tell, in bfloat16, with perplexity measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import frozen, one, rows, trained

from batchlab.datasets.sets.text import text
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

SMALL = (
    *("dataset=text", "dataset.length=24", "model=transformer", "model.width=24", "model.layers=1", "train.device=cpu"),
    *("optimizer=adam", "optimizer.lr=0.01", "batch_schedule.size=32", "+measure=perplexity", "train.samples=3200"),
)


def unigram() -> float:
    """Cross entropy, in nats, of the test split by the characters' frequencies in the training split."""
    data = text(24)
    share = (np.bincount(data.y_train.ravel(), minlength=96) + 1) / (data.y_train.size + 96)
    return float(-np.log(share)[data.y_test].mean())


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_it_learns_more_than_frequencies(precision: str, tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *SMALL, f"train.precision={precision}")
    assert trained(run, config) == "done"
    first, last = rows(run)[0], rows(run)[-1]
    assert first["test_loss"] == pytest.approx(math.log(96), abs=0.1)
    assert last["test_loss"] < unigram() - 0.3
    for row in (first, last):
        assert row["test_perplexity"] == pytest.approx(math.exp(row["test_loss"]))
        assert row["test_bits"] == pytest.approx(row["test_loss"] / math.log(2))


def test_refused_where_there_are_no_tokens() -> None:
    with pytest.raises(ConfigError, match=r"model=transformer: this model needs tokens"):
        validate([one("dataset=digits", "model=transformer")])
    data = ("dataset=linear_regression", "train.loss=mse", "model=linear")
    numbers = one(*data, "optimizer.lr=0.1", "+measure=perplexity")
    with pytest.raises(ConfigError, match="needs labels"):
        validate([numbers])


@pytest.mark.slow
def test_two_ranks_and_parts_of_a_batch_give_the_same(tmp_path: Path) -> None:
    from test_ranks import run

    overrides = (*SMALL, "train.precision=float64")
    alone, losses = run(tmp_path / "one", 1, *overrides)
    for world, more in ((2, ()), (3, ("train.micro_batch=5",))):
        shared, others = run(tmp_path / f"{world}", world, *overrides, *more)
        torch.testing.assert_close(shared, alone, rtol=1e-9, atol=1e-11)
        assert others == pytest.approx(losses, rel=1e-9)
