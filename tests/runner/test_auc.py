"""AUC against scikit-learn's, and DLRM on the click log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runs import frozen, one, rows, trained
from sklearn.metrics import roc_auc_score

from batchlab.runner.measures.auc import area
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

CLICKS = (
    *("dataset=clicks", "dataset.samples=8192", "dataset.test_samples=2048", "model=dlrm", "train.device=cpu"),
    *("optimizer=sgd", "optimizer.lr=0.3", "batch_schedule.size=32", "+measure=auc", "train.epochs=2"),
)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_as_scikit_learns(pairs: list[tuple[int, bool]]) -> None:
    scores, targets = (torch.tensor(values) for values in zip(*pairs, strict=True))
    found = area(scores.double(), targets.long())
    if targets.all() or not targets.any():
        assert math.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(targets.numpy(), scores.numpy()))


def test_dlrm_ranks_clicks_above_the_rest(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *CLICKS)
    assert trained(run, config) == "done"
    first, last = rows(run)[0], rows(run)[-1]
    assert 0.3 < first["test_auc"] < 0.6 < 0.65 < last["test_auc"] < 0.836
    assert last["test_loss"] < first["test_loss"]


def test_refused() -> None:
    with pytest.raises(ConfigError, match=r"measure=auc .*needs two classes, one label per sample"):
        validate([one("+measure=auc")])
    with pytest.raises(ConfigError, match="model=dlrm: this model needs counts and categories"):
        validate([one("model=dlrm", "dataset=text")])
