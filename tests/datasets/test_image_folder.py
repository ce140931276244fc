"""A folder of images of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batchlab.datasets.sets import image_folder as module
from batchlab.datasets.sets.image_folder import image_folder

RNG = np.random.default_rng(0)


def picture(path: Path, shape: tuple[int, ...] = (6, 5), value: int | None = None) -> np.ndarray:
    """A picture without loss, put there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = RNG.integers(0, 256, shape, np.uint8) if value is None else np.full(shape, value, np.uint8)
    Image.fromarray(array).save(path)
    return array


@pytest.fixture(autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual data root."""
    folder = tmp_path_factory.mktemp("kept")
    monkeypatch.setenv("BATCHLAB_DATA", str(folder))
    return folder


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Three classes of ten gray pictures; class k has the values 10 k + i."""
    for label in range(3):
        for i in range(10):
            picture(tmp_path / "digits" / str(label) / f"{i}.png", value=10 * label + i)
    return tmp_path


def test_classes_are_folders_and_images_are_in_order(digits: Path) -> None:
    dataset = image_folder("digits", digits, test=0)
    assert (dataset.name, dataset.n, dataset.shape, dataset.classes) == ("digits", 30, (1, 6, 5), 3)
    assert dataset.x_train[:, 0, 0, 0].tolist() == list(range(30))
    assert dataset.y_train.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert dataset.preprocessing.white == 255
    assert dataset.notes == (
        "digits: 30 images for training, 0 for testing, 1 x 6 x 5, 3 classes: 0, 1, 2; 0.0 MB in memory",
    )


def test_a_share_is_for_testing(digits: Path) -> None:
    dataset = image_folder("digits", digits)
    assert np.bincount(dataset.y_test).tolist() == [2, 2, 2]
    assert sorted([*dataset.x_train[:, 0, 0, 0], *dataset.x_test[:, 0, 0, 0]]) == list(range(30))
    assert (image_folder("digits", digits, test_seed=1).x_test != dataset.x_test).any()


def test_folders_for_training_and_testing(tmp_path: Path) -> None:
    for split, n in (("train", 4), ("test", 2)):
        for label in ("cat", "dog"):
            for i in range(n):
                picture(tmp_path / split / label / "deeper" / f"{i}.png", value=i)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "train" / "cat" / "Thumbs.db").touch()
    dataset = image_folder(str(tmp_path))
    assert (dataset.n, dataset.y_test.tolist()) == (8, [0, 0, 1, 1])
    (tmp_path / "test").rename(tmp_path.parent / "aside")
    assert image_folder(str(tmp_path)).n == 6, "train alone: a share of it is for testing"


def test_colour(tmp_path: Path) -> None:
    gray, colour = picture(tmp_path / "a" / "1.png"), picture(tmp_path / "b" / "1.png", (6, 5, 3))
    dataset = image_folder(str(tmp_path), test=0)
    np.testing.assert_array_equal(dataset.x_train, [np.repeat(gray[..., None], 3, 2), colour])
    luma = image_folder(str(tmp_path), test=0, grayscale=True).x_train
    np.testing.assert_array_equal(luma[0, ..., 0], gray)
    assert np.abs(luma[1, ..., 0] - colour @ [0.299, 0.587, 0.114]).max() <= 1
    picture(tmp_path / "b" / "1.png")
    assert image_folder(str(tmp_path), test=0).shape == (1, 6, 5)
    assert image_folder(str(tmp_path), test=0, grayscale=False).shape == (3, 6, 5)


def test_transparency_palettes_and_turned_cameras(tmp_path: Path) -> None:
    array = picture(tmp_path / "a" / "1.png", (4, 6, 4))
    turned = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4))
    (tmp_path / "b").mkdir()
    exif = turned.getexif()
    exif[0x0112] = 8  # a quarter turn is needed to see it upright
    turned.save(tmp_path / "b" / "1.png", exif=exif)
    x = image_folder(str(tmp_path), test=0).x_train
    np.testing.assert_array_equal(x[0], array[..., :3])
    np.testing.assert_array_equal(x[1, ..., 0], np.rot90(np.arange(24).reshape(6, 4)))


def test_sizes(digits: Path) -> None:
    picture(digits / "digits" / "1" / "3.png", (8, 9), value=13)
    with pytest.raises(ValueError, match=r"0/0.png has 6 x 5 pixels, 1/3.png 8 x 9: dataset.size=\[6,5\] makes"):
        image_folder("digits", digits)
    dataset = image_folder("digits", digits, size=[4, 3], test=0)
    assert dataset.shape == (1, 4, 3)
    assert dataset.x_train[:, 0, 0, 0].tolist() == list(range(30))


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: [file.unlink() for file in (folder / name).iterdir()]


