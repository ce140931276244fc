"""Augmentation against one image at a time: Pillow's pixels, NumPy's arithmetic."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as pillow

from batchlab.datasets import Batches, Dataset, Preprocessing, resident
from batchlab.datasets.augment import CROP, FLIP, ORDER, ROTATE, draw_maps, rng

N = 60


def images(height, width, channels, low=1):
    return np.random.default_rng(1).integers(low, 256, (N, height, width, channels), dtype=np.uint8)


def epoch(x, seed=3, dtype=torch.float32, **preprocessing):
    dataset = Dataset("x", x, np.zeros(N, np.int64), x[:1], np.zeros(1, np.int64), 1, Preprocessing(**preprocessing))
    [(batch, _)] = Batches(dataset, seed=seed, device="cpu", dtype=dtype).take(N).micro
    return batch.permute(0, 2, 3, 1).numpy()


def one_by_one(x, seed=3, pad=0, flip=False, rotate=0.0):
    """The same random numbers, given to Pillow image by image."""
    height, width = x.shape[1:3]
    order = rng(seed, 0, 0, ORDER).permutation(N)
    mirrored = rng(seed, 0, 0, FLIP).random(N) < 0.5
    degrees = rng(seed, 0, 0, ROTATE).uniform(-rotate, rotate, N)
    down, right = rng(seed, 0, 0, CROP).integers(-pad, pad + 1, (2, N)) if pad else np.zeros((2, N), int)
    out = []
    for k in range(N):
        picture = Image.fromarray(x[order[k]].squeeze())
        picture = pillow.crop(pillow.pad(picture, pad), pad + down[k], pad + right[k], height, width)
        if flip and mirrored[k]:
            picture = pillow.hflip(picture)
        if rotate:
            picture = pillow.rotate(picture, degrees[k])
        out.append(np.asarray(picture).reshape(x.shape[1:]))
    return np.stack(out)


@pytest.mark.parametrize(
    "options",
    [
        {"pad": 4},
        {"flip": True},
        {"rotate": 15.0},
        {"rotate": 180.0},
        {"pad": 1, "flip": True},
        {"pad": 4, "flip": True, "rotate": 15.0},
        {"pad": 10**9, "flip": True, "rotate": 90.0},  # the whole image, as much as there can be
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (9, 14, 3), (28, 28, 1), (7, 5, 4)], ids=str)
def test_pixels_are_pillows(shape, options):
    x = images(*shape)
    if "pad" in options:
        options = options | {"pad": min(options["pad"], *shape[:2])}
    got, expected = epoch(x, **options), one_by_one(x, **options)
    np.testing.assert_array_equal(got, expected)
    assert (got != epoch(x)).any()


def test_two_channels_and_floats():
    x = images(6, 7, 2)
    options = {"pad": 2, "flip": True, "rotate": 30.0}
    expected = np.stack([one_by_one(x[..., c : c + 1], **options)[..., 0] for c in range(2)], -1)
    np.testing.assert_array_equal(epoch(x, **options), expected)
    np.testing.assert_array_equal(epoch(x.astype(np.float32) / 2, **options), expected.astype(np.float32) / 2)


def test_sets_too_large_for_32_bit_places(monkeypatch):
    x = images(9, 9, 3)
    monkeypatch.setattr(resident, "INT32_PIXELS", 0)
    options = {"pad": 3, "flip": True, "rotate": 15.0}
    np.testing.assert_array_equal(epoch(x, **options), one_by_one(x, **options))


def test_groups_in_cache_do_not_change_the_last_bit(monkeypatch):
    x = images(8, 8, 3, low=0)
    options = {"pad": 2, "flip": True, "rotate": 15.0, "standardize": True}
    whole = epoch(x, **options)
    monkeypatch.setattr(resident, "CACHED_BYTES", 1)
    np.testing.assert_array_equal(epoch(x, **options), whole)


def test_mean_and_std_per_channel():
    x = images(5, 5, 3)
    mean, std = [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]
    expected = (one_by_one(x, pad=1) / 255.0 - mean) / std
    np.testing.assert_allclose(epoch(x, white=255.0, mean=mean, std=std, pad=1), expected, rtol=2e-6, atol=2e-6)
    exact = epoch(x, white=255.0, mean=mean, std=std, pad=1, dtype=torch.float64)
    np.testing.assert_allclose(exact, expected, rtol=1e-14, atol=1e-14)


def test_standardize_each_image_after_augmentation():
    x = images(6, 6, 3)
    x[:10] = 77  # flat images: the bound on the deviation keeps them finite
    plain = one_by_one(x, pad=2, flip=True).astype(np.float64)
    mean, deviation = plain.mean((1, 2, 3), keepdims=True), plain.std((1, 2, 3), keepdims=True)
    expected = (plain - mean) / np.maximum(deviation, 1 / np.sqrt(6 * 6 * 3))
    np.testing.assert_allclose(epoch(x, pad=2, flip=True, standardize=True), expected, rtol=1e-5, atol=1e-5)


def test_standardize_replaces_mean_and_std():
    x = images(6, 6, 3)
    np.testing.assert_array_equal(
        epoch(x, standardize=True), epoch(x, standardize=True, white=255.0, mean=[0.2], std=[0.3])
    )


def test_each_transformation_draws_for_itself():
    """Crops stay where they are when flips are switched on: a comparison changes one thing."""
    x = images(8, 8, 1)
    crops, both = epoch(x, pad=3), epoch(x, pad=3, flip=True)
    mirrored = rng(3, 0, 0, FLIP).random(N) < 0.5
    np.testing.assert_array_equal(both[~mirrored], crops[~mirrored])
    np.testing.assert_array_equal(both[mirrored], crops[mirrored][:, :, ::-1])


def test_flipping_after_rounding_down():
    """Mirrored is width - 1 - u exactly, also where a rotation ends between two pixels."""
    height, width, n = 32, 30, 2000
    plain, flipped = (
        draw_maps(Preprocessing(rotate=45.0, flip=flip), (1, height, width), n, 0, 0, 0) for flip in (False, True)
    )
    mirrored = rng(0, 0, 0, FLIP).random(n) < 0.5
    row, column = np.mgrid[:height, :width]
    u, flipped_u = (
        np.einsum("nk,khw->nhw", maps[:, :3].astype(np.int64), np.stack([column, row, np.ones_like(row)]))
        for maps in (plain, flipped)
    )
    assert (u % (1 << 16) == 0).any()
    np.testing.assert_array_equal(flipped_u[mirrored] >> 16, width - 1 - (u[mirrored] >> 16))
    np.testing.assert_array_equal(flipped_u[~mirrored], u[~mirrored])


def test_all_offsets_and_both_sides_are_equally_likely():
    n = 90_000
    offsets = rng(0, 0, 0, CROP).integers(-4, 5, (2, n))
    counts = np.histogram2d(*offsets, bins=9)[0]
    expected = n / 81
    assert ((counts - expected) ** 2 / expected).sum() < 130  # chi-squared, 80 degrees of freedom: p about 4e-4
    assert abs((rng(0, 0, 0, FLIP).random(n) < 0.5).mean() - 0.5) < 4 * 0.5 / n**0.5
