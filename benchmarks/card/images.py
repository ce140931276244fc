"""The images that all parts share: real ones where there are some, else random bytes. Torch is not imported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 512
EPOCH = 98 * BATCH
"""Images of an epoch of part (a): CIFAR-10's 50,000 in whole batches, for a smaller last one would be compiled anew."""
MEAN, STD = (0.4914, 0.4822, 0.4467), (0.2471, 0.2435, 0.2616)


def prepare(work: Path, images: Path | None, *, smoke: bool) -> str:
    """Write work/images.npz and work/epoch.npz (its training images repeated to whole batches); says what they are."""
    arrays, said = read(images, smoke=smoke)
    n, size = len(arrays["y_train"]), 64 if smoke else EPOCH
    np.savez(work / "images.npz", **arrays)
    index = np.arange(size) % n
    few = {f"{key}_test": arrays[f"{key}_test"][: 64 if smoke else 2048] for key in "xy"}
    np.savez(work / "epoch.npz", x_train=arrays["x_train"][index], y_train=arrays["y_train"][index], **few)
    (work / "images.json").write_text(json.dumps({"said": said, "real": not said.startswith("random"), "n": n}))
    return f"images: {said}"


def read(images: Path | None, *, smoke: bool) -> tuple[dict[str, Any], str]:
    """Arrays, and what they are in words."""
    usual = Path(os.environ.get("BATCHLAB_DATA", "~/.cache/batchlab")).expanduser() / "cifar10.npz"
    file = images or (usual if usual.exists() else None)
    if file is None or smoke:
        rng = np.random.default_rng(0)
        sizes = {"train": 192, "test": 64} if smoke else {"train": 20_000, "test": 2_048}
        arrays: dict[str, Any] = {}
        for split, n in sizes.items():
            arrays[f"x_{split}"] = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
            arrays[f"y_{split}"] = rng.integers(0, 10, n)
        return arrays, f"random bytes, {sizes['train']:,} training images"
    with np.load(file) as content:
        arrays = {key: content[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    return arrays, f"CIFAR-10, {len(arrays['y_train']):,} training and {len(arrays['y_test']):,} test images"
