"""Runs of archives beside those of a store: counted as its own, once, and never at the expense of what is there."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchlab.results.axes import CHOICES
from batchlab.results.compare.load import load
from batchlab.results.show.status import read_status
from batchlab.results.store import archive
from batchlab.results.store import merge as merging
from batchlab.results.store.aside import stale_store
from batchlab.results.store.merge import Merged, merge
from batchlab.results.store.pack import pack
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import UNASKED, Asked, RunStore, SweepEntry
from batchlab.results.store.unpacked import opened, unpacked

SHORT, LONG = (Asked("sweep", ("sweep", f"seed=range(0,{n})")) for n in (2, 3))
ASKED = {
    "to a store without it": (([], UNASKED), ([0, 1], SHORT), SHORT),
    "with all the runs": (([0, 1], SHORT), ([0, 1, 2], LONG), LONG),
    "with other runs": (([0, 1], SHORT), ([2], LONG), replace(SHORT, part=True)),
    "with fewer runs": (([0, 1, 2], LONG), ([0, 1], SHORT), LONG),
    "of the same command, which went on elsewhere": (([0, 1], LONG), ([1, 2], LONG), LONG),
    "that nobody wrote down": (([0, 1], UNASKED), ([1, 2], UNASKED), UNASKED),
    "that is only a part of its own": (([], UNASKED), ([0, 1], replace(SHORT, part=True)), replace(SHORT, part=True)),
}
"""Runs and commands of a sweep here and in an archive, and the command that it has when they are together."""
OPEN = ("interrupted", "running", "pending")


def made(store: RunStore, run_id: str, state: str = "done", accuracy: float = 0.5, **changed: Any) -> Run:
    run = store.run(run_id)
    names = {axis: f"some_{axis}" for axis in CHOICES}
    config = {axis: {"name": name} for axis, name in names.items()} | {"seed": int(run_id[-1]), "train": {"epochs": 1}}
    run.write_config(yaml.safe_dump(config | changed))
    run.write_state(state="running")
    if state != "pending":
        with Recorder(run) as recorder:
            for i in range(3):
                value = math.nan if i == 1 else accuracy * i
                recorder.write("metrics", {"samples": i, "test_accuracy": value, "train_seconds": i / 3})
            if state in ("done", "diverged"):
                recorder.seal(names | {"seed": config["seed"], "run_id": run_id}, config | changed)
    run.write_state(state=state, reason="no such kernel" if state == "failed" else None)
    return run


def identity(config: Mapping[str, Any]) -> str:
    """As the runs of these tests are called."""
    return f"a{config['seed']}"


def merged(store: RunStore, *paths: Path) -> Merged:
    with unpacked(paths) as stores:
        return merge(store, stores, identity)


def content(store: RunStore) -> dict[str, bytes]:
    """All that is in a store, by path."""
    return {str(p.relative_to(store.root)): p.read_bytes() for p in store.root.rglob("*") if p.is_file()}


@pytest.fixture
def away(tmp_path: Path) -> RunStore:
    """Where three runs were trained."""
    store = RunStore(tmp_path / "away").prepare()
    for i in range(3):
        made(store, f"a{i}", accuracy=0.1 * i)
    store.write_sweep("s-desk", [SweepEntry(f"a{i}", {"case": i}) for i in range(3)], ["a part of the data"])
    store.declare("s-desk", {"looks": [3], "declared": "today"})
    store.write_measured("s", {"seconds": 1})
    return store


@pytest.fixture
def packed(away: RunStore, tmp_path: Path) -> Path:
    return pack(away, tmp_path / "x.tar.xz").path


@pytest.fixture
def here(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "here")


def test_merged_runs_are_the_stores_own(here: RunStore, packed: Path, tmp_path: Path) -> None:
    done = merged(here, packed)
    assert (done.new, done.there, done.sweeps) == (["a0", "a1", "a2"], [], ["s-desk"])
    assert [run.read_state().state for run in here.runs()] == [State.DONE] * 3
    assert [run.labels for run in load(here, "s-desk").runs] == [{"case": i} for i in range(3)]
    assert here.sweep("s-desk").notes == ["a part of the data"]
    assert (here.plan("s-desk"), here.measured("s")) == ({"looks": [3], "declared": "today"}, {"seconds": 1})
    assert pack(here, tmp_path / "y.tar.xz").path.read_bytes() == packed.read_bytes(), "packed again it is the same"
    flipped = here.run("a1").metrics  # checked as one that was trained here
    flipped.write_bytes(flipped.read_bytes().replace(b"a1", b"aX", 1))
    assert [run.state for run in load(here).runs] == [State.DONE, State.DAMAGED, State.DONE]


def test_merging_twice_changes_nothing(here: RunStore, packed: Path) -> None:
    merged(here, packed)
    before, times = content(here), {p: p.stat().st_mtime_ns for p in here.root.rglob("*") if p.is_file()}
    again = merged(here, packed, packed)
    assert (again.new, again.there, again.sweeps, again.notes) == ([], ["a0", "a1", "a2"], [], [])
    assert content(here) == before
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_where_they_were_trained_they_are_there_already(away: RunStore, packed: Path) -> None:
    """Though the names of the machine are not in the archive."""
    before = content(away)
    assert merged(away, packed).there == ["a0", "a1", "a2"]
    assert content(away) == before | {".merge": b""}


DIFFERENCES: dict[str, tuple[Callable[[RunStore], object], str]] = {
    "a number": (
        lambda store: made(store, "a1", accuracy=0.2),
        r"run a1: metrics: test_accuracy of row 3 is 0.4 in \S*here and 0.2 in \S*x\.tar\.xz",
    ),
    "its end": (lambda store: made(store, "a1", "diverged", 0.1), r"run a1: it is diverged in \S*here and done in"),
    "its configuration": (
        lambda store: made(store, "a1", accuracy=0.1, train={"epochs": 2}),
        r"run a1: train.epochs is 2 in \S*here and 1 in \S*x\.tar\.xz",
    ),
    "a fact of run.json": (
        lambda store: made(store, "a1", accuracy=0.1).write_state(steps=18),
        r"run a1: run.json: steps is 18 in \S*here and not said in \S*x\.tar\.xz",
    ),
    "a part of a fact": (
        lambda store: made(store, "a1", accuracy=0.1).write_state(hardware={"cores": 2}),
        r"run a1: run.json: hardware.cores is 2 in \S*here and not said in \S*x\.tar\.xz",
    ),
    "a label": (
        lambda store: store.write_sweep("s-desk", [SweepEntry("a1", {"case": 7})]),
        r'sweep s-desk calls run a1 \{"case": 7\} in \S*here, and \{"case": 1\} in \S*x\.tar\.xz',
    ),
    "a plan": (
        lambda store: store.declare("s-desk", {"looks": [5]}),
        r"declared of sweep s-desk before its first look is not the same: looks is \[5\] in \S*here, and \[3\] in \S*x",
    ),
}


@pytest.mark.parametrize(("change", "says"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_what_differs_is_refused_and_nothing_written(
    change: Callable[[RunStore], object], says: str, here: RunStore, packed: Path
) -> None:
    change(here.prepare())
    before = content(here)
    with pytest.raises(ValueError, match=rf"^nothing was merged.*{says}") as caught:
        merged(here, packed)
    assert "\n" not in str(caught.value)
    assert content(here) == before | {".merge": b""}


def test_times_and_names_of_the_machine_are_no_difference(here: RunStore, packed: Path) -> None:
    run = made(here.prepare(), "a1", accuracy=0.1)
    run.write_state(pid=7, host="there", started="2026-01-01T00:00:00+00:00", train_seconds=9.0, seconds={"start": 1.0})
    run.write_state(commands={"ab": {}}, contention=1.5)
    assert merged(here, packed).there == ["a1"]


def test_archives_that_differ_are_refused_by_readers_too(
    away: RunStore, here: RunStore, packed: Path, tmp_path: Path
) -> None:
    other = RunStore(tmp_path / "other").prepare()
    made(other, "a1", accuracy=0.7)
    second = pack(other, tmp_path / "y.tar.xz").path
    says = r"run a1: metrics: .* in \S*x\.tar\.xz and 1.4 in \S*y\.tar\.xz"
    with pytest.raises(ValueError, match=says):
        merged(here, packed, second)
    assert not here.root.exists()
    with pytest.raises(ValueError, match=says), opened([packed, second]):
        pass


def test_a_plan_with_another_time_asks_the_same(here: RunStore, packed: Path) -> None:
    here.prepare().declare("s-desk", {"looks": [3], "declared": "tomorrow"})
    assert "stays, with its time" in merged(here, packed).notes[0]
    assert here.plan("s-desk") == {"looks": [3], "declared": "tomorrow"}


def test_sweeps_grow(here: RunStore, packed: Path) -> None:
    made(here.prepare(), "a1", accuracy=0.1)
    made(here, "b7")
    here.write_sweep("s-desk", [SweepEntry("b7", {"case": 7}), SweepEntry("a1", {"case": 1})])
    assert merged(here, packed).new == ["a0", "a2"]
    assert [entry.run_id for entry in here.sweep("s-desk").entries] == ["b7", "a1", "a0", "a2"]


@pytest.mark.parametrize("state", ["interrupted", "failed", "pending"])
def test_what_is_not_over_gives_way_and_nothing_is_lost(state: str, here: RunStore, packed: Path) -> None:
    run = made(here.prepare(), "a1", state)
    if state == "interrupted":
        run.checkpoint.write_bytes(b"hours of work")
    done = merged(here, packed)
    assert done.new == ["a0", "a1", "a2"]
    assert here.run("a1").read_state().state is State.DONE
    aside = {run.run_id: run for run in stale_store(here).runs()}
    assert aside.keys() == ({"a1-1"} if state != "pending" else set())
    if state == "interrupted":
        assert aside["a1-1"].checkpoint.read_bytes() == b"hours of work"
        assert "x.tar.xz" in aside["a1-1"].read_state().info["set_aside"]["why"]
    assert sorted(path.name for path in here.root.iterdir() if path.name.startswith(".")) == sorted(
        [".measured", ".merge", ".plans", *([".stale"] if state != "pending" else []), ".sweeps"]
    )


def test_a_damaged_run_is_healed(here: RunStore, packed: Path) -> None:
    merged(here, packed)
    flipped = here.run("a1").metrics
    flipped.write_bytes(flipped.read_bytes().replace(b"a1", b"aX", 1))
    here.run("a2").state_file.write_text("{")
    assert merged(here, packed).new == ["a1", "a2"]
    assert {run.state for run in load(here).runs} == {State.DONE}
    assert len([*stale_store(here).folders()]) == 2


def test_what_is_being_trained_here_is_left_alone(here: RunStore, packed: Path) -> None:
    run = made(here.prepare(), "a1", "running")
    with run.hold():
        done = merged(here, packed)
        assert (done.new, done.busy) == (["a0", "a2"], ["a1"])
    assert run.stream("metrics").exists()
    assert [entry.run_id for entry in here.sweep("s-desk").entries] == ["a0", "a1", "a2"]


def test_what_begins_or_ends_here_meanwhile_is_left_alone(
    here: RunStore, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all was looked at, and before it is written."""
    holding: list[Any] = []
    of = merging.Kept.of

    def slow(store: RunStore, stores: Any) -> Any:
        holding.append(store.run("a0").hold())
        holding[0].__enter__()
        made(store, "a1", accuracy=0.9)
        return of(store, stores)

    here.prepare()
    monkeypatch.setattr(merging.Kept, "of", slow)
    done = merged(here, packed)
    holding[0].__exit__(None, None, None)
    assert (done.new, done.busy, done.there) == (["a2"], ["a0"], ["a1"])
    assert load(here, where=["run_id=a1"]).table["test_accuracy"][2].as_py() == 1.8


