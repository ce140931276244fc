"""What Hugging Face's `datasets` saved to disk, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from batchlab.datasets import Dataset
from batchlab.datasets.sets.frame import frame
from batchlab.datasets.sets.huggingface import huggingface

pytestmark = pytest.mark.filterwarnings("ignore:.*x_test has no samples")
N = 20
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (N, 6, 5, 3), np.uint8)
LABELS = np.arange(N) % 4


def hides(place: str) -> bool:
    return (Path(place or ".") / "datasets").is_dir() and "site-packages" not in place


@pytest.fixture(scope="module", autouse=True)
def hf() -> Iterator[Any]:
    """The library; batchlab's own folder hides it from whoever starts Python in the repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [place for place in sys.path if not hides(place)])
        patch.setenv("HF_HUB_OFFLINE", "1")
        if not hasattr(sys.modules.get("datasets", object), "load_from_disk"):
            sys.modules.pop("datasets", None)
        yield pytest.importorskip("datasets")


def saved(folder: Path, columns: dict[str, Any], hf: Any, features: dict[str, Any] | None = None, **tests: Any) -> Path:
    kinds = None if features is None else hf.Features(features)
    made = hf.Dataset.from_dict(columns, features=kinds)
    if tests:
        made = hf.DatasetDict(
            {"train": made} | {name: hf.Dataset.from_dict(part, features=kinds) for name, part in tests.items()}
        )
    hf.disable_progress_bars()
    made.save_to_disk(str(folder / "saved"))
    return folder / "saved"


def read(path: Path, **options: Any) -> Dataset:
    return huggingface(str(path), **options)


def test_images(tmp_path: Path, hf: Any) -> None:
    kinds = {"image": hf.Image(), "label": hf.ClassLabel(names=["a", "b", "c", "d", "never"])}
    images = [Image.fromarray(image) for image in PIXELS]
    path = saved(tmp_path, {"image": images, "label": LABELS}, hf, kinds)
    dataset = read(path, test=0, pad=1)
    np.testing.assert_array_equal(dataset.x_train, PIXELS)
    assert (dataset.y_train.tolist(), dataset.classes) == (LABELS.tolist(), 5)
    assert (dataset.preprocessing.white, dataset.preprocessing.pad) == (255, 1)
    assert dataset.notes == ("saved: 20 images for training, 0 for testing, 3 x 6 x 5, 5 classes; 0.0 MB in memory",)
    assert np.bincount(read(path).y_test).tolist() == [1] * 4
    assert read(path, size=[3, 2], grayscale=True).shape == (1, 3, 2)


def test_splits(tmp_path: Path, hf: Any) -> None:
    part = {"x": [[1.0, 2.0]], "label": [1]}
    path = saved(tmp_path, {"x": [[float(i), 0.5] for i in range(N)], "label": LABELS % 2}, hf, test=part, val=part)
    dataset = read(path)
    assert (dataset.n, dataset.x_test.tolist(), dataset.y_test.tolist()) == (N, [[1, 2]], [1])
    assert dataset.notes[0] == "saved: not read: val (dataset.validation=0.1 takes a share of train)"


@pytest.mark.parametrize("first", [True, False])
def test_arrays_keep_their_type_and_have_their_channels_last(first: bool, tmp_path: Path, hf: Any) -> None:
    images = PIXELS.transpose(0, 3, 1, 2) if first else PIXELS
    kinds = {"pixels": hf.Array3D(images.shape[1:], "uint8"), "y": hf.Value("float32")}
    path = saved(tmp_path, {"pixels": list(images), "y": LABELS + 0.5}, hf, kinds)
    dataset = read(path, target="y", test=0)
    np.testing.assert_array_equal(dataset.x_train, PIXELS)
    assert (dataset.x_train.dtype, dataset.classes) == (np.uint8, None)
    assert dataset.y_train.tolist() == (LABELS + 0.5).tolist()


