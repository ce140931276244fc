"""Which data sets there are, and whether they are ready.

A published data set NAME is two files: `datasets/sets/NAME.py`, which declares an `ENTRY` and the reader, and
`conf/dataset/NAME.yaml`, which makes it a choice. Nothing else lists it. These modules are imported to see what they
declare, so that at module level none of them may import torch, scikit-learn, SciPy or torchvision.
"""

from __future__ import annotations

import difflib
import zipfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np

from batchlab.datasets import sets
from batchlab.datasets.entry import SOURCES, Entry
from batchlab.datasets.files import data_root, read_npz


def entries() -> dict[str, Entry]:
    """What the published data sets declare, by name: first what needs no download, each kind by name."""
    modules = sorted(f"{sets.__name__}.{module.name}" for module in iter_modules(sets.__path__))
    declared = [getattr(import_module(module), "ENTRY", None) for module in modules]
    found = [entry for entry in declared if entry is not None]  # npz and libsvm read whatever the user has
    return {entry.name: entry for entry in sorted(found, key=lambda entry: list(SOURCES).index(entry.kind))}


def available(root: str | Path | None = None) -> list[Entry]:
    """Every published set, and every other NAME.npz of the data root that holds one; reads no samples."""
    folder, published = data_root(root), entries()
    own = [path for path in sorted(folder.glob("*.npz")) if path.stem not in published]
    return [entry.located(folder) for entry in published.values()] + [
        entry for path in own if (entry := _described(path)) is not None
    ]


def prepare(name: str, root: str | Path | None = None) -> Path | None:
    """Make a set ready, once, however many processes ask at the same time.

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
    size = path.stat().st_size
    return Entry(path.stem, train[0], test[0], shape, classes, "file", where=path, ready=True, size=size)


def _shape(path: Path, key: str) -> tuple[int, ...]:
    """The shape of an array in an .npz file, from its header."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        return v1(file)[0] if version == (1, 0) else v2(file)[0]
