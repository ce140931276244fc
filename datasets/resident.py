"""A split on the training device: stored once per process, made into the model's input on request."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from batchlab.datasets.augment import source_pixels, standardize_each_
from batchlab.datasets.dataset import Dataset, Split

# On the CPU images are prepared in groups of about so many bytes, so that what lies between stays in cache.
CACHED_BYTES = 2**20
INT32_PIXELS = 2**30

_stored: weakref.WeakKeyDictionary[Dataset, dict[Any, Tensor]] = weakref.WeakKeyDictionary()


class Resident:
    """Samples and targets of a split on a device; `x(index, maps)` gives inputs ready for the model.

    Images stay as they are stored (uint8: a quarter of float32). Everything in this process that asks for the
    same split on the same device shares them.

    Args:
        dataset: where the samples come from.
        split: `"train"`, `"validation"` or `"test"`.
        device: where the samples are stored.
        dtype: of the inputs, unless they are ids, and of float targets. Images are computed in float32, or float64 if
            that is asked for.
        channels_last: memory format of the images.
    """

    def __init__(
        self, dataset: Dataset, split: Split, device: torch.device, dtype: torch.dtype, channels_last: bool
    ) -> None:
        x, y = dataset.split(split)
        dtype_y = dtype if dataset.classes is None else torch.int64
        dtype = dtype if dataset.vocabulary is None else torch.int64
        self.pre, self.shape, self.device, self.dtype = dataset.preprocessing, dataset.shape, device, dtype
        self.n = len(y)
        self.sample_bytes = math.prod(self.shape) * dtype.itemsize
        self._layout = torch.channels_last if channels_last and dataset.is_image else torch.contiguous_format
        self._computed = torch.float64 if dtype == torch.float64 else torch.float32
        self._rows = self._features = self._pixels = None
        kept = _stored.setdefault(dataset, {})
        if dataset.is_image:
            assert isinstance(x, np.ndarray)
            if (split, device) not in kept:
                kept[split, device] = pack(x).to(device)
            self._pixels, self._values = kept[split, device], torch.from_numpy(x[:0]).dtype
            self._scale, self._shift = self._affine()
        elif self.pre.standardize:
            raise ValueError("features are standardized before they are stored: pass standardized(dataset)")
        elif isinstance(x, np.ndarray):
            if (split, device, dtype) not in kept:
                kept[split, device, dtype] = torch.from_numpy(x).to(device, dtype)
            self._features = kept[split, device, dtype]
        else:
            self._rows = x  # sparse: in host memory, made dense as it is asked for
        self.y = torch.from_numpy(y).to(device, dtype_y)
        self.seconds = 0.0
        """What it took to make training batches of it."""

    def _affine(self) -> tuple[Tensor, Tensor]:
        """x -> x scale + shift divides by white and standardises at once."""
        mean = torch.tensor(self.pre.mean or (0.0,), dtype=torch.float64)
        std = torch.tensor(self.pre.std or (1.0,), dtype=torch.float64)
        scale, shift = 1 / (std * self.pre.white), -mean / std
        scale, shift = (t.view(-1, 1, 1).to(self.device, self._computed) for t in (scale, shift))
        return scale, shift

    def x(self, index: Tensor, maps: Tensor | None) -> Tensor:
        """(m, C, H, W) or (m, d) inputs of the samples at `index`, (m,) int64; `maps` augments them."""
        if self._rows is not None:
            rows = self._rows[index.cpu().numpy()].toarray()
            return torch.from_numpy(rows).to(self.device, self.dtype)
        if self._features is not None:
            return self._features.index_select(0, index)
        out = torch.empty(
            (len(index), *self.shape), dtype=self._computed, device=self.device, memory_format=self._layout
        )
        at_once = max(1, CACHED_BYTES // self.sample_bytes) if self.device.type == "cpu" else len(index)
        for start in range(0, len(index), at_once):
            part = slice(start, start + at_once)
            self._images(index[part], None if maps is None else maps[part], out[part])
        return out.to(self.dtype)

    def _images(self, index: Tensor, maps: Tensor | None, out: Tensor) -> None:
        assert self._pixels is not None
        channels, height, width = self.shape
        if maps is None:
            stored = self._pixels[1:].view(self.n, height * width, -1).index_select(0, index)
        else:
            if self.n * height * width < INT32_PIXELS:
                index = index.to(torch.int32)
            source = source_pixels(maps, index, height, width, self.pre.rotate > 0)
            stored = self._pixels.index_select(0, source.view(-1))
        images = stored.view(self._values).view(len(index), height, width, -1)[..., :channels].permute(0, 3, 1, 2)
        out.copy_(images)
        if self.pre.standardize:
            standardize_each_(out)
        else:
            out.mul_(self._scale).add_(self._shift)


def pack(images: NDArray[Any]) -> Tensor:
    """(N, H, W, C) images as 1 + N H W pixels, the first one black: (1 + N H W,), or (1 + N H W, C) for floats.

    A pixel of bytes becomes one integer, if need be with a fourth channel: gathering single elements is several
    times faster than gathering short rows.
    """
    n, height, width, channels = images.shape
    integer = {1: np.uint8, 2: np.int16, 3: np.int32, 4: np.int32}.get(channels) if images.dtype == np.uint8 else None
    stored = np.dtype(integer).itemsize if integer else channels
    pixels = np.zeros((1 + n * height * width, stored), images.dtype)
    for channel in range(channels):  # one by one is twice as fast as all at once
        pixels[1:, channel] = images[..., channel].reshape(-1)
    return torch.from_numpy(pixels.view(integer)[:, 0] if integer else pixels)
