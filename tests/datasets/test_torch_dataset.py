"""A torch Dataset of one's own, read into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from batchlab.datasets.sets.torch_dataset import torch_dataset

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 3, 6, 5), np.uint8)
LABELS = np.arange(20) % 4


class Own(Dataset[Any]):
    """Samples that a function makes."""

    def __init__(self, sample: Callable[[int], Any], n: int = 20) -> None:
        self.sample, self.n = sample, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return self.sample(i)


HWC = IMAGES.transpose(0, 2, 3, 1)
KINDS: dict[str, tuple[Callable[[int], Any], np.ndarray]] = {
    "bytes": (lambda i: (torch.from_numpy(IMAGES[i]), int(LABELS[i])), HWC),
    "floats": (lambda i: (torch.from_numpy(IMAGES[i]) / 255, torch.tensor(LABELS[i])), (HWC / 255).astype(np.float32)),
    "arrays": (lambda i: (HWC[i], LABELS[i]), HWC),
    "arrays, channels first": (lambda i: [IMAGES[i], LABELS[i]], HWC),
    "pictures": (lambda i: (Image.fromarray(HWC[i]), int(LABELS[i])), HWC),
    "gray pictures": (lambda i: (Image.fromarray(HWC[i, ..., 0]), int(LABELS[i])), HWC[..., :1]),
    "no channel": (lambda i: (torch.from_numpy(IMAGES[i, 0]), int(LABELS[i])), HWC[..., :1]),
    "features": (lambda i: (torch.from_numpy(IMAGES[i, 0, 0]).double(), int(LABELS[i])), IMAGES[:, 0, 0].astype(float)),
    "a list": (lambda i: ([float(v) for v in IMAGES[i, 0, 0]], int(LABELS[i])), IMAGES[:, 0, 0].astype(float)),
    "a number": (lambda i: (float(i), int(LABELS[i])), np.arange(20.0)[:, None]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_any_kind(kind: str) -> None:
    sample, expected = KINDS[kind]
    dataset = torch_dataset(Own(sample), Own(sample, 3))
    np.testing.assert_allclose(dataset.x_train, expected, rtol=1e-6)
    assert dataset.x_train.dtype == expected.dtype
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == (LABELS.tolist(), [0, 1, 2])
    assert (dataset.classes, dataset.preprocessing.white) == (4, 255 if kind in BYTES else 1)


BYTES = ("bytes", "arrays", "arrays, channels first", "pictures", "gray pictures", "no channel")


def test_a_share_is_for_testing_and_the_size_is_said() -> None:
    dataset = torch_dataset(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)))
    assert np.bincount(dataset.y_test).tolist() == [1] * 4
    (note,) = dataset.notes
    assert note == "TensorDataset: 16 samples for training, 4 for testing, 3 x 6 x 5, read into memory: 0.0 MB"


def test_values_are_a_regression() -> None:
    dataset = torch_dataset(Own(lambda i: (torch.ones(2) * i, torch.tensor([i / 2, 1.0]))), standardize=True)
    assert (dataset.classes, dataset.target_shape, dataset.n) == (None, (2,), 16)
    assert dataset.preprocessing.standardize


def test_ids() -> None:
    dataset = torch_dataset(Own(lambda i: (torch.arange(3) + i % 2, i % 2)), vocabulary=4)
    assert (dataset.vocabulary, dataset.x_train.dtype) == (4, np.int64)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


FAULTS: dict[str, tuple[Any, str]] = {
    "stream": (Stream(), "Stream has no length, .*takes a map-style Dataset"),
    "empty": (Own(lambda i: (1.0, 1), 0), "Own has no samples"),
    "random": (
        Own(lambda i: (torch.rand(3), 1)),
        "sample 0 of Own is another every time.*dataset.pad, flip and rotate",
    ),
    "alone": (Own(lambda i: torch.ones(3)), r"sample 0 is a Tensor where a pair \(x, y\) is needed"),
    "fails": (Own(lambda i: (1.0, [1, 0, 1, 0, 1, 0, 1][i])), "sample 7 of Own cannot be read: IndexError: list"),
    "three": (Own(lambda i: (1.0, 2, 3)), "sample 0 is a tuple of 3 where a pair"),
    "named": (Own(lambda i: {"x": 1.0, "y": 2}), "sample 0 is a dict of 2 where a pair"),
    "texts": (Own(lambda i: ("a", 1)), "x of sample 0 is a str, which is no number"),
    "labels": (Own(lambda i: (1.0, "cat")), "y of sample 0 is a str, which is no number"),
    "shapes": (Own(lambda i: (np.ones(3 + i // 7), 1)), r"x of sample 7 has shape \(4,\), that of sample 0 \(3,\)"),
    "types": (Own(lambda i: (1.0, 1 if i < 9 else 0.5)), "y of sample 9 is of type float64, that of sample 0 int64"),
    "many": (Own(lambda i: (torch.ones(2, 3, 4, 4), 1)), r"x of sample 0 has shape \(2, 3, 4, 4\); images are"),
    "channels": (Own(lambda i: (torch.ones(7, 8, 9), 1)), r"has shape \(7, 8, 9\); an image is a tensor \(C, H, W\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_samples_that_do_not_fit_are_refused(fault: str) -> None:
    data, message = FAULTS[fault]
    with pytest.raises(ValueError, match=f"^dataset.data: .*{message}") as caught:
        torch_dataset(data)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"^dataset.test_data: "):
        torch_dataset(Own(lambda i: (1.0, 1)), data)


def test_labels_below_zero_are_named() -> None:
    with pytest.raises(ValueError, match="y_train has labels -1 to 1; expected 0 to 1"):
        torch_dataset(Own(lambda i: (float(i), i % 2 * 2 - 1)))
