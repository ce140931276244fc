"""The reader of a user's own folder of images, one subfolder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import Dataset, Preprocessing
from batchlab.datasets.files import Arrays, data_root, first_line, own_path
from batchlab.datasets.parsed import parsed
from batchlab.datasets.pictures import check_size, described, pixels, stacked
from batchlab.datasets.sets.npz import Keys
from batchlab.datasets.shares import apart

FOLDER = True
"""`path` is a folder, whose files are all part of a run."""
SPLITS = ({"train", "training"}, {"test", "testing"}, {"val", "valid", "validation", "dev"})
"""What folders of splits are called, in any case."""
LEFT_BY_OTHERS = ("Thumbs.db", "desktop.ini")
"""Files that nobody put there; neither did anybody those whose names begin with a dot."""


def image_folder(
    path: str,
    root: str | Path | None = None,
    size: Sequence[int] | None = None,
    grayscale: bool | None = None,
    test: float = 0.2,
    test_seed: int = 0,
    **keys: Unpack[Keys],
) -> Dataset:
    """Images that Pillow reads, in DIR/CLASS/..., or in DIR/train/CLASS/... and DIR/test/CLASS/...

    Classes are numbered in the sorted order of their names; images are in the sorted order of their paths. Decoded they
    are kept in the usual data root, see `parsed`.

    Args:
        path: the folder, relative to the data root or absolute.
        root: the data root; `None` for the usual one.
        size: [height, width] that images are resized to, without regard to their proportions; `None` leaves them.
        grayscale: one channel (true) or three (false); `None` is one where no image has colour.
        test: the share of the images for testing, of each class alike, where there is no folder `test`.
        test_seed: chooses other images.
        **keys: preprocessing.

    Raises:
        ValueError: a file that is no image, a class without images, images of different sizes without `size`.
    """
    folder = own_path(path, root, "path", folder=True)
    wanted = check_size(size)
    train, other = _splits(folder)
    classes = _classes(train)
    files = [_files(train, classes), [] if other is None else _files(other, classes)]
    every = [file for part in files for file, _ in part]

    def decoded() -> Arrays:
        names = [str(file.relative_to(folder)) for file in every]
        return {"x": stacked([_image(file, wanted, grayscale) for file in every], names)}

    kept = data_root().absolute()  # not `root`, which may be any folder of the user's
    within = kept.is_relative_to(folder)  # there it would be a class
    x = (decoded() if within else parsed(kept, folder.name, every, (wanted, grayscale), ("x",), decoded))["x"]
    y = np.array([label for part in files for _, label in part], np.int64)
    for_test = apart(y, test, test_seed) if other is None else np.arange(len(y)) >= len(files[0])
    x_train, x_test = x[~for_test], x[for_test]
    shown = f"{len(classes)} classes: {', '.join(classes[:4])}{', ...' if len(classes) > 4 else ''}"
    return Dataset(
        folder.name,
        x_train,
        y[~for_test],
        x_test,
        y[for_test],
        len(classes),
        Preprocessing(255.0, **keys),
        notes=(described(folder.name, x_train, x_test, shown),),
    )


def _splits(folder: Path) -> tuple[Path, Path | None]:
    """The folder with the classes for training, and the one for testing where there is one."""
    inner = {place.name for place in _inside(folder)}
    train, test, validation = (
        next((name for name in sorted(inner) if name.casefold() in names), None) for names in SPLITS
    )
    if train is None:
        return folder, None
    if test is None:
        if validation is not None:
            raise ValueError(
                f"{folder} has a folder {train} and none that is called test: rename the one to test on, or set "
                f"dataset.path to {train} alone, of which dataset.test=0.2 takes a share"
            )
        return (folder / train, None) if inner == {train} else (folder, None)
    others = sorted(inner - {train, test})
    if others:
        raise ValueError(
            f"{folder} has {others[0]} beside {train} and {test}: move it elsewhere (dataset.validation=0.1 takes a "
            f"share of {train})"
        )
    return folder / train, folder / test


def _classes(folder: Path) -> list[str]:
    loose = [place for place in _inside(folder) if not place.is_dir()]
    classes = [place.name for place in _inside(folder) if place.is_dir()]
    if len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(classes)} folders where one for each class is needed, with its images in it"
        )
    within = [{place.name if place.is_dir() else "" for place in _inside(folder / name)} for name in classes]
    if not loose and all(names == within[0] and len(names) > 1 and "" not in names for names in within):
        shown = ", ".join(sorted(within[0])[:4])
        raise ValueError(
            f"{folder}: {' and '.join(classes[:2])} hold the same folders, {shown}, and no images: if these are the "
            "classes, call those above them train and test"
        )
    if loose:
        raise ValueError(f"{loose[0]} stands beside the classes' folders: move it into one, or elsewhere")
    return classes


def _files(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Images and their labels, class by class."""
    there = {place.name for place in _inside(folder)}
    unknown = sorted(there - {*classes})
    if unknown:
        raise ValueError(f"{folder / unknown[0]} is no class of the training split; it has {', '.join(classes[:9])}")
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        files = [file for file in sorted((folder / name).rglob("*")) if file.is_file() and not _passed_over(file)]
        if not files and name in there:
            raise ValueError(f"{folder / name} has no images: remove it, or put some there")
        found += [(file, label) for file in files]
    return found


def _inside(folder: Path) -> list[Path]:
    return [place for place in sorted(folder.iterdir()) if not _passed_over(place)]


def _passed_over(place: Path) -> bool:
    return place.name.startswith(".") or place.name in LEFT_BY_OTHERS


def _image(file: Path, size: tuple[int, int] | None, grayscale: bool | None) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.load()
            return pixels(picture, str(file), size, grayscale)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:  # Pillow's, for damaged files
        raise ValueError(
            f"{file} is no image that Pillow reads, or damaged ({first_line(error)}): remove or mend it"
        ) from error
