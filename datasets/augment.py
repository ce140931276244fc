"""Augmentation as one gather: where, in the stored images, each pixel of each augmented image comes from.

Crop, flip and rotation only move pixels. Together they are, for each sample, an affine map from output to source
pixels and a rectangle outside of which all is black: ten integers. They are drawn on the CPU for a whole epoch,
one row per place in it, and applied in integer arithmetic. So the pixels are the same on every device, and
however the epoch is cut into batches.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from batchlab.datasets.dataset import Preprocessing

ORDER, CROP, FLIP, ROTATE = range(4)
FIXED = 16  # fractional bits of the maps: as many as Pillow has, so that our pixels are Pillow's
MAPPED = 10


def rng(seed: int, stream: int, epoch: int, purpose: int) -> np.random.Generator:
    """An independent generator for each purpose: switching the flips off must not move the crops."""
    return np.random.default_rng((seed, stream, epoch, purpose))


def draw_maps(
    pre: Preprocessing, shape: tuple[int, ...], n: int, seed: int, stream: int, epoch: int
) -> NDArray[np.int32] | None:
    """(n, 10) int32 maps for the places of an epoch of images; `None` without augmentation.

    A row (a, b, c, d, e, f, left, right, top, bottom) takes the output pixel in column j of row i from the source
    pixel in column u = (a j + b i + c) >> 16 of row v = (d j + e i + f) >> 16 if left <= u < right and
    top <= v < bottom. Cropped first, flipped next, rotated last; inverted in the opposite order.

    Args:
        pre: what to do.
        shape: (C, H, W) of an image.
        n: places in the epoch.
        seed: of the run.
        stream: which of the streams with that seed.
        epoch: whole epochs done.
    """
    if not pre.augments:
        return None
    _, height, width = shape
    degrees: NDArray[np.float64] = np.zeros(n)
    if pre.rotate:
        degrees = rng(seed, stream, epoch, ROTATE).uniform(-pre.rotate, pre.rotate, n)
    maps = np.zeros((n, MAPPED), np.int64)
    maps[:, :6] = rotations(degrees, height, width)
    if pre.flip:
        mirrored = rng(seed, stream, epoch, FLIP).random(n) < 0.5
        maps[mirrored, :3] *= -1
        maps[mirrored, 2] += (width << FIXED) - 1  # u becomes width - 1 - u, also after the shift rounds down
    if pre.pad:
        down, right = rng(seed, stream, epoch, CROP).integers(-pre.pad, pre.pad + 1, (2, n))
        maps[:, 2] += right << FIXED
        maps[:, 5] += down << FIXED
        maps[:, 6], maps[:, 7] = np.maximum(0, right), np.minimum(width, width + right)
        maps[:, 8], maps[:, 9] = np.maximum(0, down), np.minimum(height, height + down)
    else:
        maps[:, 7], maps[:, 9] = width, height
    return maps.astype(np.int32)


def rotations(degrees: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """(m, 6) inverse maps of counter-clockwise rotations about the centre of the image.

    A pixel's centre is half a pixel from its corner; c and f contain that half, so the device need not add it.

    Args:
        degrees: (m,) angles.
        height: of an image, pixels.
        width: of an image, pixels.
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = width / 2 - 0.5, height / 2 - 0.5
    c = width / 2 - cosine * x + sine * y
    f = height / 2 - sine * x - cosine * y
    maps = np.stack([cosine, -sine, c, sine, cosine, f], axis=1)
    fixed: NDArray[np.int64] = np.floor(maps * (1 << FIXED) + 0.5).astype(np.int64)
    return fixed


def source_pixels(maps: Tensor, index: Tensor, height: int, width: int, rotated: bool) -> Tensor:
    """(m, height, width) places of the sources among the stored pixels of all images, which begin with a black one.

    Args:
        maps: (m, 10) int32.
        index: (m,) which image each sample is; int32 if the places fit, else int64.
        height: of an image, pixels.
        width: of an image, pixels.
        rotated: whether any b or d differs from 0. If not, rows and columns are found separately.
    """
    j = torch.arange(width, dtype=torch.int32, device=index.device)
    i = torch.arange(height, dtype=torch.int32, device=index.device)[:, None]
    a, b, c, d, e, f, left, right, top, bottom = maps.view(-1, MAPPED, 1, 1).unbind(1)
    u, v = a * j + c, e * i + f
    if rotated:
        u, v = u + b * i, v + d * j
    u.bitwise_right_shift_(FIXED)
    v.bitwise_right_shift_(FIXED)
    first = (index * (height * width) + 1)[:, None, None]
    outside = -(1 << 30) if index.dtype == torch.int32 else -(1 << 62)
    column = torch.where((u >= left) & (u < right), u.to(index.dtype), outside)
    row = torch.where((v >= top) & (v < bottom), v * width + first, outside)
    return (row + column).clamp_(min=0)


def standardize_each_(x: Tensor) -> None:
    """In place, each image of x, (m, C, H, W), to zero mean and unit variance, see `Preprocessing.standardize`.

    In float64 the sums over whole numbers are exact: no grouping of the samples can change the last bit.
    """
    exact = x.flatten(1).double()
    count = exact.shape[1]
    mean = exact.mean(1)
    deviation = (torch.linalg.vector_norm(exact, dim=1).square() / count - mean.square()).clamp_(min=0).sqrt_()
    scale = deviation.clamp_(min=count**-0.5).reciprocal_()
    x.sub_(mean.to(x.dtype).view(-1, 1, 1, 1)).mul_(scale.to(x.dtype).view(-1, 1, 1, 1))
