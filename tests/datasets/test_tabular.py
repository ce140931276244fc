"""The readers of vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

from batchlab.datasets import parsed as parsed_module
from batchlab.datasets.sets.a9a import a9a
from batchlab.datasets.sets.breast_cancer import breast_cancer
from batchlab.datasets.sets.libsvm import libsvm
from batchlab.datasets.sets.linear_regression import linear_regression
from batchlab.datasets.sets.w8a import w8a

TEXT = "+1 1:0.5 3:-2  # a comment\n-1 2:1\n+1 \n"


def write(root, text=TEXT, name="set"):
    (root / name).write_text(text)
    return name


def test_libsvm(tmp_path):
    dataset = libsvm(write(tmp_path), root=tmp_path, unit_rows=False)
    np.testing.assert_array_equal(dataset.x_train.toarray(), [[0.5, 0, -2], [0, 1, 0], [0, 0, 0]])
    assert dataset.y_train.tolist() == [1, 0, 1]
    assert (dataset.name, dataset.classes, dataset.shape, len(dataset.y_test)) == ("set", 2, (3,), 0)
    assert dataset.x_train.dtype == np.float64


def test_libsvm_with_a_test_file_of_fewer_columns(tmp_path):
    dataset = libsvm(write(tmp_path), test=write(tmp_path, "-1 1:3\n", "set.t"), root=tmp_path, features=5)
    assert dataset.x_test.shape == (1, 5)
    assert dataset.x_train.shape == (3, 5)
    assert dataset.x_test.toarray().tolist() == [[1, 0, 0, 0, 0]]
    assert dataset.y_test.tolist() == [0]


@given(
    st.lists(
        st.tuples(
            st.integers(-2, 2),
            st.dictionaries(st.integers(1, 9), st.floats(-1e6, 1e6).filter(lambda v: abs(v) > 1e-6), max_size=5),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=50, deadline=None)
def test_libsvm_text_round_trip(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("data")
    lines = [" ".join([str(y), *(f"{k}:{v!r}" for k, v in sorted(row.items()))]) for y, row in rows]
    write(folder, "\n".join(lines) + "\n")
    expected = np.zeros((len(rows), 9))
    for i, (_, row) in enumerate(rows):
        for column, value in row.items():
            expected[i, column - 1] = value
    labels = np.unique([y for y, _ in rows])
    for _ in range(2):  # parsed, then from what was kept
        plain = libsvm("set", root=folder, features=9, unit_rows=False)
        np.testing.assert_array_equal(plain.x_train.toarray(), expected)
        assert labels[plain.y_train].tolist() == [y for y, _ in rows]
        norms = np.linalg.norm(expected, axis=1, keepdims=True)
        scaled = libsvm("set", root=folder, features=9).x_train.toarray()
        np.testing.assert_allclose(scaled, expected / np.where(norms == 0, 1, norms), rtol=1e-14)


def test_libsvm_notices_a_changed_file(tmp_path):
    assert libsvm(write(tmp_path), root=tmp_path).n == 3
    assert libsvm(write(tmp_path, TEXT + "-1 1:7\n"), root=tmp_path).n == 4


def test_libsvm_whose_parsed_copy_is_damaged(tmp_path):
    first = libsvm(write(tmp_path), root=tmp_path)
    [parsed] = (tmp_path / "parsed").iterdir()
    parsed.write_bytes(parsed.read_bytes()[:100])
    again = libsvm("set", root=tmp_path)
    np.testing.assert_array_equal(again.x_train.toarray(), first.x_train.toarray())


def test_libsvm_in_a_root_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path, arrays):
        raise ValueError("read-only")

    monkeypatch.setattr(parsed_module, "write_npz", refuse)
    assert libsvm(write(tmp_path), root=tmp_path).n == 3


def test_libsvm_regression(tmp_path):
    text = "0.5 1:1\n1.5 1:2\n"
    assert libsvm(write(tmp_path, text), root=tmp_path, regression=True).y_train.tolist() == [0.5, 1.5]
    with pytest.raises(ValueError, match=r"set dataset\.regression=true"):
        libsvm("set", root=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("+1 1:0.5 3:\n", "not LIBSVM text, or damaged"),
        ("+1 1:0.5\n-1 a:3\n", "not LIBSVM text, or damaged"),
        ("\x00\x01\x02", "not LIBSVM text, or damaged"),
        ("+1 3:1 2:1\n", "not LIBSVM text, or damaged"),
        ("", "no samples|not LIBSVM text"),
        ("+1 1:nan\n", "NaN or infinite values"),
        ("nan 1:1\n", "NaN"),
    ],
    ids=repr,
)
def test_damaged_libsvm(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        libsvm(write(tmp_path, text), root=tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_and_unfitting_libsvm(tmp_path):
    with pytest.raises(ValueError, match=r"no LIBSVM file .*none; put it there"):
        libsvm("none", root=tmp_path)
    write(tmp_path)
    with pytest.raises(ValueError, match="label 3 does not occur"):
        libsvm("set", test=write(tmp_path, "3 1:1\n", "set.t"), root=tmp_path)
    with pytest.raises(ValueError, match=r"n_features|not LIBSVM text"):
        libsvm("set", root=tmp_path, features=2)
    with pytest.raises(ValueError, match=r"holds 3 rows of 2 classes .* but a9a has 32561 of 2 and 16281"):
        a9a(write(tmp_path, name="part"), test=None, root=tmp_path)
    with pytest.raises(ValueError, match=r"but w8a has 49749"):
        w8a("part", root=tmp_path)


def test_breast_cancer(tmp_path):
    bunch = load_breast_cancer()
    raw = breast_cancer(root=tmp_path, standardize_features=False)
    assert (raw.n, len(raw.y_test), raw.shape, raw.classes) == (456, 113, (30,), 2)
    np.testing.assert_array_equal(np.sort(np.concatenate([raw.x_train, raw.x_test])[:, 0]), np.sort(bunch.data[:, 0]))
    assert np.bincount(raw.y_test).tolist() == [212 // 5, 357 // 5]
    scaled = breast_cancer(root=tmp_path)
    np.testing.assert_allclose(scaled.x_train.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.x_train.std(0), 1, rtol=1e-12)
    np.testing.assert_allclose(scaled.x_test, (raw.x_test - raw.x_train.mean(0)) / raw.x_train.std(0), rtol=1e-12)
    unit = breast_cancer(root=tmp_path, unit_rows=True)
    np.testing.assert_allclose(np.linalg.norm(unit.x_test, axis=1), 1, rtol=1e-12)


def test_linear_regression():
    dataset = linear_regression(samples=500, test_samples=7)
    assert (dataset.shape, dataset.classes, dataset.n, len(dataset.y_test)) == ((10,), None, 500, 7)
    weights = np.linalg.lstsq(dataset.x_train, dataset.y_train, rcond=None)[0]
    np.testing.assert_allclose(weights, np.arange(1, 11), rtol=1e-10)
    assert dataset.x_train.min() >= 0
    assert dataset.x_train.max() <= 1
    np.testing.assert_array_equal(linear_regression(samples=500, test_samples=7).x_test, dataset.x_test)
    assert (linear_regression(samples=500, data_seed=1).x_train != dataset.x_train).any()
    noisy = linear_regression(samples=20_000, noise=0.3)
    residual = noisy.y_train - noisy.x_train @ np.arange(1, 11)
    assert 0.29 < residual.std() < 0.31


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 0},
        {"test_samples": -1},
        {"features": 0},
        {"noise": -1.0},
        {"noise": float("nan")},
        {"noise": float("inf")},
        {"data_seed": -1},
    ],
    ids=str,
)
def test_bad_linear_regression(options):
    with pytest.raises(ValueError, match=rf"dataset\.{next(iter(options))}"):
        linear_regression(**options)