def test_failed_and_open_runs_of_an_archive(away: RunStore, here: RunStore, tmp_path: Path) -> None:
    made(away, "a3", "failed")
    made(away, "a4", "interrupted")
    made(away, "a5", "interrupted")
    made(here.prepare(), "a5", accuracy=0.3)
    path = pack(away, tmp_path / "x.tar.xz").path
    done = merged(here, path)
    assert (done.new, done.unfinished) == (["a0", "a1", "a2", "a3"], ["a4"])
    assert here.run("a3").read_state().reason == "no such kernel"
    assert not here.run("a4").folder.exists()
    assert (merged(here, path).new, merged(here, path).there) == ([], ["a0", "a1", "a2", "a3"])


def test_what_is_damaged_or_another_run_in_its_archive_is_left_out(
    here: RunStore, packed: Path, tmp_path: Path
) -> None:
    files = dict(archive.members(packed))
    files["a0/metrics.parquet"] = files["a0/metrics.parquet"].replace(b"a0", b"aX", 1)
    files["a1/config.yaml"] = files["a1/config.yaml"].replace(b"seed: 1", b"seed: 8")
    archive.write(tmp_path / "y.tar.xz", files.items())
    done = merged(here, tmp_path / "y.tar.xz")
    assert done.new == ["a2"]
    assert [f"{tmp_path}/y.tar.xz/a{i}" in done.damaged[f"a{i}"] for i in range(2)] == [True, True]
    assert "has the configuration of another run, a8" in done.damaged["a1"]
    assert here.sweep("s-desk").left_out == done.damaged
    status = read_status(here, "s-desk")
    assert [run.reason or "" for run in status.runs] == [f"left out: {done.damaged[f'a{i}']}" for i in range(2)] + [""]
    assert [run.state for run in status.runs] == [State.PENDING] * 2 + [State.DONE]
    lines = [note for sheet in read_status(here).sheets() for note in sheet.notes]
    assert any(note.startswith("2 of these runs left out when packed or merged: ") for note in lines)
    again = merged(here, packed)  # which is whole
    assert (again.new, again.sweeps, here.sweep("s-desk").left_out) == (["a0", "a1"], ["s-desk"], {})
    assert not read_status(here).left_out


