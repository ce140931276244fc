"""CIFAR-10, and how the published files of both CIFAR sets are read."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.files import Arrays
from batchlab.datasets.originals import check, download, retrieve, unpack
from batchlab.datasets.sets.npz import Keys, read_images


def make(entry: Entry, root: Path) -> Arrays:
    """Images (N, 32, 32, 3) uint8 and (fine) labels, from root/cifar-*, or downloaded."""
    from torchvision import datasets

    published = getattr(datasets, entry.name.upper())
    files = dict((*published.train_list, *published.test_list))
    files[published.meta["filename"]] = published.meta["md5"]

    def read(folder: Path) -> Arrays:
        check(folder / published.base_folder, files)
        train, test = (published(folder, train=train) for train in (True, False))
        return {
            "x_train": np.ascontiguousarray(train.data),
            "y_train": np.array(train.targets, np.int64),
            "x_test": np.ascontiguousarray(test.data),
            "y_test": np.array(test.targets, np.int64),
        }

    def fetch(url: str, folder: Path) -> Arrays:
        retrieve(url, folder / published.filename, published.tgz_md5)
        unpack(folder / published.filename, folder)
        return read(folder)

    if (root / published.base_folder).is_dir():
        return read(root)
    return download(entry, root, (published.url,), fetch)


ENTRY = Entry("cifar10", 50_000, 10_000, (3, 32, 32), 10, "published", "cifar-10-batches-py", make)


def cifar10(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """32 x 32 photographs of 10 kinds of things: 50,000 for training, 10,000 for testing (Krizhevsky 2009)."""
    return read_images(ENTRY, root, **keys)
