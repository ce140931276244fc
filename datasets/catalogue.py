"""Which data sets there are, and whether they are ready.

A published data set NAME is two files: `datasets/sets/NAME.py`, which declares an `ENTRY` and the reader, and
`conf/dataset/NAME.yaml`, which makes it a choice. Nothing else lists it. These modules are imported to see what they
declare, so that at module level none of them may import torch, scikit-learn, SciPy or torchvision.
"""

from __future__ import annotations

import difflib
import warnings
import zipfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np

from batchlab.datasets import sets
from batchlab.datasets.entry import SOURCES, Entry
from batchlab.datasets.files import KEYS, data_root, first_line, read_npz, read_shape


def entries() -> dict[str, Entry]:
    """What the published data sets declare, by name: first what needs no download, each kind by name."""
    modules = sorted(f"{sets.__name__}.{module.name}" for module in iter_modules(sets.__path__))
    declared = [getattr(import_module(module), "ENTRY", None) for module in modules]
    found = [entry for entry in declared if entry is not None]  # npz and libsvm read whatever the user has
    return {entry.name: entry for entry in sorted(found, key=lambda entry: list(SOURCES).index(entry.kind))}


def available(root: str | Path | None = None) -> list[Entry]:
    """Every published set, and every other NAME.npz of the data root that holds one; reads no samples."""
    return [one for one in survey(root) if isinstance(one, Entry)]


def survey(root: str | Path | None = None) -> list[Entry | str]:
    """What `available` lists, and last a line for each .npz of the data root that no run takes: which, and why."""
    folder, published = data_root(root), entries()
    found: list[Entry | str] = [entry.located(folder) for entry in published.values()]
    refused: list[Entry | str] = []
    for path in sorted(folder.glob("*.npz")):
        if path.stem not in published:
            one = _described(path)
            (refused if isinstance(one, str) else found).append(one)
    return found + refused


def prepare(name: str, root: str | Path | None = None) -> Path | None:
    """Make a set ready, once, however many processes ask at the same time.

    Args:
        name: as `available` lists it.
        root: the folder with data files; None: what BATCHLAB_DATA names, else the user's cache.

    Returns:
        The file that will be read: NAME.npz, or the LIBSVM file; `None` for a set that needs no file.

    Raises:
        ValueError: there is no such set; a file is missing, damaged, or cannot be downloaded or written.
    """
    published = entries()
    if name in published:
        return published[name].prepare(root)
    path = data_root(root) / f"{name}.npz"
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, published, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(published)}"
    raise ValueError(f"no data set {name!r} and no file {path}; {hint}")


def _described(path: Path) -> Entry | str:
    """What a user's .npz holds, from headers and targets; a line that says why it is no data set if it is not."""
    from batchlab.datasets.sets.npz import classes_of

    if not path.is_file():  # to read a pipe is to wait for somebody to write
        return f"{path.name}: no data set, as it is something else than a file"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if missing := [key for key in KEYS if f"{key}.npy" not in members]:
                return f"{path.name}: no data set, as it lacks {', '.join(missing)}"
            heads = {key: read_shape(archive, key) for key in KEYS}
        if said := next(filter(None, (_refused(key, *heads[key]) for key in ("x_train", "x_test"))), ""):
            return f"{path.name}: no data set, as {said}"
        y = read_npz(path, ("y_train", "y_test"))
        with warnings.catch_warnings(action="ignore"):
            classes = classes_of(path.stem, y)
        train, test = heads["x_train"][0], heads["x_test"][0]
        for key, n in (("y_train", train[0]), ("y_test", test[0])):
            if y[key].shape[:1] != (n,):
                return f"{path.name}: no data set, as {key} has shape {y[key].shape} for {n:,} samples"
        n, n_test, shape = train[0], test[0], train[1:] if len(train) == 2 else _image(train)
        size = path.stat().st_size
    except Exception as error:  # whatever damaged or foreign bytes lead to
        why = first_line(error).removeprefix(f"{path.stem}: ").removeprefix(f"{path} ")
        return f"{path.name}: no data set: {why}"
    return Entry(path.stem, n, n_test, shape, classes, "file", where=path, ready=True, size=size)


def _refused(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Why no run takes an array of samples, as far as its header tells; empty where it may."""
    if len(shape) not in (2, 3, 4):
        return f"{key} has shape {shape}: images are (N, H, W, C), features (N, d)"
    if dtype.kind not in "fiu":
        return f"{key} has type {dtype}, which is no number to compute with"
    return f"{key} has no samples" if key == "x_train" and not shape[0] else ""


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H, W) of images (N, H, W) or (N, H, W, C)."""
    height, width, *channels = shape[1:]
    return (channels[0] if channels else 1, height, width)