def test_what_is_damaged_when_it_is_packed_is_missed_later(away: RunStore, here: RunStore, tmp_path: Path) -> None:
    """And said wherever the archive goes, without the names of the machine."""
    away.run("a1").metrics.write_bytes(b"PAR1")
    path = pack(away, tmp_path / "x.tar.xz").path
    assert merged(here, path).new == ["a0", "a2"]
    assert here.sweep("s-desk").left_out == {"a1": "damaged where it was packed"}
    further = RunStore(tmp_path / "further")
    merged(further, pack(here, tmp_path / "y.tar.xz").path)
    assert further.sweep("s-desk").left_out == {"a1": "damaged where it was packed"}
    here.write_sweep("s-desk", here.sweep("s-desk").entries)
    assert not here.sweep("s-desk").left_out, "whoever asks for the sweep again trains it"


@pytest.mark.parametrize(("own", "theirs", "kept"), ASKED.values(), ids=ASKED.keys())
def test_a_sweeps_command_comes_along(
    own: tuple[list[int], Asked], theirs: tuple[list[int], Asked], kept: Asked, here: RunStore, tmp_path: Path
) -> None:
    away = RunStore(tmp_path / "away").prepare()
    for store, (seeds, asked) in ((away, theirs), (here, own)):
        for seed in seeds:
            made(store.prepare(), f"a{seed}", accuracy=0.1 * seed)
        if seeds:
            store.write_sweep("s", [SweepEntry(f"a{seed}") for seed in seeds], asked=asked)
    merged(here, pack(away, tmp_path / "x.tar.xz").path)
    assert here.sweep("s").asked == kept


