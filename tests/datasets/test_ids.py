"""Samples that are ids reach the model as they are; targets of any shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from batchlab.datasets import Batches, Dataset, evaluation_batches, with_validation
from batchlab.datasets.sets.npz import npz

X = np.arange(24).reshape(6, 4) % 7
Y = (X + 1) % 7


def make(x=X, y=Y, vocabulary=7, classes=7, **rest):
    return Dataset("set", x, y, x[:2], y[:2], classes, vocabulary=vocabulary, **rest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tokens_are_whole_numbers_in_any_precision(dtype):
    batches = Batches(make(), seed=0, device="cpu", dtype=dtype)
    x, y = batches.take(4).micro[0]
    assert (x.dtype, y.dtype, tuple(x.shape), tuple(y.shape)) == (torch.int64, torch.int64, (4, 4), (4, 4))
    assert torch.equal((x + 1) % 7, y), "a sample keeps its targets"
    x, y = next(evaluation_batches(make(), "train", device="cpu", batch=6, dtype=dtype))
    assert np.array_equal(x.numpy(), X)
    assert np.array_equal(y.numpy(), Y)


def test_numbers_that_are_no_ids_are_as_before():
    x, _ = next(evaluation_batches(make(vocabulary=None), "train", device="cpu", batch=6))
    assert x.dtype == torch.float32


def test_large_ids_are_exact_where_a_float_is_not():
    big = np.full((2, 1), 2**24 + 1)
    data = make(big, np.array([0, 1]), 2**24 + 2, 2)
    assert int(next(evaluation_batches(data, "train", device="cpu", batch=2))[0][0, 0]) == 2**24 + 1


def test_a_vocabulary_of_each_column():
    x = np.array([[10**6, 0, 2], [-3, 1, 0]])
    data = make(x, np.array([0, 1]), [0, 2, 3], 2)
    assert data.vocabulary == (0, 2, 3)
    assert (data.shape, data.outputs, data.target_shape) == ((3,), 2, ())


def test_what_is_known_of_targets():
    assert (make().outputs, make().target_shape, make().shape) == (7, (4,), (4,))
    images = Dataset("pixels", np.zeros((3, 4, 5, 1), np.uint8), np.zeros((3, 4, 5), np.int64), *EMPTY, 2)
    assert (images.target_shape, images.outputs) == ((4, 5), 2)


EMPTY = (np.zeros((0, 4, 5, 1), np.uint8), np.zeros((0, 4, 5), np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": 6}, "x_train has ids 0 to 6 in column 0; by dataset.vocabulary they are 0 to 5"),
        ({"x": X - 1}, "x_train has ids -1 to 5 in column 0"),
        ({"x": X.astype(np.float32)}, "x_train has type float32; ids .* are int64"),
        ({"x": X.astype(np.int32)}, "x_train has type int32; ids"),
        ({"x": np.zeros((6, 4, 4, 1), np.uint8)}, r"x_train has shape \(6, 4, 4, 1\); ids .* are a dense \(N, T\)"),
        ({"vocabulary": 0}, "dataset.vocabulary=0: at least 1 id"),
        ({"vocabulary": True}, "dataset.vocabulary=True: how many ids"),
        ({"vocabulary": "7"}, "dataset.vocabulary=7: how many ids"),
        ({"vocabulary": [7, 7]}, r"dataset.vocabulary has 2 numbers for samples of shape \(4,\)"),
        ({"vocabulary": [7, 7, -1, 7]}, "how many ids there are, a whole number"),
        ({"vocabulary": [7, 7, 3, 7]}, "in column 2; by dataset.vocabulary they are 0 to 2"),
        ({"classes": 6}, "labels 0 to 6; expected 0 to 5"),
        ({"y": Y[:, :1]}, r"y_train has shape \(6, 1\); .* of labels in a column take \[:, 0\]"),
        ({"y": np.eye(7, dtype=int)[:6], "vocabulary": None}, r"of one-hot labels take argmax\(1\)"),
    ],
    ids=str,
)
def test_refused_with_the_way_out(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


def test_a_validation_split_of_sequences():
    x = np.arange(40).reshape(20, 2) % 5
    split = with_validation(make(x, x, 5, 5), 0.25)
    assert (split.n, len(split.y_validation), split.vocabulary) == (15, 5, 5)
    assert np.array_equal(split.x_validation, split.y_validation)


def test_npz_of_ones_own(tmp_path):
    part = {"x_train": X.astype(np.int32), "y_train": Y.astype(np.uint8), "x_test": X[:2], "y_test": Y[:2]}
    np.savez(tmp_path / "mine.npz", **part)
    data = npz("mine", root=tmp_path, vocabulary=9)
    assert (data.vocabulary, data.classes, data.x_train.dtype, data.target_shape) == (9, 7, np.int64, (4,))
    assert npz("mine", root=tmp_path).vocabulary is None, "numbers, unless it is said"
    with pytest.raises(ValueError, match=r"mine: x_train has ids 0 to 6 in column 0"):
        npz("mine", root=tmp_path, vocabulary=5)
