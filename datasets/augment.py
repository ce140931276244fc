"""Augmentation as one gather: where, in the stored images, each pixel of each augmented image comes from.

Crop, flip and rotation only move pixels, so together they are one map from output to source. Its random
numbers are drawn on the CPU for a whole epoch, one per place in the epoch; the devices do integer arithmetic
on them. The pixels are therefore the same on every device, however the epoch is cut into batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from batchlab.datasets.dataset import Preprocessing

FIXED = 16  # fractional bits of a rotation's coordinates: Pillow's, so that our pixels are Pillow's


def rng(seed: int, stream: int, epoch: int, purpose: int) -> np.random.Generator:
    """An independent generator for each purpose: switching flips off must not move the crops."""
    return np.random.default_rng((seed, stream, epoch, purpose))


ORDER, CROP, FLIP, ROTATE = range(4)


@dataclass(frozen=True)
class Draws:
    """What chance decided for m samples.

    Args:
        crop: (m, 2) int32, the crop's first row and column in the padded image; `None` without padding.
        flip: (m,) bool.
        rotation: (m, 6) int32, rows (a, b, c, d, e, f) of the map from an output pixel (column j, row i)
            to the source column (a j + b i + c) >> 16 and row (d j + e i + f) >> 16.
    """

    crop: Tensor | None
    flip: Tensor | None
    rotation: Tensor | None

    @classmethod
    def of_epoch(
        cls, pre: Preprocessing, shape: tuple[int, ...], n: int, seed: int, stream: int, epoch: int
    ) -> Draws | None:
        """Draws for the n places of an epoch of samples of a shape (C, H, W)."""
        if not pre.augments:
            return None
        crop = flip = rotation = None
        if pre.pad:
            offsets = rng(seed, stream, epoch, CROP).integers(0, 2 * pre.pad + 1, (n, 2), dtype=np.int32)
            crop = torch.from_numpy(offsets)
        if pre.flip:
            flip = torch.from_numpy(rng(seed, stream, epoch, FLIP).integers(0, 2, n, dtype=np.int8)).bool()
        if pre.rotate:
            degrees = rng(seed, stream, epoch, ROTATE).uniform(-pre.rotate, pre.rotate, n)
            rotation = torch.from_numpy(rotation_maps(degrees, (shape[1], shape[2])))
        return cls(crop, flip, rotation)

    def map(self, transform: object) -> Draws:
        """The same draws with `transform` applied to each tensor."""
        assert callable(transform)
        parts = (getattr(self, f.name) for f in fields(self))
        return Draws(*(None if part is None else transform(part) for part in parts))


def rotation_maps(degrees: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(m, 6) int32 fixed-point inverse maps of counter-clockwise rotations about the image's centre.

    A pixel's centre lies half a pixel from its corner; adding it once here leaves the device a shift.
    """
    height, width = size
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = width / 2, height / 2
    # Rotating the output clockwise gives the source: columns and rows grow to the right and downwards.
    c = x - cosine * x + sine * y + (cosine - sine) / 2
    f = y - sine * x - cosine * y + (sine + cosine) / 2
    maps = np.stack([cosine, -sine, c, sine, cosine, f], axis=1)
    return np.floor(maps * (1 << FIXED) + 0.5).astype(np.int32)


def source_pixels(draws: Draws, index: Tensor, size: tuple[int, int], pad: int, black: int) -> Tensor:
    """(m, height, width) flat indices into the stored pixels; `black` where the source lies outside."""
    height, width = size
    row = torch.arange(height, dtype=torch.int32, device=index.device)[:, None]
    column = torch.arange(width, dtype=torch.int32, device=index.device)
    inside: Tensor | None = None
    if draws.rotation is not None:
        a, b, c, d, e, f = (part[:, None, None] for part in draws.rotation.unbind(1))
        column, row = (a * column + b * row + c) >> FIXED, (d * column + e * row + f) >> FIXED
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    if draws.flip is not None:
        column = torch.where(draws.flip[:, None, None], width - 1 - column, column)
    if draws.crop is not None:
        row = row + (draws.crop[:, 0, None, None] - pad)
        column = column + (draws.crop[:, 1, None, None] - pad)
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        inside = within if inside is None else inside & within
    source = index[:, None, None] * (height * width) + (row * width + column)
    return source if inside is None else torch.where(inside, source, black)


def standardize_each(x: Tensor) -> Tensor:
    """Each image of (m, ...) to zero mean and unit variance, see `Preprocessing.standardize`."""
    dims = tuple(range(1, x.ndim))
    variance, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    return (x - mean) / variance.sqrt().clamp_min(1 / math.sqrt(x[0].numel()))
