"""A split on the training device: stored once per process, prepared as the model's input on request."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batchlab.datasets.augment import Draws, source_pixels, standardize_each
from batchlab.datasets.dataset import Dataset

_cache: weakref.WeakKeyDictionary[Dataset, dict[Any, Resident]] = weakref.WeakKeyDictionary()


def resident(dataset: Dataset, split: str, device: torch.device, dtype: torch.dtype, channels_last: bool) -> Resident:
    """The split on `device`, shared by everything in this process that asks for the same."""
    made = _cache.setdefault(dataset, {})
    key = (split, device, dtype, channels_last)
    if key not in made:
        made[key] = Resident(dataset, split, device, dtype, channels_last)
    return made[key]


class Resident:
    """Samples and labels on a device; `x(index, draws)` gives inputs ready for the model.

    Images stay as they are stored (uint8: a quarter of float32), with one black pixel at the end for whatever
    an augmentation brings in from outside. A pixel of 2 or 4 channels is one integer, 3 channels are
    stored as 4: gathering is then a copy of single elements.
    """

    def __init__(
        self, dataset: Dataset, split: str, device: torch.device, dtype: torch.dtype, channels_last: bool
    ) -> None:
        x, y = dataset.split(split)
        self.pre, self.shape, self.device, self.dtype = dataset.preprocessing, dataset.shape, device, dtype
        self.n, self.channels_last = int(x.shape[0]), channels_last
        self.y = torch.from_numpy(y).to(device, dtype if dataset.classes is None else torch.int64)
        self.sample_bytes = int(np.prod(self.shape)) * torch.empty((), dtype=dtype).element_size()
        self._rows = None  # a sparse split stays in host memory and is made dense batch by batch
        if not isinstance(x, np.ndarray):
            self._rows = x
        elif x.ndim == 2:
            self._stored = torch.from_numpy(x).to(device, dtype)
        else:
            self._values = torch.from_numpy(x[:0]).dtype
            self._stored = pack(x).to(device)
        self._scale, self._shift = self._affine()

    def _affine(self) -> tuple[Tensor, Tensor]:
        """x -> x scale + shift divides by white and standardises at once."""
        mean = torch.tensor(self.pre.mean or (0.0,), dtype=torch.float64)
        std = torch.tensor(self.pre.std or (1.0,), dtype=torch.float64)
        scale, shift = 1 / (std * self.pre.white), -mean / std
        return (
            scale.view(-1, 1, 1).to(self.device, torch.float32),
            shift.view(-1, 1, 1).to(self.device, torch.float32),
        )

    def x(self, index: Tensor, draws: Draws | None) -> Tensor:
        """(m, C, H, W) or (m, d) inputs in `dtype` for the samples at `index`, (m,) on the device."""
        if self._rows is not None:
            rows = self._rows[index.cpu().numpy()].toarray()
            return torch.from_numpy(rows).to(self.device, self.dtype)
        if len(self.shape) == 1:
            return self._stored.index_select(0, index)
        channels, height, width = self.shape
        if draws is None:
            images = self._stored[: self.n * height * width].view(self.n, height * width, -1)
            pixels = images.index_select(0, index)
        else:
            source = source_pixels(draws, index, (height, width), self.pre.pad, self.n * height * width)
            pixels = self._stored.index_select(0, source.view(-1))
        pixels = pixels.view(self._values).view(len(index), height, width, -1)[..., :channels]
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        x = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout)
        x = standardize_each(x) if self.pre.standardize else x.mul_(self._scale).add_(self._shift)
        return x.to(self.dtype)


def pack(images: np.ndarray[Any, Any]) -> Tensor:
    """(N, H, W, C) images as (N H W + 1,) or (N H W + 1, C) pixels, the last one black."""
    n, height, width, channels = images.shape
    stored = 4 if channels == 3 else channels
    pixels = np.zeros((n * height * width + 1, stored), images.dtype)
    pixels[:-1, :channels] = images.reshape(-1, channels)
    whole = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}.get(stored * images.itemsize)
    if whole is not None and images.dtype.kind == "u":
        return torch.from_numpy(pixels.view(whole)[:, 0])
    return torch.from_numpy(pixels)
