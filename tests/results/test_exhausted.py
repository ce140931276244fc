"""A full disk and its kin: the cause is found, named with its file system, and nothing is half written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.store import exhausted
from batchlab.results.store.atomic import replace, replace_text, writing
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore

KINDS = st.sampled_from(exhausted.KINDS)


@given(KINDS, st.integers(0, 5))
def test_a_code_tells_of_its_error_however_deep_it_lies(kind: int, depth: int) -> None:
    error: Exception = OSError(kind, os.strerror(kind))
    for level in range(depth):
        try:
            raise ValueError(f"level {level}") from error
        except ValueError as outer:
            error = outer
    assert exhausted.of_code(exhausted.code_of(error)) == kind
    assert exhausted.said(kind, Path.cwd()) in exhausted.line(error)


@pytest.mark.parametrize("error", [None, ValueError("no"), OSError(errno.ENOENT, "no"), OSError(errno.EPERM, "no")])
def test_another_error_is_none_of_them(error: Exception | None) -> None:
    assert exhausted.code_of(error) == 0
    assert error is None or exhausted.line(error) == ""


@given(st.integers(-300, 500).filter(lambda code: not 200 <= code < 205))
def test_another_code_is_none_of_them(code: int) -> None:
    assert exhausted.of_code(code) == 0


@pytest.mark.parametrize("kind", exhausted.KINDS)
def test_a_library_that_does_not_say_why_is_asked_after(
    kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch.save, which raises a RuntimeError about its own position in the file."""
    path = tmp_path / "checkpoint.pt"
    path.write_text("before")

    def refuse(descriptor: int) -> None:
        raise OSError(kind, os.strerror(kind))

    def save(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise RuntimeError("unexpected pos 64 vs 0")

    with pytest.raises(RuntimeError):
        replace(path, save)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(kind)) as caught:
        replace(path, save)
    assert (caught.value.errno, caught.value.filename) == (kind, str(path))
    with pytest.raises(OSError, match=os.strerror(kind)) as caught:
        replace_text(path, "after")
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_system_without_room(small: Callable[[str], Path]) -> None:
    folder = small("size=300k")
    recorder = Recorder(Run(folder / "run").create())

    def fill() -> None:
        for samples in range(10_000):
            recorder.write("metrics", {"samples": samples})

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(folder / "run" / "metrics.jsonl")
    line = exhausted.line(caught.value)
    assert line.startswith(
        f"cannot write {folder}/run/metrics.jsonl: the disk is full at {folder} (0 bytes of 307 kB free)"
    )
    with pytest.raises(ValueError, match=f"the disk is full at {folder}"), writing(folder, "elsewhere"):
        RunStore(folder).run("abc").write_config("text")


def test_a_file_system_without_inodes(small: Callable[[str], Path]) -> None:
    folder = small("size=300k,nr_inodes=8")

    def fill() -> None:
        for number in range(8):
            Run(folder / str(number)).create()

    with pytest.raises(ValueError, match=rf"cannot write .*: no inode is left at {folder} \(\d+ kB of 307 kB free\)"):
        fill()


def test_a_file_system_that_is_read_only_by_now(small: Callable[[str], Path]) -> None:
    folder = small("size=300k")
    run = Run(folder / "run")
    run.write_state(state="running")
    small("remount,ro")
    with pytest.raises(OSError, match="Read-only") as caught:
        run.write_state(state="done")
    assert exhausted.line(caught.value) == (
        f"cannot write {run.state_file}: the file system at {folder} is read-only: mount it for writing, or choose a "
        "folder with --runs DIR"
    )
    assert run.read_state().state is State.CRASHED, "what could not be written is not claimed"


def test_without_room_for_an_open_file_nothing_is_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    run.write_state(state="running")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            run.read_state()
    run.lock.touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            run.held()