def test_ids_and_labels_that_are_texts(tmp_path: Path, hf: Any) -> None:
    words = np.array(["dog", "cat"])[LABELS % 2]
    path = saved(tmp_path, {"input_ids": [[i % 3, 2, 0] for i in range(N)], "labels": list(words), "n": LABELS}, hf)
    dataset = read(path, inputs="input_ids", vocabulary=3, test=0)
    assert (dataset.vocabulary, dataset.shape, dataset.classes) == (3, (3,), 2)
    assert dataset.y_train.tolist() == (words == "dog").astype(int).tolist()
    assert dataset.notes == ("saved: labels holds 2 classes: cat, dog",)


def test_numbers_and_texts_are_a_table(tmp_path: Path, hf: Any) -> None:
    table = pd.DataFrame({"a": RNG.random(N), "b": LABELS, "c": np.array(["x", "y"])[LABELS // 2], "label": LABELS % 2})
    kinds = {"a": hf.Value("float64"), "b": hf.ClassLabel(names=["p", "q", "r", "s"]), "c": hf.Value("string")}
    path = saved(tmp_path, dict(table.items()), hf, kinds | {"label": hf.ClassLabel(names=["z", "a"])})
    dataset = read(path, standardize=True)
    expected = frame(table.assign(b=np.array(["p", "q", "r", "s"])[LABELS]), "label")
    np.testing.assert_array_equal(dataset.x_train, expected.x_train)
    np.testing.assert_array_equal(dataset.y_test, expected.y_test)
    assert dataset.preprocessing.standardize
    assert read(path, inputs=["a", "b"], test=0).shape == (5,)
    with pytest.raises(ValueError, match="saved: its samples are vectors"):
        read(path, pad=2)


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no target": ({"x": [1.0, 2.0]}, {}, "saved has no column label, labels or target to predict: set dataset.target"),
    "another target": ({"x": [1.0, 2.0]}, {"target": "y"}, "saved has no column 'y' to predict"),
    "nothing else": ({"label": [0, 1]}, {}, "saved has no column beside label"),
    "inputs": ({"x": [1.0, 2.0], "label": [0, 1]}, {"inputs": ["z"]}, "dataset.inputs: z is no column; there are x"),
    "itself": ({"x": [1.0, 2.0], "label": [0, 1]}, {"inputs": "label"}, "dataset.inputs: label is the target"),
    "several": ({"x": [[1.0]], "z": [[2.0]], "label": [0]}, {}, "has columns x, z, of images or arrays: one is taken"),
    "shapes": ({"x": [[1.0], [2.0, 3.0]], "label": [0, 1]}, {}, "column x of saved is no number, array or image, or"),
    "texts": ({"x": [["a"], ["b"]], "label": [0, 1]}, {}, "column x of saved is no number, array or image, or"),
    "missing": (
        {"x": [1.0, None, 2.0, 3.0], "label": [0, 1, 0, 1]},
        {"test": 0},
        "saved: column x has no value in row 1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_columns_that_do_not_fit_are_refused(fault: str, tmp_path: Path, hf: Any) -> None:
    columns, options, message = FAULTS[fault]
    path = saved(tmp_path, columns, hf)
    with pytest.raises(ValueError, match=message) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)


def test_samples_without_a_label_are_refused(tmp_path: Path, hf: Any) -> None:
    kinds = {"x": hf.Sequence(hf.Value("float32")), "label": hf.ClassLabel(names=["a", "b"])}
    path = saved(tmp_path, {"x": [[1.0], [2.0]], "label": [1, -1]}, hf, kinds)
    with pytest.raises(ValueError, match="label lacks a label in sample 1"):
        read(path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no folder .*nothing; put it there"):
        read(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is nothing that save_to_disk of Hugging Face's datasets wrote, or damaged"):
        read(tmp_path)


def test_without_the_library_its_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"needs Hugging Face's datasets .*: pip install 'batchlab\[huggingface\]'$"):
        read(tmp_path)
    (tmp_path / "datasets").mkdir()
    monkeypatch.delitem(sys.modules, "datasets")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ValueError, match=r"/datasets hides Hugging Face's datasets: rename it"):
        read(tmp_path)
    assert import_module("datasets")