def test_of_two_archives_the_whole_one_is_read(packed: Path, here: RunStore, tmp_path: Path) -> None:
    files = dict(archive.members(packed))
    files["a0/metrics.parquet"] = files["a0/metrics.parquet"].replace(b"a0", b"aX", 1)
    damaged = tmp_path / "y.tar.xz"
    archive.write(damaged, files.items())
    for paths in ([packed, damaged], [damaged, packed]):
        with opened(paths) as read:
            assert not load(read).problems
    assert sorted(merged(here, damaged, packed).new) == ["a0", "a1", "a2"]


def _merge_there(root: Path, paths: list[Path], begin: Any) -> None:
    begin.wait()
    merged(RunStore(root), *paths)


def _killed_there(root: Path, path: Path, after: int) -> None:
    """Merge, and be killed when so many runs have come."""
    move, left = os.rename, [after]

    def rename(source: Any, target: Any) -> None:
        if Path(target).parent == root and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= Path(target).parent == root
        move(source, target)

    os.rename = rename
    merged(RunStore(root), path)


def test_two_merges_at_once(here: RunStore, away: RunStore, packed: Path, tmp_path: Path) -> None:
    """Each run comes once, whole, and both sweeps have all of theirs."""
    made(away, "a3")
    away.write_sweep("s-desk", [SweepEntry(f"a{i}", {"case": i}) for i in range(1, 4)])
    other = pack(away, tmp_path / "y.tar.xz", "s-desk").path
    fork = multiprocessing.get_context("fork")
    begin = fork.Barrier(4)
    processes = [
        fork.Process(target=_merge_there, args=(here.root, paths, begin))
        for paths in ([packed], [other], [other, packed], [packed])
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert [run.read_state().state for run in here.runs()] == [State.DONE] * 4
    assert sorted(entry.run_id for entry in here.sweep("s-desk").entries) == ["a0", "a1", "a2", "a3"]
    assert not stale_store(here).folders()
    assert not [*here.root.glob(".a*")]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_merge_that_is_killed_is_done_by_the_next(after: int, here: RunStore, packed: Path, tmp_path: Path) -> None:
    made(here.prepare(), "a2", "interrupted").checkpoint.write_bytes(b"hours of work")
    process = multiprocessing.get_context("fork").Process(target=_killed_there, args=(here.root, packed, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not load(here).problems, "what has come is whole"
    assert sum(run.read_state().state is State.DONE for run in here.runs()) == after
    assert not here.sweeps()
    assert len(merged(here, packed).new) == 3 - after
    assert {run.state for run in load(here, "s-desk").runs} == {State.DONE}
    assert stale_store(here).run("a2-1").checkpoint.read_bytes() == b"hours of work"
    assert not [*here.root.glob(".a*")], "what the killed one left is gone"


def test_a_run_without_its_configuration_is_left_out(away: RunStore, tmp_path: Path) -> None:
    """As somebody's archive may have one: its rows would be listed as done, with settings that nobody can see."""
    away.run("a1").config.unlink()
    found = merge(RunStore(tmp_path / "here"), [(tmp_path / "x.tar.xz", away)], identity)
    assert found.new == ["a0", "a2"]
    assert "config.yaml is missing" in found.damaged["a1"]
