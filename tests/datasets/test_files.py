"""Files in the data root: whole or not at all, and an error a user can act on."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.datasets.files import atomic_write, data_root, read_npz, write_npz

ARRAYS = {
    "x_train": np.arange(60, dtype=np.uint8).reshape(5, 2, 2, 3),
    "y_train": np.arange(5),
    "x_test": np.zeros((1, 2, 2, 3), np.uint8),
    "y_test": np.zeros(1, np.int64),
}


def as_bytes(save=np.savez, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def refusal(path: Path) -> str | None:
    try:
        read_npz(path)
    except ValueError as error:
        return str(error)
    return None


WHOLE = as_bytes(**ARRAYS)


def same(read) -> bool:
    return all(np.array_equal(read[key], ARRAYS[key]) for key in ARRAYS)


def test_round_trip(tmp_path):
    write_npz(tmp_path / "new" / "set.npz", ARRAYS)
    read = read_npz(tmp_path / "new" / "set.npz")
    assert same(read)
    assert same(np.load(tmp_path / "new" / "set.npz"))
    assert read["x_train"].dtype == np.uint8
    assert os.listdir(tmp_path / "new") == ["set.npz"]


def test_compressed_files_are_read_too(tmp_path):
    (tmp_path / "set.npz").write_bytes(as_bytes(np.savez_compressed, **ARRAYS))
    assert same(read_npz(tmp_path / "set.npz"))


@given(length=st.integers(0, len(WHOLE) - 1))
@settings(max_examples=60, deadline=None)
def test_truncated_anywhere(tmp_path_factory, length):
    folder = tmp_path_factory.mktemp("data")
    for name, way in (
        ("digits", "run `batchlab data prepare digits`"),
        ("set", r"save it again"),
        ("npz", "save it again"),
    ):
        (folder / f"{name}.npz").write_bytes(WHOLE[:length])
        with pytest.raises(ValueError, match=f"damaged.*{way}") as caught:
            read_npz(folder / f"{name}.npz")
        assert "\n" not in str(caught.value)


@given(place=st.integers(0, len(WHOLE) - 1), flipped=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_noticed_or_harmless(tmp_path_factory, place, flipped):
    path = tmp_path_factory.mktemp("data") / "set.npz"
    raw = bytearray(WHOLE)
    raw[place] ^= flipped
    path.write_bytes(raw)
    message = refusal(path)
    if message is None:
        assert same(read_npz(path))  # a byte that no reader looks at, such as a time stamp
    else:
        assert str(path) in message
        assert "\n" not in message


def test_missing_keys_and_files(tmp_path):
    write_npz(tmp_path / "set.npz", {"x_train": ARRAYS["x_train"], "labels": ARRAYS["y_train"]})
    with pytest.raises(ValueError, match=r"lacks y_train, x_test, y_test; it must hold x_train"):
        read_npz(tmp_path / "set.npz")
    with pytest.raises(ValueError, match=r"no file .*none\.npz; .*BATCHLAB_DATA"):
        read_npz(tmp_path / "none.npz")


def test_pickles_are_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "set.npz").write_bytes(as_bytes(**ARRAYS | {"x_train": np.array([Trap()], dtype=object)}))
    with pytest.raises(ValueError, match=r"not an .npz of plain arrays"):
        read_npz(tmp_path / "set.npz")
    (tmp_path / "set.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"not an .npz"):
        read_npz(tmp_path / "set.npz")
    assert not (tmp_path / "sprung").exists()


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "set.npz"
    path.write_bytes(WHOLE)

    class Interrupted(BaseException):
        pass

    def write_half():
        with atomic_write(path) as file:
            file.write(b"half")
            raise Interrupted

    with pytest.raises(Interrupted):
        write_half()
    assert path.read_bytes() == WHOLE
    assert os.listdir(tmp_path) == ["set.npz"]


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"cannot write to the data root .*BATCHLAB_DATA"):
        write_npz(tmp_path / "file" / "set.npz", ARRAYS)


def test_where_the_root_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BATCHLAB_DATA", raising=False)
    assert data_root() == tmp_path / ".cache" / "batchlab"
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "env"))
    assert data_root() == tmp_path / "env"
    assert data_root(None) == tmp_path / "env"
    assert data_root("~/mine") == tmp_path / "mine"
    monkeypatch.setenv("BATCHLAB_DATA", "")
    assert data_root() == tmp_path / ".cache" / "batchlab"
