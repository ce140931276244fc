"""Features on the scale of the training split alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.preprocessing import StandardScaler

from batchlab.datasets import Dataset, Preprocessing, evaluation_batches, standardized, with_validation
from batchlab.datasets.sets.libsvm import libsvm
from batchlab.datasets.sets.npz import npz

WANTED = Preprocessing(standardize=True)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(3, 5, (40, 4)) * [1, 10, 100, 1e4], np.arange(40) % 2
X_TEST = RNG.normal(0, 9, (7, 4))


def data_set(x=X, x_test=X_TEST, y=Y):
    return Dataset("set", x, y, x_test, y[: x_test.shape[0]], 2, WANTED)


def test_features_are_as_scikit_learn_scales_them():
    scaler = StandardScaler().fit(X)
    found = standardized(data_set())
    np.testing.assert_allclose(found.x_train, scaler.transform(X), rtol=1e-12)
    np.testing.assert_allclose(found.x_test, scaler.transform(X_TEST), rtol=1e-12)
    assert not found.preprocessing.standardize
    assert standardized(found) is found


def test_the_validation_split_has_no_say():
    parted = with_validation(data_set(), 0.25)
    found, scaler = standardized(parted), StandardScaler().fit(parted.x_train)
    np.testing.assert_allclose(found.x_train.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(found.x_validation, scaler.transform(parted.x_validation), rtol=1e-12)
    far = parted.x_validation + 1e6
    moved = standardized(Dataset("set", *parted.split("train"), *parted.split("test"), 2, WANTED, far, Y[: len(far)]))
    np.testing.assert_array_equal(moved.x_train, found.x_train)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 7])
def test_a_constant_feature_is_zero(value):
    x = np.column_stack([np.full(40, value), X[:, 0]])
    found = standardized(data_set(x, np.array([[value, 1.0], [value + 1, 1.0]])))
    assert (found.x_train[:, 0] == 0).all()
    assert found.x_test[:, 0].tolist() == [0, 1]


def test_whole_numbers_become_floating_point_numbers():
    found = standardized(data_set(np.arange(80).reshape(40, 2), np.array([[39, 40]])))
    assert (found.x_train.dtype, found.x_test.tolist()) == (np.float64, [[0, 0]])


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_sparse_features_are_divided_and_stay_sparse(seed, density):
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 3, (40, 5)) * (rng.random((40, 5)) < density)
    x[:, 4] = 2.5
    found = standardized(data_set(csr_array(x), csr_array(x[:6])))
    expected = StandardScaler(with_mean=False).fit_transform(x)
    np.testing.assert_allclose(found.x_train.toarray(), expected, rtol=1e-9)
    np.testing.assert_allclose(found.x_test.toarray(), expected[:6], rtol=1e-9)
    assert found.x_train.nnz == np.count_nonzero(x)


def test_images_are_standardized_one_by_one_as_they_were():
    images = Dataset("set", np.zeros((2, 3, 3, 1), np.uint8), Y[:2], np.zeros((1, 3, 3, 1), np.uint8), Y[:1], 2, WANTED)
    assert standardized(images) is images


def test_nothing_is_trained_on_features_that_only_ask_for_it():
    with pytest.raises(ValueError, match=r"pass standardized\(dataset\)"):
        next(evaluation_batches(data_set(), "train", device="cpu", batch=2))


def test_readers_pass_it_on(tmp_path):
    np.savez(tmp_path / "own.npz", x_train=X, y_train=Y, x_test=X_TEST, y_test=Y[:7])
    (tmp_path / "own.svm").write_text("".join(f"{i % 2} 1:{i + 1}\n" for i in range(40)))
    assert npz("own", tmp_path, standardize=True).preprocessing.standardize
    found = standardized(libsvm("own.svm", root=tmp_path, unit_rows=False, standardize=True))
    np.testing.assert_allclose(found.x_train.toarray()[:, 0], np.arange(1, 41) / np.std(np.arange(1, 41)), rtol=1e-12)
    assert not libsvm("own.svm", root=tmp_path).preprocessing.standardize
