"""CIFAR-100, whose published files are read as those of CIFAR-10 are."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.entry import Entry
from batchlab.datasets.sets.cifar10 import make
from batchlab.datasets.sets.npz import Keys, read_images

ENTRY = Entry("cifar100", 50_000, 10_000, (3, 32, 32), 100, "published", "cifar-100-python", make)


def cifar100(root: str | Path | None = None, **keys: Unpack[Keys]) -> Dataset:
    """32 x 32 photographs of 100 kinds of things, fine labels: 50,000 and 10,000 (Krizhevsky 2009)."""
    return read_images(ENTRY, root, **keys)
