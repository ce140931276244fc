"""The click log: its planted model, its categories, what it declares."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from batchlab.datasets.sets.clicks import COUNTS, ENTRY, TABLES, clicks, draw, zipf


def test_the_planted_models_own_scores_are_those_stated() -> None:
    data = clicks()
    x, y, p = draw(40_960, 0)
    assert np.array_equal(x[32_768:], data.x_test)
    assert np.array_equal(y[32_768:], data.y_test)
    assert roc_auc_score(y[32_768:], p[32_768:]) == pytest.approx(0.836, abs=5e-4)
    assert log_loss(y[32_768:], p[32_768:]) == pytest.approx(0.443, abs=5e-4)
    assert y.mean() == pytest.approx(0.30, abs=5e-3)


def test_labels_are_drawn_by_the_planted_probabilities() -> None:
    _, y, p = draw(100_000, 3)
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 1)):
        part = (p >= low) & (p < high)
        spread = np.sqrt((p[part] * (1 - p[part])).sum())
        assert abs(y[part].sum() - p[part].sum()) < 4 * spread


def test_what_it_declares() -> None:
    data = clicks()
    assert (ENTRY.n, ENTRY.n_test, ENTRY.shape, ENTRY.classes) == (data.n, len(data.y_test), data.shape, data.classes)
    assert data.vocabulary == (0,) * COUNTS + TABLES
    assert data.x_train.min() >= 0


def test_categories_are_zipfs() -> None:
    u = (np.arange(100_000) + 0.5) / 100_000
    share = np.bincount(zipf(10, u), minlength=10) / len(u)
    wanted = 1 / np.arange(1, 11)
    np.testing.assert_allclose(share, wanted / wanted.sum(), atol=2e-5)
    assert zipf(10, np.array([0.0, np.nextafter(1, 0)])).tolist() == [0, 9]


@pytest.mark.parametrize("change", [{"samples": 0}, {"test_samples": -1}, {"data_seed": -1}], ids=str)
def test_out_of_range(change: dict[str, int]) -> None:
    (key,) = change
    with pytest.raises(ValueError, match=f"dataset.{key}={change[key]}: at least"):
        clicks(**change)
