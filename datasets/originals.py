"""The published files of MNIST and CIFAR: found in the data root or downloaded, checked, and read.

torchvision knows their addresses and MD5 sums. Importing it takes seconds, so this is done once: the arrays
are then written as NAME.npz. Downloads go to a temporary folder; an interrupted one leaves nothing behind.
"""

from __future__ import annotations

import gzip
import http.client
import os
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Sequence
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

    def fetch(url: str, folder: Path) -> Arrays:
        retrieve(url, folder / original.filename, original.tgz_md5)
        with tarfile.open(folder / original.filename) as archive:
            archive.extractall(folder, filter="data")
        return read(folder)

    if (root / original.base_folder).is_dir():
        return read(root)
    return download(name, root, (original.url,), fetch)


def mnist(name: str, root: Path) -> Arrays:
    """MNIST from root/MNIST/raw/*.gz, or downloaded."""
    from torchvision.datasets import MNIST

    files = dict(MNIST.resources)
    keys = dict(zip(files, ("x_train", "y_train", "x_test", "y_test"), strict=True))

    def read(folder: Path) -> Arrays:
        check(folder, files)
        arrays = {key: read_idx(folder / file) for file, key in keys.items()}
        return {k: a[..., None] if k.startswith("x") else a.astype(np.int64) for k, a in arrays.items()}

    def fetch(url: str, folder: Path) -> Arrays:
        for file, md5 in files.items():
            retrieve(f"{url.rstrip('/')}/{file}", folder / file, md5)
        return read(folder)

    raw = root / "MNIST" / "raw"
    return read(raw) if raw.is_dir() else download(name, root, MNIST.mirrors, fetch)


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


def retrieve(url: str, path: Path, md5: str) -> None:
    """Download one file, saying so on stderr; `OSError` if it cannot be had or is not the published one."""
    from torchvision.datasets.utils import check_integrity

    request = urllib.request.Request(url, headers={"User-Agent": "batchlab"})
    with urllib.request.urlopen(request, timeout=STALLED_SECONDS) as answer, path.open("wb") as file:
        total, done, shown = int(answer.headers.get("Content-Length") or 0), 0, 0.0
        print(f"downloading {url} ({total / 1e6:.1f} MB)", file=sys.stderr, flush=True)
        while block := answer.read(2**18):
            done += file.write(block)
            if sys.stderr.isatty() and time.monotonic() - shown > 1:
                shown = time.monotonic()
                print(f"\r{done / 1e6:.1f} MB", end="\r", file=sys.stderr, flush=True)
    if not check_integrity(path, md5):
        raise OSError(f"not the published file: its MD5 is not {md5}")


def download(name: str, root: Path, urls: Sequence[str], fetch: Callable[[str, Path], Arrays]) -> Arrays:
    """`fetch(url, temporary folder)` from the first of `urls` that has it, or from the mirror asked for.

    BATCHLAB_NAME_URL is the address of the .tar.gz for CIFAR, of the folder of .gz files for MNIST.
    """
    variable = f"BATCHLAB_{name.upper()}_URL"
    mirror = os.environ.get(variable)
    failures = []
    for url in (mirror,) if mirror else urls:
        with writable(root):
            temporary = TemporaryDirectory(dir=root, prefix=f".{name}-")
        with temporary as folder:
            try:
                return fetch(url, Path(folder))
            except (OSError, RuntimeError, ValueError, http.client.HTTPException, tarfile.TarError) as error:
                failures.append(f"{url}: {first_line(error)}")
    raise ValueError(
        f"cannot download {name} ({'; '.join(failures)}); set {variable} to a mirror, "
        f"or put the original files into {root / str(ENTRIES[name].original)}, or {name}.npz into {root}"
    )
