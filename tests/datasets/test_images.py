"""The readers of images: digits as scikit-learn has them, and any NAME.npz."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from batchlab.datasets import Preprocessing
from batchlab.datasets.files import write_npz
from batchlab.datasets.sets.cifar10 import cifar10
from batchlab.datasets.sets.digits import digits
from batchlab.datasets.sets.npz import npz

RNG = np.random.default_rng(0)


def save(root, name="mine", **change):
    arrays = {
        "x_train": RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2], np.uint8),
        "x_test": np.zeros((2, 5, 4, 3), np.uint8),
        "y_test": np.array([3, 0], np.uint8),
    } | change
    write_npz(root / f"{name}.npz", arrays)
    return arrays


def test_digits_are_scikit_learns_split_by_class(tmp_path):
    bunch = load_digits()
    dataset = digits(root=tmp_path, mean=[0.5], std=[0.5])
    assert (dataset.n, len(dataset.y_test), dataset.shape, dataset.classes) == (1442, 355, (1, 8, 8), 10)
    assert dataset.preprocessing == Preprocessing(white=16.0, mean=(0.5,), std=(0.5,))
    images = bunch.images[..., None]
    for label in range(10):
        members = images[bunch.target == label]
        cut = len(members) - len(members) // 5
        np.testing.assert_array_equal(dataset.x_train[dataset.y_train == label], members[:cut])
        np.testing.assert_array_equal(dataset.x_test[dataset.y_test == label], members[cut:])
    before = (tmp_path / "digits.npz").read_bytes()
    again = digits(root=tmp_path)
    np.testing.assert_array_equal(again.x_train, dataset.x_train)
    assert (tmp_path / "digits.npz").read_bytes() == before


def test_digits_default_mean_and_std_are_the_training_splits(tmp_path):
    x = digits(root=tmp_path).x_train / 16
    assert round(x.mean(), 4) == 0.3053
    assert round(x.std(), 4) == 0.3755


@pytest.mark.parametrize("file", ["mine", "mine.npz"])
def test_npz(tmp_path, file):
    arrays = save(tmp_path)
    dataset = npz(file, root=tmp_path, pad=2, flip=True)
    assert (dataset.name, dataset.shape, dataset.classes) == ("mine", (3, 5, 4), 4)
    assert dataset.preprocessing == Preprocessing(white=255.0, pad=2, flip=True)
    assert dataset.y_train.dtype == np.int64
    np.testing.assert_array_equal(dataset.x_train, arrays["x_train"])
    assert npz(str(tmp_path / file), root="/elsewhere").n == 6


def test_npz_of_grey_images_floats_vectors_and_regression(tmp_path):
    grey = RNG.random((6, 5, 4))
    save(tmp_path, x_train=grey, x_test=grey[:2])
    dataset = npz("mine", root=tmp_path)
    assert dataset.shape == (1, 5, 4)
    assert dataset.preprocessing.white == 1.0
    save(tmp_path, x_train=grey[:, 0], x_test=grey[:2, 0], y_train=grey[:, 0, 0], y_test=grey[:2, 0, 0])
    dataset = npz("mine", root=tmp_path)
    assert (dataset.shape, dataset.classes) == ((4,), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.array([-1, 0, 1, 0, 0, 0])}, "labels -1 to 1"),
        ({"y_train": np.zeros((6, 1), np.int64)}, r"y_train has shape \(6, 1\)"),
        ({"y_train": np.zeros(5, np.int64)}, r"y_train has shape \(5,\); expected \(6,\)"),
        ({"y_test": np.zeros(2)}, "y_test has type float64"),
        ({"x_test": np.zeros((2, 4, 4, 3), np.uint8)}, "they must agree"),
        ({"x_train": np.zeros((0, 5, 4, 3), np.uint8), "y_train": np.zeros(0, np.int64)}, "no samples"),
        ({"x_train": np.array(["a"] * 6)}, "x_train has shape"),
        ({"x_train": np.full((6, 2, 2, 2), "a")}, "images are uint8"),
        ({"x_train": np.full((6, 2), "a"), "x_test": np.full((2, 2), "a")}, "x_train has type <U1"),
        ({"y_train": np.array(["cat"] * 6)}, "y_train has type <U3"),
    ],
    ids=str,
)
def test_npz_that_is_no_data_set(tmp_path, change, message):
    save(tmp_path, **change)
    with pytest.raises(ValueError, match=message):
        npz("mine", root=tmp_path)


def test_a_named_set_must_be_what_its_name_says(tmp_path):
    save(tmp_path, "cifar10")
    with pytest.raises(ValueError, match=r"but cifar10 is .*dataset=npz under another name"):
        cifar10(root=tmp_path)
    (tmp_path / "digits.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ValueError, match=r"digits\.npz is damaged .*run `batchlab data prepare digits`"):
        digits(root=tmp_path)
