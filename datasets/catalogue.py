"""Which data sets there are, whether they are ready, and how a configuration becomes a `Dataset`.

Nothing here imports torch, scikit-learn or torchvision before a set has to be made.
"""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.files import data_root, read_npz, writable, write_npz

if TYPE_CHECKING:
    from batchlab.datasets.dataset import Dataset


@dataclass(frozen=True)
class Entry:
    """A data set that can be named, and where it stands in a data root.

    Args:
        name: `dataset=NAME`; a file of the user's own is `dataset=npz dataset.file=NAME`.
        n, n_test: samples of the training and test splits.
        shape: of one sample, (C, H, W) or (d,).
        classes: `None` for regression.
        kind: how it becomes ready. `bundled` with scikit-learn, `published` files found or downloaded,
            `libsvm` text that the user puts there, `generated`, or the user's own `file`.
        original: where in the data root the published files are looked for.
        where: what will be read; `None` when nothing is there yet.
        ready: usable without the network and without the user's doing anything.
        size: bytes on disk, or `None` when nothing is there yet.
    """

    name: str
    n: int
    n_test: int
    shape: tuple[int, ...]
    classes: int | None
    kind: Literal["bundled", "published", "libsvm", "generated", "file"]
    original: str | None = None
    where: Path | None = None
    ready: bool = False
    size: int | None = None

    @property
    def source(self) -> str:
        """`kind` in words, for listings."""
        return SOURCES[self.kind]


SOURCES = {
    "bundled": "bundled with scikit-learn",
    "published": "downloaded once (torchvision's address)",
    "libsvm": "LIBSVM collection; put the files into the data root",
    "generated": "generated when used",
    "file": "your file",
}

ENTRIES = {
    entry.name: entry
    for entry in (
        Entry("digits", 1442, 355, (1, 8, 8), 10, "bundled"),
        Entry("breast_cancer", 456, 113, (30,), 2, "bundled"),
        Entry("mnist", 60_000, 10_000, (1, 28, 28), 10, "published", "MNIST/raw"),
        Entry("cifar10", 50_000, 10_000, (3, 32, 32), 10, "published", "cifar-10-batches-py"),
        Entry("cifar100", 50_000, 10_000, (3, 32, 32), 100, "published", "cifar-100-python"),
        Entry("a9a", 32_561, 16_281, (123,), 2, "libsvm", "libsvm/a9a"),
        Entry("w8a", 49_749, 0, (300,), 2, "libsvm", "libsvm/w8a"),
        Entry("linear_regression", 204_800, 2_048, (10,), None, "generated"),
    )
}


def load(config: Mapping[str, Any]) -> Dataset:
    """The data set that a `conf/dataset/*.yaml` describes: `_target_` called with the other keys but `name`.

    Raises:
        ValueError: the target cannot be imported, does not take the keys, or does not return a `Dataset`;
            whatever the reader finds.
    """
    from batchlab.datasets.dataset import Dataset

    target = str(config["_target_"])
    module, _, function = target.rpartition(".")
    try:
        reader = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"dataset._target_={target} cannot be imported: {error}") from error
    arguments = {str(key): value for key, value in config.items() if key not in ("_target_", "name")}
    try:
        dataset = reader(**arguments)
    except TypeError as error:
        raise ValueError(f"dataset={config.get('name', target)}: {error}") from error
    if not isinstance(dataset, Dataset):
        raise ValueError(f"dataset._target_={target} returned {type(dataset).__name__}, not a Dataset")
    return dataset


def available(root: str | Path | None = None) -> list[Entry]:
    """Every named set, and every other NAME.npz of the data root that holds one; reads no samples."""
    folder = data_root(root)
    own = [path for path in sorted(folder.glob("*.npz")) if path.stem not in ENTRIES]
    return [_located(entry, folder) for entry in ENTRIES.values()] + [
        entry for path in own if (entry := _described(path)) is not None
    ]


def prepare(name: str, root: str | Path | None = None) -> Path | None:
    """Make a set ready, once, whoever asks at the same time; returns the file that will be read.

    Returns:
        NAME.npz, or the LIBSVM file; `None` for a generated set, which needs no file.

    Raises:
        ValueError: no such set; a file is missing, damaged, or cannot be downloaded or written.
    """
    folder = data_root(root)
    path = folder / f"{name}.npz"
    entry = ENTRIES.get(name)
    if entry and entry.kind == "generated":
        return None
    if entry and entry.kind == "libsvm":
        from batchlab.datasets.tabular import find

        return find(str(entry.original), folder)
    if path.is_file():
        return path
    if entry is None:
        near = difflib.get_close_matches(name, ENTRIES, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ENTRIES)}"
        raise ValueError(f"no data set {name!r} and no file {path}; {hint}")
    from filelock import FileLock

    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        lock.acquire()
    try:
        if not path.is_file():  # another process may have been faster
            write_npz(path, _maker(entry)(name, folder))
    finally:
        lock.release()
    return path


def _maker(entry: Entry) -> Callable[[str, Path], dict[str, NDArray[Any]]]:
    """What makes the arrays of a set from (name, data root)."""
    if entry.kind == "bundled":
        from batchlab.datasets import bundled

        return bundled.make
    assert entry.kind == "published"
    from batchlab.datasets import originals

    return originals.mnist if entry.name == "mnist" else originals.cifar


def _located(entry: Entry, folder: Path) -> Entry:
    """`entry` with what the data root has of it."""
    if entry.kind == "generated":
        return replace(entry, ready=True)
    made = folder / f"{entry.name}.npz" if entry.kind != "libsvm" else None
    for where in (made, entry.original and folder / entry.original):
        if where and where.exists():
            files = [where] if where.is_file() else [file for file in where.rglob("*") if file.is_file()]
            return replace(entry, where=where, ready=True, size=sum(file.stat().st_size for file in files))
    return replace(entry, ready=entry.kind == "bundled")


def _described(path: Path) -> Entry | None:
    """What a user's .npz holds, from headers and targets; `None` if it is something else."""
    try:
        train, test = (_shape(path, key) for key in ("x_train", "x_test"))
        y = read_npz(path, ("y_train", "y_test"))
    except Exception:  # whatever damaged or foreign bytes lead to
        return None
    shape = train[1:] if len(train) == 2 else (train[3] if len(train) == 4 else 1, *train[1:3])
    classes = None
    if y["y_train"].dtype.kind in "iu":
        classes = 1 + max(int(part.max(initial=0)) for part in y.values())
    return Entry(path.stem, train[0], test[0], shape, classes, "file", None, path, True, path.stat().st_size)


def _shape(path: Path, key: str) -> tuple[int, ...]:
    """Of an array in an .npz file, from its header."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        return v1(file)[0] if version == (1, 0) else v2(file)[0]
