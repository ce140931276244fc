"""`dataset.subset` and `dataset.test_subset`: a fixed part of the samples, each class in its proportion."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.datasets import Dataset, with_subset, with_validation
from batchlab.datasets.subset import shared
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError


def labelled(*counts: int) -> Dataset:
    """So many samples of each class, in turns; a sample is its own number."""
    y = np.concatenate([np.full(n, label) for label, n in enumerate(counts)])
    y = y[np.random.default_rng(0).permutation(len(y))]
    x = np.arange(float(len(y)))[:, None]
    return Dataset("own", x, y, x, y, classes=len(counts))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.data())
def test_shares_are_whole_and_within_one_of_their_proportion(counts: list[int], data: st.DataObject) -> None:
    asked = data.draw(st.integers(1, sum(counts)))
    taken = shared(np.array(counts), asked).tolist()
    assert sum(taken) == asked
    for k, n in zip(taken, counts, strict=True):
        assert abs(k - Fraction(asked * n, sum(counts))) < 1
        assert 0 <= k <= n


def test_a_part_of_each_split_in_the_stored_order() -> None:
    whole = labelled(60, 30, 10)
    part = with_subset(whole, train=50, test=20)
    assert np.bincount(part.y_train).tolist() == [30, 15, 5]
    assert np.bincount(part.y_test).tolist() == [12, 6, 2]
    for x, y in ((part.x_train, part.y_train), (part.x_test, part.y_test)):
        kept = np.asarray(x)[:, 0].astype(int)
        assert (np.diff(kept) > 0).all()
        assert whole.y_train[kept].tolist() == y.tolist(), "labels stay with their samples"
    assert part.n == 50, "an epoch is the subset"
    assert part.notes == (
        "own: 50 of 100 samples for training (dataset.subset), 20 of 100 samples for testing (dataset.test_subset)",
    )
    assert with_subset(whole) is whole


def test_drawn_and_always_the_same() -> None:
    whole = labelled(500, 500)
    kept = np.asarray(with_subset(whole, train=200).x_train)[:, 0]
    assert kept.tolist() == np.asarray(with_subset(whole, train=200).x_train)[:, 0].tolist()
    assert 40 < (kept < 250).sum() < 60, "neither the first ones nor the last"
    parted = with_validation(with_subset(whole, train=200), 0.25)
    assert (parted.n, parted.y_validation is not None and len(parted.y_validation)) == (150, 50)
    expected = np.asarray(with_validation(whole, 0.2).x_validation)[:, 0]
    assert len(set(kept) & set(expected)) < 80, "not what a validation split of the whole takes first"


def test_numbers_to_regress_are_one_class() -> None:
    x = np.arange(40.0)[:, None]
    part = with_subset(Dataset("line", x, x[:, 0], x, x[:, 0], classes=None), train=7)
    assert part.y_train.tolist() == np.asarray(part.x_train)[:, 0].tolist()
    assert part.n == 7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.subset=0"], "dataset.subset=0: how many samples are kept, a whole number from 1; null keeps all"),
        (["dataset.test_subset=1.5"], "dataset.test_subset=1.5: how many samples"),
        (["dataset.subset=true"], "dataset.subset=True: how many samples"),
        (["dataset.subset=many"], "dataset.subset='many': how many samples"),
        (["dataset.subset='10'"], "dataset.subset='10': how many samples are kept, a whole number from 1, not a text"),
        (["dataset.subst=10"], "did you mean dataset.subset"),
    ],
)
def test_refused_when_composed(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(overrides)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.subset=1443", "digits: dataset.subset=1443 of 1442 samples; null keeps all"),
        ("dataset.test_subset=5", "dataset.test_subset=5 leaves class 0, of 35 samples, with none; choose more"),
    ],
)
def test_refused_of_the_data(override: str, message: str) -> None:
    (planned,) = compose([override])
    with pytest.raises(ConfigError, match=message):
        load_dataset(planned.tree["dataset"])


def test_part_of_a_runs_identity_where_it_is_used() -> None:
    whole, null, part, both = (
        compose(overrides)[0]
        for overrides in ([], ["dataset.subset=null"], ["dataset.subset=100"], ["dataset.subset=100", "seed=1"])
    )
    assert whole.run_id == null.run_id != part.run_id
    assert not {"subset", "test_subset"} & whole.tree["dataset"].keys()
    assert part.tree["dataset"]["subset"] == 100
    first, second = (np.asarray(load_dataset(p.tree["dataset"]).x_train) for p in (part, both))
    assert first.tobytes() == second.tobytes(), "whatever the seed"
