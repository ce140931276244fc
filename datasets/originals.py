"""The published files of MNIST and CIFAR: found in the data root or downloaded, checked, and read.

torchvision knows their addresses and MD5 sums. Importing it takes seconds, so this is done once: the arrays
are then written as NAME.npz. Downloads go to a temporary folder; an interrupted one leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.catalogue import ENTRIES
from batchlab.datasets.files import first_line, writable

Arrays = dict[str, NDArray[Any]]
STALLED_SECONDS = 60.0  # a server that sends nothing for so long has failed; a slow one has not


def cifar(name: str, root: Path) -> Arrays:
    """CIFAR-10 or CIFAR-100 (fine labels) from root/cifar-*-python, or downloaded."""
    from torchvision import datasets

    original = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    files = dict((*original.train_list, *original.test_list))
    files[original.meta["filename"]] = original.meta["md5"]

    def read(folder: Path) -> Arrays:
        check(folder / original.base_folder, files)
        train, test = (original(folder, train=train) for train in (True, False))
        return {
            "x_train": np.ascontiguousarray(train.data),
            "y_train": np.array(train.targets, np.int64),
            "x_test": np.ascontiguousarray(test.data),
            "y_test": np.array(test.targets, np.int64),
        }

    if (root / original.base_folder).is_dir():
        return read(root)
    with download_folder(name, root, source(name) or original.url) as (folder, url, fetch):
        fetch(url, folder, original.filename, original.tgz_md5)
        with tarfile.open(folder / original.filename) as archive:
            archive.extractall(folder, filter="data")
        return read(folder)


def mnist(name: str, root: Path) -> Arrays:
    """MNIST from root/MNIST/raw/*.gz, or downloaded."""
    from torchvision.datasets import MNIST

    files = dict(MNIST.resources)
    keys = dict(zip(files, ("x_train", "y_train", "x_test", "y_test"), strict=True))

    def read(folder: Path) -> Arrays:
        check(folder, files)
        arrays = {key: read_idx(folder / file) for file, key in keys.items()}
        return {k: a[..., None] if k.startswith("x") else a.astype(np.int64) for k, a in arrays.items()}

    raw = root / "MNIST" / "raw"
    if raw.is_dir():
        return read(raw)
    with download_folder(name, root, source(name) or MNIST.mirrors[0]) as (folder, url, fetch):
        for file, md5 in files.items():
            fetch(f"{url.rstrip('/')}/{file}", folder, file, md5)
        return read(folder)


def source(name: str) -> str | None:
    """The mirror asked for: the address of the .tar.gz for CIFAR, of the folder of .gz files for MNIST."""
    return os.environ.get(f"BATCHLAB_{name.upper()}_URL")


def check(folder: Path, files: dict[str, str]) -> None:
    """`ValueError` unless every file is there with its MD5 sum."""
    from torchvision.datasets.utils import check_integrity

    for file, md5 in files.items():
        path = folder / file
        if not path.is_file():
            raise ValueError(f"no file {path}; restore it, or delete {folder} to download the set again")
        if not check_integrity(path, md5):
            raise ValueError(
                f"{path} is damaged (its MD5 is not {md5}); restore it, or delete {folder} to download the set again"
            )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in gzipped IDX format: two zero bytes, type 8, rank, big-endian sizes, values."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


@contextlib.contextmanager
def download_folder(
    name: str, root: Path, url: str
) -> Iterator[tuple[Path, str, Callable[[str, Path, str, str], None]]]:
    """(temporary folder in `root`, `url`, download function); a failure names `url` and the way out."""
    from torchvision.datasets.utils import download_url

    with writable(root):
        root.mkdir(parents=True, exist_ok=True)
        temporary = TemporaryDirectory(dir=root, prefix=f".{name}-")
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_SECONDS)
    try:
        yield Path(temporary.name), url, download_url
    except (OSError, RuntimeError, tarfile.TarError) as error:
        raise ValueError(
            f"cannot download {name} from {url}: {first_line(error)}; set BATCHLAB_{name.upper()}_URL to a mirror, "
            f"or put the original files into {root / str(ENTRIES[name].original)}, or {name}.npz into {root}"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
        temporary.cleanup()