def write(name: str, content: bytes = b"no image") -> Callable[[Path], object]:
    def there(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return there


def deep(folder: Path) -> None:
    Image.fromarray(np.zeros((6, 5), np.uint16)).save(folder / "1" / "3.png")


def split(folder: Path) -> None:
    for name in ("train/0", "train/1", "test/0", "test/2"):
        picture(folder / name / "1.png")
    for name in ("0", "1", "2"):
        [file.unlink() for file in (folder / name).iterdir()]
        (folder / name).rmdir()


def parted(*splits: str) -> Callable[[Path], object]:
    """The images in folders of splits instead, and there of classes."""

    def there(folder: Path) -> None:
        shutil.rmtree(folder)
        for name in splits:
            for label in ("0", "1"):
                picture(folder / name / label / "1.png")

    return there


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no image": (write("1/a.txt"), r"1/a.txt is no image that Pillow reads, or damaged .*: remove or mend it"),
    "cut": (write("1/a.png", b"\x89PNG\r\n\x1a\n" + bytes(9)), "1/a.png is no image that Pillow reads"),
    "empty": (remove("1"), "digits/1 has no images: remove it, or put some there"),
    "loose": (write("a.png"), "digits/a.png stands beside the classes' folders"),
    "deep": (deep, "1/3.png has more than 8 bits a pixel .*mode I;16"),
    "other classes": (split, "digits/test/2 is no class of the training split; it has 0, 1"),
    "shouted": (parted("TRAIN", "VAL"), "digits has a folder TRAIN and none that is called test"),
    "dev": (parted("train", "dev"), "digits has a folder train and none that is called test"),
    "unknown splits": (parted("part1", "part2"), "digits: part1 and part2 hold the same folders, 0, 1, and no images"),
    "one more": (lambda folder: (split(folder), (folder / "val").mkdir()), "digits has val beside train and test"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_folder_of_images_is_refused(fault: str, digits: Path) -> None:
    change, message = FAULTS[fault]
    change(digits / "digits")
    with pytest.raises(ValueError, match=message) as caught:
        image_folder("digits", digits)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [3, [3], [3, 0], "ab", [3, 4.5]])
def test_a_size_is_two_numbers(size: object, digits: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset\.size=.*: \[height, width\]"):
        image_folder("digits", digits, size=size)  # type: ignore[arg-type]


def test_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^no folder {tmp_path}/photos; put it there"):
        image_folder("photos", tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="photos has 0 folders where one for each class is needed"):
        image_folder("photos", tmp_path)


def test_nothing_is_kept_among_the_classes(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHLAB_DATA", str(digits / "digits"))
    for _ in range(2):
        assert image_folder(".", digits / "digits").classes == 3


def test_decoded_images_are_kept_while_the_files_are_the_same(
    digits: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = image_folder("digits", digits)
    assert len([*(kept / "parsed").iterdir()]) == 1
    decoded: list[Path] = []
    read = module._image
    monkeypatch.setattr(module, "_image", lambda file, *rest: (decoded.append(file), read(file, *rest))[1])
    again = image_folder("digits", digits, pad=1, test_seed=1)
    assert not decoded
    np.testing.assert_array_equal(again.x_train[0], first.x_train[0])
    image_folder("digits", digits, grayscale=False)
    assert len(decoded) == 30
    picture(digits / "digits" / "0" / "0.png", value=99)
    assert image_folder("digits", digits, test=0).x_train[0, 0, 0, 0] == 99


@pytest.mark.parametrize("splits", [("Train", "Test"), ("training", "testing"), ("TRAIN", "test")])
def test_folders_of_splits_go_by_any_case(splits: tuple[str, str], digits: Path) -> None:
    parted(*splits)(digits / "digits")
    dataset = image_folder("digits", digits)
    assert (dataset.classes, dataset.n, len(dataset.y_test)) == (2, 2, 2)


def test_images_may_stand_in_a_folder_of_each_class(digits: Path) -> None:
    for name in ("0", "1"):
        picture(digits / "deeper" / name / "images" / "1.png")
    assert image_folder("deeper", digits, test=0).classes == 2


def test_a_mean_of_bytes_is_refused(digits: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset.mean=\[127.0\] is of values in \[0, 1\].*dataset.mean=\[0.498\]"):
        image_folder("digits", digits, mean=[127], std=[64])
