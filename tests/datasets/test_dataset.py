"""What a Dataset accepts, and what it refuses with which error."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from batchlab.datasets import Dataset, Preprocessing, with_validation

IMAGES = np.zeros((4, 5, 6, 3), np.uint8)
LABELS = np.arange(4) % 2


def make(x=IMAGES, y=LABELS, x_test=None, y_test=None, classes=2, **preprocessing):
    x_test, y_test = (x if x_test is None else x_test), (y if y_test is None else y_test)
    return Dataset("set", x, y, x_test, y_test, classes, Preprocessing(**preprocessing))


def test_shapes():
    assert make().shape == (3, 5, 6)
    assert make().n == 4
    assert make(x=np.zeros((4, 7))).shape == (7,)
    assert make(x=csr_array((4, 7))).shape == (7,)
    assert make(x=np.zeros((4, 7)), y=np.ones(4), classes=None).classes is None


def test_outputs_of_a_model():
    assert make(classes=2).outputs == 2
    assert make(x=np.zeros((4, 7)), y=np.ones(4), classes=None).outputs == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((4, 5, 6), np.uint8)}, r"x_train has shape \(4, 5, 6\); images are"),
        ({"x": np.zeros((4, 3, 8, 8), np.uint8)}, r"looks like \(N, C, H, W\)"),
        ({"x": IMAGES.astype(np.int32)}, "type int32; images are uint8"),
        ({"y": LABELS[:3]}, r"y_train has shape \(3,\); expected \(4,\)"),
        ({"y": LABELS.astype(np.float64)}, "type float64; labels are int64"),
        ({"classes": 1}, "labels 0 to 1; expected 0 to 0"),
        ({"y": LABELS - 1}, "labels -1 to 0; expected 0 to 1"),
        ({"y": np.array([0.0, np.nan, 0, 0]), "classes": None}, "NaN or infinite targets"),
        ({"x": np.array([[1.0], [np.inf], [0], [0]])}, "NaN or infinite values"),
        ({"x": csr_array([[1.0], [np.nan], [0], [0]])}, "NaN or infinite values"),
        ({"x_test": np.zeros((4, 5, 5, 3), np.uint8)}, "they must agree"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "no samples"),
        ({"mean": [0.5, 0.5], "std": [0.5]}, r"dataset.mean has 2 values for 3 channel"),
        ({"x": np.zeros((4, 7)), "pad": 4}, "its samples are vectors"),
        ({"x": np.zeros((4, 7)), "mean": [0.1], "std": [1]}, "its samples are vectors"),
        ({"mean": [0.5]}, "dataset.mean and dataset.std go together"),
        ({"mean": [0.5], "std": [0.0]}, "dataset.std=.*positive"),
        ({"mean": [float("nan")], "std": [1.0]}, "dataset.mean=.*finite"),
        ({"mean": 0.5, "std": 0.5}, "dataset.mean=0.5: a list"),
        ({"pad": -1}, "dataset.pad=-1"),
        ({"pad": 1e9}, "dataset.pad=1000000000 is more than images of"),
        ({"pad": 1.5}, "dataset.pad=1.5"),
        ({"rotate": 200.0}, "dataset.rotate=200.0"),
        ({"white": 0.0}, "dataset.white=0.0"),
        ({"white": float("inf")}, "dataset.white=inf"),
        ({"white": float("nan")}, "dataset.white=nan"),
        ({"pad": float("inf")}, "dataset.pad=inf"),
        ({"rotate": float("nan")}, "dataset.rotate=nan"),
        ({"x": np.zeros((4, 7), ">f8")}, "x_train has type >f8, which torch does not take"),
    ],
    ids=str,
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(**change)
    assert "\n" not in str(caught.value)


def test_targets_of_regression_have_any_shape() -> None:
    x, y = np.zeros((6, 3)), np.zeros((6, 2, 4))
    data = Dataset("many", x, y, x[:2], y[:2], None)
    assert (data.target_shape, data.outputs) == ((2, 4), 8)
    assert with_validation(data, 0.5, 0).target_shape == (2, 4)
    one = Dataset("one", x, y[:, 0, 0], x[:0], np.zeros(0), None)
    assert (one.target_shape, one.outputs) == ((), 1)
    Dataset("untested", x, y, x[:0], np.zeros(0), None)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (np.zeros((6, 2)), np.zeros((2, 3)), r"y_train holds targets of shape \(2,\), y_test of shape \(3,\)"),
        (np.zeros((6, 2)), np.zeros(2), r"y_train holds targets of shape \(2,\), y_test of shape \(\)"),
        (np.zeros((5, 2)), np.zeros((2, 2)), r"y_train has shape \(5, 2\); expected \(6,\)"),
        (np.zeros((6, 0)), np.zeros((2, 0)), r"y_train has shape \(6, 0\)"),
        (np.zeros((6, 2), np.int64), np.zeros((2, 2), np.int64), "targets are floating-point numbers"),
    ],
)
def test_targets_of_different_shapes_are_refused(train: Any, test: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset("many", np.zeros((6, 3)), train, np.zeros((2, 3)), test, None)


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_values_beyond_float32_are_refused(value):
    x = np.array([[0.0], [value]])
    with pytest.raises(ValueError, match=r"x_train has values beyond 3.4e\+38, which are infinite in float32"):
        Dataset("mine", x, np.array([0, 1]), x[:1], np.array([0]), 2)
    with pytest.raises(ValueError, match=r"y_train has values beyond"):
        Dataset("mine", x * 0, x[:, 0], x[:1], np.array([0.0]), None)
