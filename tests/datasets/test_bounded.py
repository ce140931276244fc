"""A data file is only data: nothing is unpickled, nothing is larger than memory, archives hold plain files."""

from __future__ import annotations

import io
import re
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchlab.datasets import Dataset, available, memory, with_validation
from batchlab.datasets.files import KEYS, read_npz, write_npz
from batchlab.datasets.originals import unpack
from batchlab.datasets.sets.libsvm import libsvm
from batchlab.datasets.sets.npz import npz

GOOD = {
    "x_train": np.ones((6, 3), np.float32),
    "y_train": np.arange(6) % 2,
    "x_test": np.ones((2, 3), np.float32),
    "y_test": np.arange(2),
}


def put(folder: Path, name: str = "mine", **arrays: Any) -> Path:
    path = folder / f"{name}.npz"
    np.savez(path, **(GOOD | arrays))
    return path


class Evil:
    """What unpickling it would run."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("unpickled"),)


def test_pickles_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for key in KEYS:
        path = put(tmp_path, **{key: np.array([Evil()] * 6, object)})
        with pytest.raises(ValueError, match=rf"mine\.npz is damaged or .*{key} holds objects"):
            read_npz(path)
    assert not Path("unpickled").exists()


def claiming(path: Path, shape: str, data: bytes = b"") -> Path:
    """An archive whose x_train has a header of this shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
        for key in KEYS[1:]:
            file = io.BytesIO()
            np.save(file, GOOD[key])
            archive.writestr(f"{key}.npy", file.getvalue())
    return path


def test_a_header_that_promises_more_than_is_there_is_not_believed(tmp_path: Path) -> None:
    path = claiming(tmp_path / "mine.npz", "(1000000000000, 3)")
    with pytest.raises(ValueError, match=r"promises 24,000,000,000,000 bytes, and \d+ are there"):
        read_npz(path)


def test_a_zip_bomb_is_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = claiming(tmp_path / "mine.npz", "(100000, 10)", bytes(8_000_000))
    assert path.stat().st_size < 100_000
    assert read_npz(path)["x_train"].shape == (100_000, 10)
    monkeypatch.setattr(memory, "at_hand", lambda: 4_000_000)
    with pytest.raises(ValueError, match=r"mine\.npz unpacked takes 0\.008 GB of memory, and here are 0\.004 GB"):
        read_npz(path)


@pytest.mark.parametrize("name", ["scalar", "vector", "no arrays", "objects"])
def test_whatever_lies_in_the_data_root_is_no_end_of_its_list(name: str, tmp_path: Path) -> None:
    put(tmp_path, "good")
    odd: dict[str, Any] = {
        "scalar": {"x_train": np.array(3.0)},
        "vector": {"x_train": np.ones(3)},
        "objects": {"y_train": np.array([None])},
    }.get(name, {})
    if name == "no arrays":
        np.savez(tmp_path / "odd.npz", other=np.array(3))
    else:
        put(tmp_path, "odd", **odd)
    listed = [entry.name for entry in available(tmp_path)]
    assert "good" in listed
    assert "odd" not in listed


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("y_train", [0, 1, np.nan, 1, 0, 1], "NaN or infinite targets"),
        ("y_train", [0, 1, np.inf, 1, 0, 1], "NaN or infinite targets"),
        ("y_train", [np.nan] * 6, "NaN or infinite targets"),
        ("x_train", np.full((6, 3), np.nan), "NaN or infinite values"),
        ("y_train", [0, 1, 10**9, 1, 0, 1], "labels go up to 1000000000 over 8 samples"),
        ("y_train", [0, 1, -1, 1, 0, 1], "labels -1 to 1; expected 0 to 1"),
        ("y_train", ["a"] * 6, "y_train has type <U1: number the classes"),
        ("y_train", np.array(1), "y_train has shape"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_targets_that_are_none_are_named(key: str, value: Any, says: str, tmp_path: Path) -> None:
    arrays = {key: np.array(value)}
    if np.array(value).dtype.kind == "f" and key == "y_train":
        arrays["y_test"] = np.zeros(2)
    with pytest.raises(ValueError, match=re.escape(says)):
        npz(str(put(tmp_path, **arrays)))


def test_a_label_of_a_billion_takes_no_memory_in_a_split() -> None:
    """numpy's bincount would make a counter for each label up to it: 8 GB, twice."""
    x, y = np.ones((40, 2)), np.repeat([0, 10**9], 20)
    tracemalloc.start()
    made = with_validation(Dataset("mine", x, y, x, y, 10**9 + 1), 0.25)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.y_validation is not None
    assert sorted(made.y_validation.tolist()) == [0] * 5 + [10**9] * 5
    assert peak < 10**7
    with pytest.raises(ValueError, match="leaves class 1000000000, of 2 samples"):
        with_validation(Dataset("mine", x[:22], y[:22], x, y, 10**9 + 1), 0.1)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (2_000_000_000, "highest index is 2,000,000,000 and it has 4 values in all: mend it, or set dataset.features="),
        (2_000_000, "highest index is 2,000,000 and it has 4 values"),
        (10**12, "damaged|highest index"),
    ],
)
def test_a_mistyped_index_is_named(index: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(f"1 1:0.5 2:1\n-1 1:1 {index}:1\n")
    with pytest.raises(ValueError, match=rf"mine\.txt.*({says})"):
        libsvm("mine.txt", root=tmp_path)


def test_as_many_features_as_memory_holds_vectors_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("1 1:0.5 2:1\n-1 1:1\n")
    assert libsvm("mine.txt", root=tmp_path, features=5_000_000).x_train.shape == (2, 5_000_000)
    monkeypatch.setattr(memory, "at_hand", lambda: 10**8)
    with pytest.raises(ValueError, match=r"a few vectors of 5,000,000 features take 0\.32 GB of memory"):
        libsvm("mine.txt", root=tmp_path, features=5_000_000)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("/outside"),
        member("a/../../outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.SYMTYPE, "good"),
        member("link", tarfile.LNKTYPE, "good"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=lambda bad: f"{bad.name} {bad.type!r}",
)
def test_archives_hold_plain_files_below_them(bad: tarfile.TarInfo, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.addfile(member("good", size=1), io.BytesIO(b"a"))
        archive.addfile(bad)
    with pytest.raises(OSError, match=r"set\.tar\.gz: .* is no plain file below it"):
        unpack(tmp_path / "set.tar.gz", tmp_path / "inner")
    assert {path.name for path in tmp_path.rglob("*")} == {"inner", "set.tar.gz", "good"}


def test_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.addfile(member("zeros", size=10_000), io.BytesIO(bytes(10_000)))
    unpack(tmp_path / "set.tar.gz", tmp_path)
    monkeypatch.setattr("batchlab.datasets.originals.UNPACKED", 9_999)
    with pytest.raises(OSError, match="has more than 9,999 bytes unpacked"):
        unpack(tmp_path / "set.tar.gz", tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2_000), value=st.integers(0, 255))
def test_a_file_with_a_byte_changed_is_read_or_refused_with_its_name(place: int, value: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    write_npz(path, GOOD)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    said = ""
    try:
        read_npz(path)
    except ValueError as error:
        said = str(error)
    assert not said or "mine.npz" in said
