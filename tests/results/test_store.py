"""The store: states survive damage and death, holds exclude, manifests keep their order."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.store.objects import formatted, parse_object
from batchlab.results.store.run import Run, RunBusyError, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.store.shapes import anything


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs").prepare()


def test_a_run_without_a_folder_is_pending(store):
    assert store.run("abc").read_state().state is State.PENDING
    assert list(store.runs()) == []


def test_state_round_trip_merges_and_removes(store):
    run = store.run("abc")
    run.write_state(state="failed", reason="ValueError:\n  no such\tthing", host="box")
    state = run.read_state()
    assert state.state is State.FAILED
    assert state.reason == "ValueError: no such thing"  # one line, whatever was written
    run.write_state(state="done", sealed={}, reason=None)
    state = run.read_state()
    assert (state.state, state.reason, state.info["host"]) == (State.DONE, None, "box")


@pytest.mark.parametrize("state", ["crashed", "damaged"])
def test_states_read_off_the_disk_are_not_written(store, state):
    with pytest.raises(AssertionError):
        store.run("abc").write_state(state=state)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"state": "dancing"}', "{}", "\x00\xff", '"state"'])
def test_a_damaged_state_is_a_state_with_a_reason(store, content):
    run = store.run("abc").create()
    run.state_file.write_text(content)
    state = run.read_state()
    assert state.state is State.DAMAGED
    assert "run.json" in state.reason
    assert "\n" not in state.reason
    run.write_state(state="running")
    assert run.state_file.with_name("run.json.damaged").read_text() == content
    assert json.loads(run.state_file.read_text())["state"] == "running"


def test_running_without_a_holder_reads_as_crashed(store):
    run = store.run("abc")
    with run.hold():
        run.write_state(state="running")
        assert run.read_state().state is State.RUNNING
    assert run.read_state().state is State.CRASHED
    run.write_state(seconds=3)  # a change of something else does not revive it, nor forget it
    assert run.read_state().state is State.CRASHED


def test_hold_excludes_in_the_same_process_and_names_the_holder(store):
    run = store.run("abc")
    with run.hold():
        with pytest.raises(RunBusyError, match=f"process {os.getpid()} on"), Run(run.folder).hold():
            pass
        assert run.held()  # the failed attempt has not loosened it
    with run.hold():
        pass


def hold_and_wait(folder: str) -> None:
    with Run(Path(folder)).hold() as run:
        run.write_state(state="running")
        signal.pause()


def test_hold_excludes_other_processes_and_ends_with_a_kill(store):
    run = store.run("abc").create()
    process = multiprocessing.get_context("fork").Process(target=hold_and_wait, args=(str(run.folder),))
    process.start()
    while run.read_state().state is not State.RUNNING:
        assert process.is_alive()
        time.sleep(0.01)
    with pytest.raises(RunBusyError, match=str(process.pid)), run.hold():
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert run.read_state().state is State.CRASHED
    with run.hold():
        pass


def test_a_probe_does_not_defeat_a_hold(store, monkeypatch):
    """`status` asks by taking the lock for an instant; `hold` tries again."""
    import fcntl

    run = store.run("abc").create()
    with run.hold():
        pass
    other = os.open(run.lock, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(other, fcntl.LOCK_UN))
    with run.hold():
        pass
    os.close(other)


def test_progress_survives_damage(store):
    run = store.run("abc").create()
    assert run.read_progress() == {}
    run.write_progress(samples=3, total=9)
    assert run.read_progress() == {"samples": 3, "total": 9}
    run.progress.write_text("{")
    assert run.read_progress() == {}


def test_no_temporary_file_stays_behind(store):
    run = store.run("abc")
    run.write_config("seed: 0\n")
    run.write_state(state="running")
    run.write_progress(samples=1)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "config.yaml",
        "log",
        "progress",
        "run.json",
    ]


def test_only_what_has_a_configuration_a_state_or_rows_is_a_run(store):
    """Plots of `reproduce` lie beside the runs, and users put folders of their own there."""
    (store.root / "plots").mkdir()
    (store.root / "plots" / "paper-1.png").touch()
    store.run("created").create()
    store.run("a").write_config("seed: 0\n")
    store.run("b").write_state(state="failed")
    store.run("c").create().metrics.touch()
    store.run("d").create().stream("metrics").touch()
    assert [run.run_id for run in store.runs()] == ["a", "b", "c", "d"]


def test_a_file_in_place_of_the_folder_names_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file is a file: choose a folder with --runs DIR"):
        RunStore(tmp_path / "file")


def test_sweeps_keep_order_labels_and_overrides(store):
    entries = [SweepEntry("b", {"case": "ii"}, ["seed=1"]), SweepEntry("a", {"case": "i"}, ["seed=0"])]
    store.write_sweep("first", entries)
    store.write_sweep("second", [])
    assert store.sweeps() == ["first", "second"]
    assert store.sweep("first").entries == entries
    assert [(run.run_id, labels) for run, labels in store.select("first")] == [
        ("b", {"case": "ii"}),
        ("a", {"case": "i"}),
    ]
    assert list(store.runs()) == []  # the manifests' folder is no run


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there are: other"), ("{", "is damaged"), ('{"runs": [1]}', "is damaged"), ("[]", "is damaged")],
)
def test_a_missing_or_damaged_sweep_says_so(store, content, message):
    store.write_sweep("other", [])
    if content is not None:
        (store.root / ".sweeps" / "mine.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        store.sweep("mine")


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b"])
def test_a_sweeps_name_cannot_leave_the_folder(store, name):
    with pytest.raises(ValueError, match="a sweep's name"):
        store.write_sweep(name, [])


def test_a_sweeps_name_is_one_of_a_file(store):
    for name in ("x" * 201, "ä" * 101):
        with pytest.raises(ValueError, match=r"has 200 bytes at most; not 20[12]: ") as caught:
            store.declare(name, {})
        assert len(str(caught.value)) < 200
    store.declare("ä" * 100, {"looks": [3]})
    assert store.plan("ä" * 100) == {"looks": [3]}


def test_what_was_measured_apart_from_the_runs_is_kept(store):
    assert store.measured("paper") == {}
    store.write_measured("paper", {"limits": {"sgd": 2.0}})
    assert store.measured("paper") == {"limits": {"sgd": 2.0}}
    assert [*store.runs()] == []
    assert store.sweeps() == []
    (store.root / ".measured" / "paper.json").write_text("[")
    assert store.measured("paper") == {}


def test_an_unwritable_folder_names_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    store = RunStore(tmp_path / "file" / "runs")
    for attempt in (
        store.prepare,
        store.run("abc").create,
        lambda: store.write_sweep("s", []),
        lambda: store.write_measured("p", {}),
    ):
        with pytest.raises(ValueError, match="--runs DIR"):
            attempt()


def test_importing_store_and_status_is_light():
    code = (
        "import sys, batchlab.results.store.runs, batchlab.results.show.status; "
        "heavy = {'numpy', 'pandas', 'pyarrow', 'rich', 'matplotlib', 'torch', 'scipy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_killed_writers_left_is_removed_when_the_run_is_taken_up(tmp_path):
    run = RunStore(tmp_path).run("a1").create()
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    stray, alive = run.folder / f".checkpoint.pt.{killed.pid}", run.folder / f".run.json.{os.getpid()}"
    for path in (stray, alive, run.folder / ".hidden"):
        path.touch()
    with run.hold():
        assert not stray.exists()
        assert alive.exists()
        assert (run.folder / ".hidden").exists()


@given(
    st.dictionaries(st.text(max_size=4), st.none() | st.integers() | st.text() | st.lists(st.integers()), min_size=1),
    st.integers(0, 2000),
)
def test_an_object_of_some_length_reads_as_what_it_is(value, least):
    content = formatted(value, least=least)
    assert len(content) == max(least, len(formatted(value)))
    assert parse_object(content, anything) == value
    flipped = content.replace(b"{", b"{ ", 1)
    with pytest.raises(ValueError, match="is not what was written"):
        parse_object(flipped, anything)
