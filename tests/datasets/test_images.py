"""The readers of images: digits as scikit-learn has them, and any NAME.npz."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits

from batchlab.datasets import Batches, Dataset, Preprocessing
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
        "y_test": np.array([2, 0], np.uint8),
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
    assert (dataset.name, dataset.shape, dataset.classes) == ("mine", (3, 5, 4), 3)
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


BYTES = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
SHARES = BYTES / 255.0
ROWS = {"x_train": RNG.random((6, 2)), "x_test": RNG.random((2, 2))}


@pytest.mark.parametrize("train", [BYTES, SHARES, SHARES.astype(np.float32)], ids=lambda x: str(x.dtype))
@pytest.mark.parametrize("test", [BYTES, SHARES, SHARES.astype(np.float32)], ids=lambda x: str(x.dtype))
def test_both_splits_reach_the_model_on_one_scale_or_are_refused(tmp_path, train, test):
    save(tmp_path, x_train=train, x_test=test[:2])
    if train.dtype.kind != test.dtype.kind:
        with pytest.raises(ValueError, match=r"uint8 \(.*: one value of white cannot be right for both"):
            npz("mine", root=tmp_path)
        return
    dataset = npz("mine", root=tmp_path)
    means = [float((x / dataset.preprocessing.white).mean()) for x in (dataset.x_train, dataset.x_test)]
    assert means[1] == pytest.approx(means[0], abs=0.1)


def test_a_users_own_reader_is_held_to_it_too():
    with pytest.raises(ValueError, match="one value of white"):
        Dataset("set", BYTES, np.arange(6) % 2, SHARES, np.arange(6) % 2, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_train": 255 * SHARES, "x_test": SHARES[:2]}, r"x_train holds float64 \(.*\), x_test float64"),
        ({"x_train": BYTES, "x_test": BYTES[:2] // 128}, r"x_test uint8 \(0 to 1\): are both on one scale\?"),
        ({"x_train": 255 * SHARES, "x_test": 255 * SHARES[:2], "white": None}, r"set dataset.white=255"),
        ({**ROWS, "y_train": np.arange(6.0) % 3, "y_test": np.arange(2.0)}, "y_train holds whole numbers as float64"),
        ({**ROWS, "y_train": np.arange(6) % 3 + 1, "y_test": np.arange(2) + 1}, "no sample has label 0"),
    ],
    ids=lambda value: "",
)
def test_npz_that_looks_like_a_slip_is_warned_of(tmp_path, change, said):
    white = change.pop("white", 1.0)
    save(tmp_path, **change)
    with pytest.warns(UserWarning, match=said) as caught:
        npz("mine", root=tmp_path, white=white)
    assert len(caught) == 1


@pytest.mark.parametrize("kind", [">f8", "<f4", ">f4", "f2", "longdouble", "u2", ">i4", "i8", "u8", "i1"])
def test_features_of_any_numbers_reach_torch(tmp_path, kind):
    rows = np.arange(12).reshape(6, 2).astype(kind)
    labels = (np.arange(6) % 2).astype(kind if np.dtype(kind).kind in "iu" else ">i8")
    save(tmp_path, x_train=rows, x_test=rows[:2], y_train=labels, y_test=labels[:2])
    batch = Batches(npz("mine", root=tmp_path), seed=0, device="cpu").take(6)
    (pair,) = batch.micro
    assert sorted(pair[0].flatten().tolist()) == list(range(12))
    assert sorted(pair[1].tolist()) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("kind", [">f8", "f4", "f2", "longdouble"])
def test_targets_of_any_numbers_reach_torch(tmp_path, kind):
    y = (np.arange(6) + 0.5).astype(kind)
    save(tmp_path, **ROWS, y_train=y, y_test=y[:2])
    (pair,) = Batches(npz("mine", root=tmp_path), seed=0, device="cpu").take(6).micro
    assert sorted(pair[1].tolist()) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_an_empty_test_split_has_no_type_of_its_own_and_is_said(tmp_path):
    save(tmp_path, x_test=np.empty((0, 5, 4, 3)), y_test=np.empty(0))
    with pytest.warns(UserWarning, match="mine: x_test has no samples: nothing is measured on a test split"):
        assert len(npz("mine", root=tmp_path).y_test) == 0


@pytest.mark.parametrize(
    ("labels", "said"),
    [([0, 2], "label 2, 50 % of"), ([3, 2], "label 2 and 1 more, 100 % of"), ([0, 1], None)],
)
def test_classes_that_only_the_test_split_has_are_said(tmp_path, labels, said):
    save(tmp_path, y_train=np.array([0, 1] * 3), y_test=np.array(labels))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert npz("mine", root=tmp_path).classes == 1 + max(1, *labels)
    assert [f"mine: y_test has {said}" in str(w.message) for w in caught] == ([True] if said else [])


def test_a_path_in_the_home_folder(tmp_path, monkeypatch):
    save(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert npz("~/mine", root="/elsewhere").n == 6
    with pytest.raises(ValueError, match=r"no file .*none\.npz; put it there, or set dataset\.file"):
        npz("~/none", root="/elsewhere")


def test_objects_are_no_arrays_of_numbers(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=np.array([1, "a"], object), y_train=[0], x_test=[0], y_test=[0])
    with pytest.raises(ValueError, match=r"mine\.npz .*holds objects.*save it again with np\.savez, as arrays of numb"):
        npz("mine", root=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.array([-1, 0, 1, 0, 0, 0])}, "labels -1 to 1"),
        ({"y_train": np.zeros((6, 1), np.int64)}, r"y_train has shape \(6, 1\)"),
        ({"y_train": np.zeros(5, np.int64)}, r"y_train has shape \(5,\); expected \(6,\)"),
        ({"y_test": np.zeros(2)}, "y_test has type float64: labels are whole numbers in both"),
        ({"y_train": np.linspace(0, 1, 6)}, "y_train has type float64, y_test has type uint8"),
        (
            {"y_train": np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2]]},
            r"y_train has shape \(6, 3\); .*; of one-hot labels take argmax\(1\)",
        ),
        (
            {"y_train": np.array([True, False] * 3)},
            "y_train has type bool; targets are floating-point numbers, and lab",
        ),
        ({"y_test": np.array(["0", "1"])}, "y_test has type <U1: number the classes 0, 1, ..."),
        ({"y_train": np.full(6, 2**63, np.uint64)}, "y_train goes up to 9223372036854775808: number the classes"),
        ({"y_train": np.arange(6) * 10**9}, "labels go up to 5000000000 over 8 samples: number the classes"),
        ({"x_train": np.zeros((6, 5, 4, 3), bool)}, "type bool; images are uint8"),
        ({"x_train": np.zeros((6, 5, 4, 3), np.int16)}, "type int16; images are uint8"),
        ({"x_train": np.zeros((6, 5, 4, 3), np.float16)}, "type float16; images are uint8"),
        ({"x_test": np.zeros((2, 5, 4, 1), np.uint8)}, "they must agree"),
        ({"x_train": np.full((6, 5, 4, 3), np.nan)}, "NaN or infinite values"),
        ({"x_test": np.full((2, 5, 4, 3), np.inf), "x_train": SHARES}, "x_test has NaN or infinite values"),
        (
            {"x_train": np.full((6, 2), 200, np.uint8), "x_test": np.full((2, 2), 0.5)},
            r"x_train holds uint8 \(200 to 200\), x_test float64 \(0.5 to 0.5\): they would not be on one scale; store",
        ),
        (
            {"x_train": np.full((6, 2), 0.5), "x_test": np.full((2, 2), 1)},
            r"x_test int64 \(1 to 1\): they would not be",
        ),
        ({"x_train": np.zeros((6, 2), complex)}, "x_train has type complex128"),
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
