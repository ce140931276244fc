"""The reader of what Hugging Face's `datasets` saved to disk. It asks no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.files import first_line, own_path
from batchlab.datasets.names import text
from batchlab.datasets.pictures import CHANNELS, check_size, described, pixels, stacked
from batchlab.datasets.sets.frame import frame
from batchlab.datasets.sets.npz import Keys, assembled
from batchlab.datasets.shares import apart
from batchlab.datasets.targets import Target

FOLDER = True
"""`path` is a folder, whose files are all part of a run."""
TARGETS = ("label", "labels", "target")
"""What the target is called where nobody says it."""


def huggingface(
    path: str,
    target: str | None = None,
    inputs: str | Sequence[str] | None = None,
    test: float = 0.2,
    test_seed: int = 0,
    root: str | Path | None = None,
    task: str = "auto",
    size: Sequence[int] | None = None,
    grayscale: bool | None = None,
    white: float | None = None,
    vocabulary: int | Sequence[int] | None = None,
    **keys: Unpack[Keys],
) -> Dataset:
    """What `save_to_disk` wrote of a `datasets.Dataset`, or of a `DatasetDict` with `train` and perhaps `test`.

    The inputs are one column of images; one of arrays or lists of numbers, all of one shape; or any columns of numbers
    and texts, which are taken as `frame` takes them.

    Args:
        path: the folder, relative to the data root or absolute.
        target: the column to predict; `None` is label, labels or target, whichever there is.
        inputs: the column, or the columns, to predict it from; `None` is all others.
        test: the share of the samples for testing, of each class alike, where there is no split `test`.
        test_seed: chooses other samples.
        root: the data root; `None` for the usual one.
        task: as in `frame`, of a target that is no ClassLabel.
        size: of images, as in `image_folder`.
        grayscale: of images, as in `image_folder`.
        white: of arrays, as in `npz`.
        vocabulary: of arrays that are ids (tokens, categories), as in `npz`.
        **keys: preprocessing; `standardize` of features too.

    Raises:
        ValueError: `datasets` is not installed, the folder is missing or holds something else, or its columns do not
            fit.
    """
    library = _library()
    folder = own_path(path, root, "path", folder=True)
    wanted, name = check_size(size), folder.name
    splits, note = _splits(folder, library)
    train = splits[0]
    target = (
        text("target", target) if target is not None else next((key for key in TARGETS if key in train.features), None)
    )
    columns = _columns(name, train, target, inputs)
    assert target is not None
    labelled = isinstance(train.features[target], library.ClassLabel)
    kinds = {_kind(library, train.features[column]) for column in columns}
    if kinds == {"scalar"}:
        tables = [_table(library, split, columns, target) for split in splits]
        given = tables[0] if len(tables) == 1 else (tables[0], tables[1])
        task = "classification" if labelled else task
        dataset = frame(given, target, test, test_seed, task, standardize=bool(keys.get("standardize")), name=name)
        asked = replace(dataset.preprocessing, **keys)  # what is for images is refused of a table
        return replace(dataset, preprocessing=asked, notes=(*dataset.notes, *note))
    if len(columns) > 1:
        raise ValueError(
            f"{name} has columns {', '.join(columns)}, of images or arrays: one is taken, dataset.inputs={columns[0]}"
        )
    if kinds == {"image"}:
        images = [pair for split in splits for pair in _images(split, columns[0], wanted, grayscale)]
        parts = np.split(stacked([image for image, _ in images], [where for _, where in images]), [len(train)])
    else:
        parts = [_arrays(name, split, columns[0]) for split in splits]
    y = [np.asarray(split.with_format("pandas")[:][target].tolist()) for split in splits]
    if labelled:
        _refuse_unlabelled(name, target, y)
    elif y[0].ndim == 1:
        y, said = _decided(name, splits, target, task)
        note = [*note, f"{name}: {said}"]
    if len(splits) == 1:
        chosen = apart(y[0], test, test_seed)
        x_train, y_train, x_test, y_test = parts[0][~chosen], y[0][~chosen], parts[0][chosen], y[0][chosen]
    else:
        x_train, y_train, x_test, y_test = parts[0], y[0], parts[1], y[1]
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    dataset = assembled(name, arrays, white, vocabulary, **keys)
    if labelled:
        dataset = replace(dataset, classes=train.features[target].num_classes)
    if kinds == {"image"}:
        note = [described(name, x_train, x_test, f"{dataset.classes} classes" if dataset.classes else target), *note]
    return replace(dataset, notes=tuple(note))


def _library() -> Any:
    """Hugging Face's `datasets`.

    Raises:
        ValueError: it is not installed, or another module hides it.
    """
    try:
        library = import_module("datasets")
    except ImportError as error:
        raise ValueError(
            f"dataset=huggingface needs Hugging Face's datasets ({first_line(error)}): "
            "pip install 'batchlab[huggingface]'"
        ) from error
    if not hasattr(library, "load_from_disk"):
        where = getattr(library, "__file__", None) or next(iter(getattr(library, "__path__", [])), "")
        raise ValueError(f"{where} hides Hugging Face's datasets: rename it, or run batchlab in another folder")
    return library


def _splits(folder: Path, library: Any) -> tuple[list[Any], list[str]]:
    """The training split and, where there is one, the test split; and what is to be said of the others."""
    try:
        loaded = library.load_from_disk(str(folder))
    except Exception as error:  # whatever damaged files lead to
        raise ValueError(
            f"{folder} is nothing that save_to_disk of Hugging Face's datasets wrote, or damaged ({first_line(error)})"
        ) from error
    if not isinstance(loaded, Mapping):
        return [loaded], []
    if "train" not in loaded:
        raise ValueError(f"{folder} has no split train; it has {', '.join(loaded) or 'none'}")
    others = [name for name in loaded if name not in ("train", "test")]
    note = f"{folder.name}: not read: {', '.join(others)} (dataset.validation=0.1 takes a share of train)"
    return [loaded[name] for name in ("train", "test") if name in loaded], [note] * bool(others)


def _columns(name: str, train: Any, target: str | None, inputs: str | Sequence[str] | None) -> list[str]:
    """The columns to predict from."""
    there = list(train.features)
    if target not in there:
        what = "no column label, labels or target" if target is None else f"no column {target!r}"
        raise ValueError(f"{name} has {what} to predict: set dataset.target to one of {', '.join(there)}")
    if inputs is None:
        columns = [column for column in there if column != target]
    else:
        columns = [inputs] if isinstance(inputs, str) else list(inputs)
    for column in columns:
        if column not in there or column == target:
            why = "is the target" if column == target else f"is no column; there are {', '.join(there)}"
            raise ValueError(f"dataset.inputs: {column} {why}")
    if not columns:
        raise ValueError(f"{name} has no column beside {target}: there is nothing to predict it from")
    return columns


def _kind(library: Any, feature: Any) -> str:
    if isinstance(feature, library.Image):
        return "image"
    return "scalar" if isinstance(feature, (library.Value, library.ClassLabel)) else "array"


def _table(library: Any, split: Any, columns: Sequence[str], target: str) -> Any:
    """A DataFrame; labels of classes are texts, but for the target, which keeps its numbers."""
    table = split.select_columns([*columns, target]).to_pandas()
    for column in columns:
        feature = split.features[column]
        if isinstance(feature, library.ClassLabel):
            table[column] = [feature.names[i] if i >= 0 else None for i in table[column]]
    return table


def _images(
    split: Any, column: str, size: tuple[int, int] | None, grayscale: bool | None
) -> Iterator[tuple[NDArray[Any], str]]:
    """Images, and what they are called."""
    for i, sample in enumerate(split.select_columns([column])):
        name = f"{column} {i} of the split {split.split or 'train'}"
        if sample[column] is None:
            raise ValueError(f"{name} is missing")
        try:
            yield pixels(sample[column], name, size, grayscale), name
        except OSError as error:
            raise ValueError(f"{name} is no image that Pillow reads ({first_line(error)})") from error


def _arrays(name: str, split: Any, column: str) -> NDArray[Any]:
    """(N, ...) of the type that the column is stored in; images with their channels last."""
    feature = split.features[column]
    x = np.asarray(split.select_columns([column]).with_format("numpy")[:][column])
    if x.dtype.kind not in "fiu":
        raise ValueError(f"column {column} of {name} is no number, array or image, or its arrays are of several shapes")
    while hasattr(feature, "feature"):
        feature = feature.feature
    x = x.astype(np.dtype(feature.dtype), copy=False)
    first = x.ndim == 4 and x.shape[1] in CHANNELS and x.shape[3] not in CHANNELS
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if first else x


def _refuse_unlabelled(name: str, target: str, y: Sequence[NDArray[Any]]) -> None:
    for part in y:
        if part.dtype.kind != "i" or (part < 0).any():
            raise ValueError(f"{name}: {target} lacks a label in sample {int((~(part >= 0)).argmax())}: leave it out")


def _decided(name: str, splits: Sequence[Any], target: str, task: str) -> tuple[list[NDArray[Any]], str]:
    """Targets of a column that says not what it is, as a table's are, and what was decided."""
    columns = [split.select_columns([target]).to_pandas()[target] for split in splits]
    try:
        found = Target.of(target, columns[0], task)
        return [found.encoded(column) for column in columns], found.said
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
