"""The reader of LIBSVM text: a user's own file, or a set of the LIBSVM collection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset, Preprocessing
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import Arrays, data_root, first_line, libsvm_file
from batchlab.datasets.memory import check_fits
from batchlab.datasets.parsed import parsed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WIDE = 10**6
"""Features that files may have without a look at how many values they hold."""
SPARSEST = 100
"""Features for each value that is written somewhere: with more, most have none."""
VECTORS = 8
"""Dense vectors of the features that training needs at least: a model, its gradient, a few samples."""


def libsvm(
    path: str,
    test: str | None = None,
    root: str | Path | None = None,
    features: int | None = None,
    unit_rows: bool = True,
    regression: bool = False,
    standardize: bool = False,
) -> Dataset:
    """A LIBSVM / SVMlight text file as float64 CSR, (N, d).

    Args:
        path: file of the training split, relative to the current folder or the data root, or absolute.
        test: file of the test split; without it the test split is empty.
        root: the data root; `None` for the usual one.
        features: number of columns; `None` for the highest index in the files.
        unit_rows: scale each non-zero row to Euclidean norm 1.
        regression: targets are values; otherwise they are class labels, renumbered 0, 1, ... in
            ascending order (-1 becomes 0 and +1 becomes 1).
        standardize: divide each feature by its standard deviation on the training split, see `standardized`.

    Raises:
        ValueError: a file is missing or damaged, or its targets are not what was asked for.
    """
    folder = data_root(root)  # where what was parsed is kept
    files = [libsvm_file(file, root) for file in (path, test) if file is not None]
    parts = _parse(files, features, folder)
    width = parts[0][0].shape[1]
    _check_width(files, width, sum(x.nnz for x, _ in parts), features)
    if test is None:
        parts.append((parts[0][0][:0], parts[0][1][:0]))
    (x_train, y_train), (x_test, y_test) = parts
    if unit_rows:
        x_train, x_test = _unit_rows(x_train), _unit_rows(x_test)
    assert x_test.shape[1] == width
    for file, y in zip(files, (y_train, y_test), strict=False):
        if not np.isfinite(y).all():
            raise ValueError(f"{file}: NaN or infinite targets; clean the file first")
    wanted = Preprocessing(standardize=standardize)
    if regression:
        return Dataset(files[0].stem, x_train, y_train, x_test, y_test, None, wanted)
    labels = np.unique(y_train)
    if (labels != np.round(labels)).any():
        raise ValueError(f"{files[0]}: its targets are not whole numbers; set dataset.regression=true")
    unknown = np.setdiff1d(y_test, labels)
    if unknown.size:
        raise ValueError(f"{files[-1]}: label {unknown[0]:g} does not occur in {files[0]}; the files do not match")
    numbers = [np.searchsorted(labels, y).astype(np.int64) for y in (y_train, y_test)]
    return Dataset(files[0].stem, x_train, numbers[0], x_test, numbers[1], len(labels), wanted)


def read_collected(entry: Entry, path: str, test: str | None, root: str | Path | None, unit_rows: bool) -> Dataset:
    """A set of the LIBSVM collection, whose files must have the rows and columns that its entry says.

    Args:
        entry: what the set declares, and must turn out to be.
        path: file of the training split, relative to the data root or absolute.
        test: file of the test split; without it the test split is empty.
        root: the data root; `None` for the usual one.
        unit_rows: scale each non-zero row to Euclidean norm 1.

    Raises:
        ValueError: a file is missing, damaged, or holds something else.
    """
    dataset = replace(libsvm(path, test, data_root(root), entry.shape[0], unit_rows), name=entry.name)
    found, expected = (dataset.n, dataset.classes), (entry.n, entry.classes)
    if found != expected or (entry.n_test and test is not None and len(dataset.y_test) != entry.n_test):
        raise ValueError(
            f"{data_root(root) / path} holds {dataset.n} rows of {dataset.classes} classes and its test file "
            f"{len(dataset.y_test)} rows, but {entry.name} has {entry.n} of {entry.classes} and {entry.n_test}; "
            "fetch it again, or use it as dataset=libsvm"
        )
    return dataset


def _parse(files: list[Path], features: int | None, root: Path) -> list[tuple[csr_array[Any], NDArray[np.float64]]]:
    """(matrix, targets) of each file; kept under root/parsed, as scikit-learn's import costs a second."""
    from scipy.sparse import csr_array

    keys = tuple(f"{part}{i}" for i in range(len(files)) for part in ("data", "indices", "indptr", "y"))
    read = partial(_read_text, files, features)
    arrays = parsed(root, files[0].stem, files, features, (*keys, "width"), read)
    width = int(arrays["width"])
    return [
        (
            csr_array(
                (arrays[f"data{i}"], arrays[f"indices{i}"], arrays[f"indptr{i}"]),
                shape=(len(arrays[f"y{i}"]), width),
            ),
            arrays[f"y{i}"],
        )
        for i in range(len(files))
    ]


def _check_width(files: list[Path], width: int, values: int, features: int | None) -> None:
    """ValueError for an index that no feature can have: one mistyped makes every vector as long.

    Args:
        files: that were read.
        width: features.
        values: that are written in the files.
        features: how many were asked for, if they were.
    """
    names = " and ".join(map(str, files))
    if features is None and width > WIDE and width > SPARSEST * values:
        raise ValueError(
            f"{names}: its highest index is {width:,} and it has {values:,} values in all: mend it, or set "
            f"dataset.features={width} where there are so many"
        )
    check_fits(f"{names}: a few vectors of {width:,} features take", VECTORS * 8 * width, "is an index mistyped?")


def _read_text(files: list[Path], features: int | None) -> Arrays:
    for file in files:
        check_fits(f"{file} takes", file.stat().st_size, "train on a part of it")
    from sklearn.datasets import load_svmlight_files

    try:
        flat = load_svmlight_files([str(file) for file in files], n_features=features)
    except (ValueError, OverflowError) as error:
        names = " and ".join(map(str, files))
        raise ValueError(f"{names}: not LIBSVM text, or damaged ({first_line(error)})") from error
    arrays: Arrays = {"width": np.array(flat[0].shape[1])}
    for i, (x, y) in enumerate(zip(flat[::2], flat[1::2], strict=True)):
        x.sort_indices()
        arrays.update({f"data{i}": x.data, f"indices{i}": x.indices, f"indptr{i}": x.indptr, f"y{i}": y})
    return arrays


def _unit_rows(x: csr_array[Any]) -> csr_array[Any]:
    """Rows scaled to norm 1; zero rows stay zero."""
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    norms = np.sqrt(np.bincount(rows, x.data**2, x.shape[0]))
    scaled = x.copy()
    scaled.data = x.data / norms[rows] if len(rows) else x.data
    return scaled
