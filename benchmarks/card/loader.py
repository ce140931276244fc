"""(c) Feeding augmented images: batchlab's device-resident batches against torchvision's DataLoader with workers."""

from __future__ import annotations

import os
from collections.abc import Callable
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

    Workers are started anew instead of forked: this process has touched the card.
    """
    batches = DataLoader(
        Pictures(part.work / "epoch.npz"),
        size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="spawn",
        pin_memory=part.device.type == "cuda",
    )

    def epoch() -> None:
        for x, y in batches:
            x.to(part.device, non_blocking=True, memory_format=torch.channels_last)
            y.to(part.device, non_blocking=True)

    return lambda: part.seconds(epoch)


def measure(part: Part) -> None:
    """In turns, after an epoch each that starts the workers."""
    size = 32 if part.smoke else BATCH
    images = 64 if part.smoke else 98 * BATCH
    workers = 1 if part.smoke else max(2, min(14, (os.cpu_count() or 2) - 2))
    name = f"DataLoader, {workers} workers"
    methods = {"ours": ours(part, size), name: theirs(part, size, workers)}
    for method in methods.values():
        method()
        method()
    times = part.turns(methods, 2 if part.smoke else 7, 2)
    rates = {key: [images / s for s in seconds] for key, seconds in times.items()}
    found = ratios(rates["ours"], rates[name])
    part.add("augmented images a second", unit="1/s", samples=rates["ours"], peer=name, ratios=found)
    part.add(f"augmented images a second, {name}", unit="1/s", samples=rates[name])
