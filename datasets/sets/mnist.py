"""MNIST, from its published files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import KEYS, Arrays
from batchlab.datasets.originals import check, download, retrieve
from batchlab.datasets.sets.npz import Keys, read_images


def make(entry: Entry, root: Path) -> Arrays:
    """Images (N, 28, 28, 1) uint8 and labels, from root/MNIST/raw/*.gz, or downloaded."""
    from torchvision.datasets import MNIST

    files = dict(MNIST.resources)
    keys = dict(zip(files, KEYS, strict=True))

    def read(folder: Path) -> Arrays:
        check(folder, files)
        arrays = {key: read_idx(folder / file) for file, key in keys.items()}
        return {k: a[..., None] if k.startswith("x") else a.astype(np.int64) for k, a in arrays.items()}

    def fetch(url: str, folder: Path) -> Arrays:
        for file, md5 in files.items():
            retrieve(f"{url.rstrip('/')}/{file}", folder / file, md5)
        return read(folder)

    raw = root / str(entry.original)
    return read(raw) if raw.is_dir() else download(entry, root, MNIST.mirrors, fetch)


ENTRY = Entry("mnist", 60_000, 10_000, (1, 28, 28), 10, "published", "MNIST/raw", make)


def mnist(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """28 x 28 scans of handwritten digits: 60,000 for training, 10,000 for testing (LeCun et al. 1998)."""
    return read_images(ENTRY, root, **keys)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in gzipped IDX format: two zero bytes, type 8, rank, big-endian sizes, values."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
