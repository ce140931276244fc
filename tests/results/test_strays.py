"""What a killed process left half written is swept up by the next start, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchlab.results.store import atomic
from batchlab.results.store.atomic import STRAY_SECONDS, alive, remove_strays, replace_text, temporary_of
from batchlab.results.store.runs import RunStore


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {path.name for path in folder.iterdir()}


def test_of_this_host_only_the_dead_ones(dead: int, tmp_path: Path) -> None:
    mine = temporary_of(tmp_path / "run.json")
    theirs = mine.name.replace(str(os.getpid()), str(dead))
    kept = {mine.name, "run.json", ".hidden", f".bashrc.{dead}", f"notes.{dead}", ".netrc.old"}
    gone = {theirs, f".steps.parquet.{dead}", f"checkpoint.pt.{dead}.tmp", f".run.json.{dead}", f".progress.{dead}"}
    for name in kept | gone:
        (tmp_path / name).touch()
    (tmp_path / f".removed.abc.{dead}").mkdir()
    (tmp_path / f".removed.abc.{dead}" / "run.json").touch()
    remove_strays(tmp_path)
    assert names(tmp_path) == kept


def test_of_another_host_those_that_nobody_writes_any_more(
    dead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process ids say nothing here: an id of 1 lives everywhere."""
    monkeypatch.setattr(atomic, "_host", lambda: "h01234567")
    young, old = (temporary_of(tmp_path / name) for name in ("checkpoint.pt", "steps.parquet"))
    for path, age in ((young, 5), (old, STRAY_SECONDS + 60)):
        path.touch()
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    monkeypatch.undo()
    remove_strays(tmp_path)
    assert names(tmp_path) == {young.name}


def test_the_store_s_own_folders_too(dead: int, tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    store.write_sweep("mine", [])
    store.declare("mine", {})
    for folder in (".sweeps", ".plans", "."):
        left = temporary_of(tmp_path / folder / "mine.json")
        left.with_name(left.name.replace(str(os.getpid()), str(dead))).touch()
    store.prepare()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"mine.json"}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "x", "\ud800")
    assert names(tmp_path) == set()


def test_a_process_that_is_over_and_not_heard_of_is_not_alive() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it stays as it is
    assert not alive(child) or sys.platform != "linux"
    os.waitpid(child, 0)
    assert alive(os.getpid())
