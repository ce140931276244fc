"""Readers of vectors: LIBSVM files, scikit-learn's breast cancer set, a synthetic regression."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.catalogue import ENTRIES, prepare
from batchlab.datasets.dataset import Dataset
from batchlab.datasets.files import data_root, first_line, read_npz, write_npz

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def libsvm(
    path: str,
    test: str | None = None,
    root: str | Path | None = None,
    features: int | None = None,
    unit_rows: bool = True,
    regression: bool = False,
) -> Dataset:
    """A LIBSVM / SVMlight text file as float64 CSR.

    Args:
        path, test: files, relative to the data root or absolute; without `test` the test split is empty.
        features: number of columns; `None` for the highest index in the files.
        unit_rows: scale each non-zero row to Euclidean norm 1.
        regression: targets are values; otherwise they are class labels, renumbered 0, 1, ... in
            ascending order (-1 becomes 0 and +1 becomes 1).
    """
    folder = data_root(root)
    files = [find(file, folder) for file in (path, test) if file is not None]
    parts = _parse(files, features, folder)
    width = parts[0][0].shape[1]
    if test is None:
        parts.append((parts[0][0][:0], parts[0][1][:0]))
    (x_train, y_train), (x_test, y_test) = parts
    if unit_rows:
        x_train, x_test = _unit_rows(x_train), _unit_rows(x_test)
    assert x_test.shape[1] == width
    for file, y in zip(files, (y_train, y_test), strict=False):
        if not np.isfinite(y).all():
            raise ValueError(f"{file}: NaN or infinite targets; clean the file first")
    if regression:
        return Dataset(files[0].stem, x_train, y_train, x_test, y_test, None)
    labels = np.unique(y_train)
    if (labels != np.round(labels)).any():
        raise ValueError(f"{files[0]}: its targets are not whole numbers; set dataset.regression=true")
    unknown = np.setdiff1d(y_test, labels)
    if unknown.size:
        raise ValueError(f"{files[-1]}: label {unknown[0]:g} does not occur in {files[0]}; the files do not match")
    numbers = [np.searchsorted(labels, y).astype(np.int64) for y in (y_train, y_test)]
    return Dataset(files[0].stem, x_train, numbers[0], x_test, numbers[1], len(labels))


def a9a(
    path: str = "libsvm/a9a", test: str | None = "libsvm/a9a.t", root: str | Path | None = None, unit_rows: bool = True
) -> Dataset:
    """Adult (Kohavi 1996) with binary features, from the LIBSVM collection (Chang, Lin 2011); see `libsvm`."""
    return _named("a9a", path, test, root, unit_rows)


def w8a(
    path: str = "libsvm/w8a", test: str | None = None, root: str | Path | None = None, unit_rows: bool = True
) -> Dataset:
    """Web pages (Platt 1998) with binary features, from the LIBSVM collection (Chang, Lin 2011); see `libsvm`."""
    return _named("w8a", path, test, root, unit_rows)


def _named(name: str, path: str, test: str | None, root: str | Path | None, unit_rows: bool) -> Dataset:
    """A LIBSVM file of the catalogue, which must have the rows and columns the catalogue says."""
    entry = ENTRIES[name]
    dataset = replace(libsvm(path, test, root, entry.shape[0], unit_rows), name=name)
    found, expected = (dataset.n, dataset.classes), (entry.n, entry.classes)
    if found != expected or (entry.n_test and test is not None and len(dataset.y_test) != entry.n_test):
        raise ValueError(
            f"{data_root(root) / path} holds {dataset.n} rows of {dataset.classes} classes and its test file "
            f"{len(dataset.y_test)} rows, but {name} has {entry.n} of {entry.classes} and {entry.n_test}; "
            "fetch it again, or use it as dataset=libsvm"
        )
    return dataset


def breast_cancer(
    root: str | Path | None = None, standardize_features: bool = True, unit_rows: bool = False
) -> Dataset:
    """569 tumours, 30 measurements, benign (1) or malignant (0) (Wolberg, Street, Mangasarian 1995).

    456 for training, 113 (the last fifth of each class, in the file's order) for testing.

    Args:
        standardize_features: each column to zero mean and unit variance on the training split.
        unit_rows: then scale each row to Euclidean norm 1.
    """
    path = prepare("breast_cancer", root)
    assert path is not None
    arrays = read_npz(path)
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    if standardize_features:
        mean, std = x_train.mean(0), x_train.std(0)
        x_train, x_test = (x_train - mean) / std, (x_test - mean) / std
    if unit_rows:
        x_train, x_test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (x_train, x_test))
    return Dataset("breast_cancer", x_train, arrays["y_train"], x_test, arrays["y_test"], 2)


def linear_regression(
    samples: int = 204_800,
    test_samples: int = 2_048,
    features: int = 10,
    noise: float = 0.0,
    data_seed: int = 0,
    root: str | Path | None = None,
) -> Dataset:
    """The toy of VRGD: y = w* . x with w* = (1, 2, ..., d) and no intercept; start from w = 0.

    The paper does not give the inputs' distribution: uniform on [0, 1]^d is OUR assumption. So is the number
    of samples, 100 batches of 2,048 by default, so that its 100 steps see each sample once.

    Args:
        samples, test_samples: rows of the splits.
        features: d.
        noise: standard deviation of Gaussian noise on the targets.
        data_seed: of the samples; not the run's seed, so that runs with different seeds share their data.
        root: not used; readers take it alike.
    """
    for key, value, least in (
        ("samples", samples, 1),
        ("test_samples", test_samples, 0),
        ("features", features, 1),
        ("data_seed", data_seed, 0),
    ):
        if value < least:
            raise ValueError(f"dataset.{key}={value}: at least {least}")
    if noise < 0:
        raise ValueError(f"dataset.noise={noise}: a standard deviation is 0 or more")
    rng = np.random.default_rng(data_seed)
    x = rng.random((samples + test_samples, features))
    y = x @ np.arange(1.0, features + 1) + noise * rng.standard_normal(len(x))
    return Dataset("linear_regression", x[:samples], y[:samples], x[samples:], y[samples:], None)


def find(file: str, root: Path) -> Path:
    """`file` in the data root, or as the path that it is."""
    path = root / Path(file).expanduser()
    if not path.is_file():
        raise ValueError(
            f"no LIBSVM file {path}; put it there (`.bz2` and `.xz` unpacked), "
            "or set dataset.path, dataset.root or BATCHLAB_DATA"
        )
    return path


def _parse(files: list[Path], features: int | None, root: Path) -> list[tuple[csr_array[Any], NDArray[np.float64]]]:
    """(matrix, targets) of each file; kept under root/parsed, as scikit-learn's import costs a second."""
    from scipy.sparse import csr_array

    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((stats, features)).encode()).hexdigest()[:12]
    parsed = root / "parsed" / f"{files[0].stem}-{key}.npz"
    keys = tuple(f"{part}{i}" for i in range(len(files)) for part in ("data", "indices", "indptr", "y"))
    try:
        arrays = read_npz(parsed, (*keys, "width"))
    except ValueError:  # not there yet, or damaged: the text is what counts
        arrays = _read_text(files, features)
        with contextlib.suppress(ValueError):  # a root that cannot be written costs the second every time
            write_npz(parsed, arrays)
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


def _read_text(files: list[Path], features: int | None) -> dict[str, NDArray[Any]]:
    from sklearn.datasets import load_svmlight_files

    try:
        flat = load_svmlight_files([str(file) for file in files], n_features=features)
    except (ValueError, OverflowError) as error:
        names = " and ".join(map(str, files))
        raise ValueError(f"{names}: not LIBSVM text, or damaged ({first_line(error)})") from error
    arrays: dict[str, NDArray[Any]] = {"width": np.array(flat[0].shape[1])}
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
