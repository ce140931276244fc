"""(c) Feeding augmented images: batchlab's device-resident batches against torchvision's DataLoader with workers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from batchlab.datasets import Batches
from batchlab.datasets.sets.npz import npz
from card.images import BATCH, MEAN, STD
from card.part import Part, ratios


class Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR10 does it: a PIL image, then the transforms."""

    def __init__(self, file: Path) -> None:
        with np.load(file) as content:
            self.x, self.y = content["x_train"], content["y_train"].tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.x[index])), self.y[index]


def ours(part: Part, size: int) -> Callable[[], float]:
    """An epoch of our batches: its seconds."""
    dataset = npz(str(part.work / "epoch.npz"), mean=list(MEAN), std=list(STD), pad=4, flip=True)
    stream = Batches(dataset, seed=0, device=part.device, channels_last=True)

    def epoch() -> None:
        seen = 0
        while seen < stream.n:
            batch = stream.take(size)
            seen += batch.size
            for _ in batch.micro:
                pass

    return lambda: part.seconds(epoch)


def theirs(part: Part, size: int, workers: int) -> Callable[[], float]:
    """An epoch of the DataLoader onto the device: its seconds.

    Workers are forked at once, before this process does anything on the card. Started anew (`spawn`) they begin one
    after the other, for each is handed all images through a pipe that it empties only once it has imported torch: 14 of
    them did not begin within 45 s.
    """
    batches = DataLoader(
        Pictures(part.work / "epoch.npz"),
        size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="fork",
        pin_memory=part.device.type == "cuda",
        timeout=20,
    )
    iter(batches)  # forks them; an epoch begins anew

    def epoch() -> None:
        for x, y in batches:
            x.to(part.device, non_blocking=True, memory_format=torch.channels_last)
            y.to(part.device, non_blocking=True)

    return lambda: part.seconds(epoch)


def room() -> int:
    """Workers whose batches find room in shared memory: two that are ready and one in the making."""
    shared = Path("/dev/shm")
    return shutil.disk_usage(shared).free // (3 * BATCH * 3 * 32 * 32 * 4) if shared.is_dir() else 2


def compare(part: Part) -> None:
    """In turns, after an epoch each, which is reported by itself: should the rest not come to its end, it stands."""
    size = 32 if part.smoke else BATCH
    images = 64 if part.smoke else 98 * BATCH
    workers = 1 if part.smoke else max(2, min(14, (os.cpu_count() or 2) - 2, room()))
    name = f"DataLoader, {workers} workers"
    peer = theirs(part, size, workers)
    methods = {"ours": ours(part, size), name: peer}
    for key, method in methods.items():
        part.add(f"augmented images a second, first epoch, {key}", images / method(), "1/s")
    times = part.turns(methods, 2 if part.smoke else 5, 4)
    rates = {key: [images / s for s in seconds] for key, seconds in times.items()}
    found = ratios(rates["ours"], rates[name])
    part.add("augmented images a second", unit="1/s", samples=rates["ours"], peer=name, ratios=found)
    part.add(f"augmented images a second, {name}", unit="1/s", samples=rates[name])


def measure(part: Part) -> None:
    """The one comparison."""
    part.attempt("the loader", partial(compare, part))
