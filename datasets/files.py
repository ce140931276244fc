"""The data root, and reading and writing NAME.npz safely in it."""

from __future__ import annotations

import math
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.memory import TooLargeError, check_fits
from batchlab.datasets.names import text

Arrays = dict[str, NDArray[Any]]
KEYS = ("x_train", "y_train", "x_test", "y_test")
OWN = ("npz", "libsvm")
"""Readers of a user's own files, which batchlab cannot make."""


def data_root(root: str | Path | None = None) -> Path:
    """`root`, or else the environment's BATCHLAB_DATA, or else ~/.cache/batchlab."""
    return Path(root or os.environ.get("BATCHLAB_DATA") or "~/.cache/batchlab").expanduser()


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when complete."""
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn a refusal of the file system into the user's error."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"cannot write to the data root {folder} ({error.strerror}); "
            "set dataset.root or BATCHLAB_DATA to a folder you can write"
        ) from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays uncompressed, so that loading is a copy; atomically."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_npz(path: Path, keys: tuple[str, ...] = KEYS) -> Arrays:
    """The arrays `keys` of a .npz file, which checks their CRC-32.

    Raises:
        ValueError: it does not exist, is damaged, lacks a key, or holds pickled objects.
    """
    if not path.is_file():
        raise ValueError(f"no file {path.absolute()}; put it there, or set dataset.root or BATCHLAB_DATA")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}
            asked = [key for key in keys if key in members]
            size = sum(_claimed(archive, key) for key in asked)
            check_fits(f"{path} unpacked takes", size, "keep fewer samples in it")
            arrays = {key: _read_array(archive, key) for key in asked}
    except TooLargeError:
        raise
    except Exception as error:  # damaged bytes can fail anywhere: zip, zlib, the array's header, its pickle
        raise ValueError(
            f"{path} is damaged or not an .npz of plain arrays ({first_line(error)}); {_again(path)}"
        ) from error
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(keys)}")
    return arrays


def _again(path: Path) -> str:
    """How a file comes to be whole again: batchlab makes those of the sets that it knows, and no others."""
    if path.stem in OWN or not (Path(__file__).parent / "sets" / f"{path.stem}.py").is_file():
        return "restore it, or save it again with np.savez, as arrays of numbers without objects"
    return f"restore it, or delete it and run `batchlab data prepare {path.stem}`"


def own_places(place: str, root: str | Path | None) -> list[Path]:
    """Where a user's own file or folder may be, the first first: beside the user, then in the data root.

    Args:
        place: as it is written; one that is absolute is only there.
        root: the data root, if it is said, and then it is only there; `None` for the usual one.
    """
    said = Path(str(place)).expanduser()  # Hydra's grammar takes 2024 for a number
    folders = [data_root(root)] if root else [Path.cwd(), data_root()]
    return list(dict.fromkeys((folder / said).absolute() for folder in folders))


def libsvm_file(file: str, root: str | Path | None) -> Path:
    """The path of a LIBSVM file, of a user's own or in the data root.

    Raises:
        ValueError: it is not there.
    """
    places = own_places(file, root)
    for path in places:
        if path.is_file():
            return path
    raise ValueError(
        f"no LIBSVM file {' and no '.join(map(str, places))}; put it there (`.bz2` and `.xz` unpacked), "
        "or set dataset.path, dataset.root or BATCHLAB_DATA"
    )


def own_path(place: str, root: str | Path | None, key: str, *, folder: bool = False) -> Path:
    """The file, or the folder, of a user's own that a key of `dataset` names.

    Args:
        place: relative to the current folder or the data root, or absolute.
        root: the data root, where it is said; `None` for the usual one.
        key: which says it.
        folder: a folder is wanted.

    Raises:
        ValueError: it is not there; the message names where it was looked for, and where it may be.
    """
    places = own_places(text(key, place), root)
    for path in places:
        if path.is_dir() if folder else path.is_file():
            return path
    what = "folder" if folder else "file"
    for path in places:
        if path.exists():
            raise ValueError(f"dataset.{key}: {path} is no {what}")
    looked = " and no ".join(map(str, places))
    raise ValueError(f"no {what} {looked}; put it there, or set dataset.{key}, dataset.root or BATCHLAB_DATA")


def first_line(error: BaseException) -> str:
    """What an exception says, fit for a one-line message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def read_shape(archive: zipfile.ZipFile, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, from its header."""
    with archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        shape, _, dtype = v1(file) if version == (1, 0) else v2(file)
    return shape, dtype


def _claimed(archive: zipfile.ZipFile, key: str) -> int:
    """Bytes that an array's header asks for, which the archive's own list of its members must agree with.

    Raises:
        ValueError: it asks for more than there is, or for objects, which would be unpickled.
    """
    shape, dtype = read_shape(archive, key)
    if dtype.hasobject:
        raise ValueError(f"{key} holds objects, which are pickled and never read")
    size, there = math.prod(shape) * dtype.itemsize, archive.getinfo(f"{key}.npy").file_size
    if size > there:
        raise zipfile.BadZipFile(f"the header of {key} promises {size:,} bytes, and {there:,} are there")
    return max(size, there)


def _read_array(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    with archive.open(f"{key}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # reading to the end is what compares the CRC
            raise zipfile.BadZipFile(f"{key}.npy is longer than its array")
        return array
