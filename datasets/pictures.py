"""Pictures as Pillow opens them, as one array of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = (1, 2, 3, 4)
"""How many an image may have: whoever has so many first and not last has them first."""
GRAY = ("1", "L", "LA")
"""Pillow's modes of pictures without colour."""
DEEP = ("I", "F")
"""What its modes of more than 8 bits a pixel begin with."""


def check_size(size: Any) -> tuple[int, int] | None:
    """`dataset.size` as (height, width), or None.

    Raises:
        ValueError: it is neither.
    """
    if size is None:
        return None
    if (
        isinstance(size, str)
        or not isinstance(size, Sequence)
        or len(size) != 2
        or not all(type(side) is int and side > 0 for side in size)
    ):
        raise ValueError(f"dataset.size={size}: [height, width] in pixels, or null where all images are of one size")
    return size[0], size[1]


def pixels(picture: Image, where: str, size: tuple[int, int] | None, grayscale: bool | None) -> NDArray[np.uint8]:
    """A picture as (H, W, 1) where it is, or is to be, without colour, and as (H, W, 3) where not.

    It is turned as its EXIF data say; transparency is dropped.

    Args:
        picture: open.
        where: what it is called, in messages.
        size: (height, width) that it is resized to, bilinear over all pixels that a new one covers; None leaves it.
        grayscale: True takes the colour away (ITU-R 601 luma), False makes three channels of one, None leaves it.

    Raises:
        ValueError: it has more than 8 bits a pixel.
    """
    from PIL import Image, ImageOps

    if picture.mode.startswith(DEEP):
        raise ValueError(f"{where} has more than 8 bits a pixel (Pillow's mode {picture.mode}): save it with 8")
    gray = picture.mode in GRAY if grayscale is None else grayscale
    made = ImageOps.exif_transpose(picture).convert("L" if gray else "RGB")
    if size is not None:
        made = made.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(made, np.uint8)
    return array[..., None] if gray else array


def stacked(images: Sequence[NDArray[Any]], names: Sequence[str]) -> NDArray[Any]:
    """(N, H, W, C): with three channels as soon as one image has colour.

    Raises:
        ValueError: images of different sizes, naming two.
    """
    for image, name in zip(images, names, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            (h, w), (height, width) = images[0].shape[:2], image.shape[:2]
            raise ValueError(
                f"{names[0]} has {h} x {w} pixels, {name} {height} x {width}: dataset.size=[{h},{w}] makes all alike"
            )
    channels = max(image.shape[2] for image in images)
    made = np.empty((len(images), *images[0].shape[:2], channels), images[0].dtype)
    for place, image in enumerate(images):
        made[place] = image  # one channel is repeated
    return made


def described(name: str, x_train: NDArray[Any], x_test: NDArray[Any], classes: str) -> str:
    """What a reader says of images in memory, in a line."""
    n, height, width, channels = x_train.shape
    size = (x_train.nbytes + x_test.nbytes) / 1e6
    return (
        f"{name}: {n:,} images for training, {len(x_test):,} for testing, {channels} x {height} x {width}, {classes}; "
        f"{size:,.1f} MB in memory"
    )
