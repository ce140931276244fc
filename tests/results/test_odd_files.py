"""Pipes that nobody writes, devices without end and files larger than memory are damage like any other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_foreign import CONFIG, made

from batchlab.datasets.catalogue import available
from batchlab.results.compare.load import load
from batchlab.results.show.status import read_status
from batchlab.results.store.owner import owner_of
from batchlab.results.store.queue import Queue
from batchlab.results.store.record import Recorder
from batchlab.results.store.regular import content_of, open_file
from batchlab.results.store.run import State


def pipe(path: Path) -> None:
    """Whoever opens it as usual waits for ever."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """Whoever reads it as usual reads for ever."""
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    """20 GB that take no room on the disk, and do in memory."""
    with path.open("wb") as file:
        file.truncate(20 << 30)


def folder(path: Path) -> None:
    """It can be opened, but not read."""
    path.mkdir()


ODD: list[Callable[[Path], None]] = [pipe, endless, sparse, folder]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("run_id", "name"),
    [("bad", "run.json"), ("bad", "metrics.jsonl"), ("bad", "config.yaml"), ("good", "metrics.parquet")],
)
def test_of_a_run(odd: Callable[[Path], None], run_id: str, name: str, tmp_path: Path) -> None:
    store = made(tmp_path)
    path = store.run(run_id).folder / name
    path.unlink()
    odd(path)
    read_status(store)
    frame = load(store)
    states = {run.run_id: run.state for run in frame.runs}
    assert states[run_id] is State.DAMAGED
    assert str(path) in frame.problems[0]
    assert f"delete {'it' if name == 'run.json' else store.run(run_id).folder}" in frame.problems[0]
    assert len(frame.problems) == 1
    if name == "metrics.jsonl":
        with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged \(.*: delete "):
            Recorder(store.run(run_id))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["progress", "owner", "lock"])
def test_beside_a_run(odd: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    run = made(tmp_path).run("bad")
    path = run.folder / name
    path.unlink(missing_ok=True)
    odd(path)
    assert run.read_state().state is State.INTERRUPTED
    assert run.read_progress() == {}
    assert not run.held()
    if name == "owner":
        with pytest.raises(OSError, match=r"something else than a file|it has 21,474,836,480 bytes"):
            owner_of(run.folder)


@pytest.mark.parametrize("odd", ODD)
def test_of_a_store(odd: Callable[[Path], None], tmp_path: Path) -> None:
    store = made(tmp_path)
    for name in (".sweeps/odd.json", ".plans/odd.json", ".measured/odd.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        odd(tmp_path / name)
    assert [sweep.name for sweep in store.manifests()[0]] == ["both"]
    (line,) = read_status(store).problems
    assert line == f"{tmp_path / '.sweeps/odd.json'} is damaged; run the sweep again (no run is lost)"
    with pytest.raises(ValueError, match=r"odd\.json is damaged: delete it to declare"):
        store.plan("odd")
    assert store.measured("odd") == {}


@pytest.mark.parametrize("odd", ODD)
def test_of_a_queue(odd: Callable[[Path], None], tmp_path: Path) -> None:
    queue = Queue.of(made(tmp_path), "shape")
    queue.declare({"gpus": 1})
    queue.tell("good", "begun", "run")
    for path in (queue.folder / "shape.json", queue.folder / "entries" / "odd", queue.folder / "events" / "odd"):
        path.unlink(missing_ok=True)
        odd(path)
    assert (queue.described(), queue.place("odd")) == ({}, "")
    assert [worker for worker, _ in queue.heard({})] == ["good"]


@pytest.mark.parametrize("odd", ODD)
def test_of_the_data_root(odd: Callable[[Path], None], tmp_path: Path) -> None:
    odd(tmp_path / "odd.npz")
    assert "odd" not in {entry.name for entry in available(tmp_path)}


def test_what_is_a_file_is_read_through_links_too(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text(json.dumps(CONFIG))
    link.symlink_to(file)
    assert content_of(link) == file.read_bytes()
    with open_file(link) as opened:
        assert opened.read(1) == b"{"
    with pytest.raises(OSError, match=f"it has {file.stat().st_size} bytes"):
        content_of(link, 10)
