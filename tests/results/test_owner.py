"""One run, one owner, also where locks are granted to everybody: on one machine at once, on several in time."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from batchlab.results.store import owner
from batchlab.results.store import run as runs
from batchlab.results.store.record import Recorder, read_stream
from batchlab.results.store.run import Run, RunBusyError, RunLostError, State
from batchlab.results.store.runs import RunStore


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in a store."""
    return RunStore(tmp_path).prepare().run("abc").create()


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lock is granted to everybody."""
    monkeypatch.setattr(runs.fcntl, "flock", lambda descriptor, operation: None)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """`on` says where this process is; times are short."""
    for name, seconds in (("HEARTBEAT", 0.1), ("LEASE", 1.0)):
        monkeypatch.setattr(owner, name, seconds)
    monkeypatch.setattr(owner._lives, "__defaults__", (1.0,))
    return monkeypatch


def on(host: str, patch: pytest.MonkeyPatch) -> None:
    """This process is there now."""
    patch.setattr(owner, "_here", lambda: host)


@pytest.mark.usefixtures("lying")
def test_a_lock_that_everybody_gets_excludes_on_one_machine(run: Run) -> None:
    with run.hold() as held:
        assert run.held()
        with pytest.raises(RunBusyError, match=f"trained by process {os.getpid()} on"), run.hold():
            pass
        held.write_state(state="running")
        assert run.read_state().state is State.RUNNING
    assert not (run.folder / owner.FILE).exists()
    assert run.read_state().state is State.CRASHED
    with run.hold():
        pass


@pytest.mark.usefixtures("lying")
def test_only_one_of_many_that_ask_at_once(run: Run) -> None:
    got: list[str] = []
    busy: list[str] = []
    ready = threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        try:
            with run.hold() as held:
                got.append(held.token)
                over.wait()
        except RunBusyError as error:
            busy.append(str(error))

    over = threading.Event()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(got) + len(busy) < 8:
        time.sleep(0.01)
    over.set()
    for thread in threads:
        thread.join()
    assert (len(got), len(busy)) == (1, 7)


@pytest.mark.usefixtures("lying")
def test_another_machine_sees_the_signs_of_life(run: Run, elsewhere: pytest.MonkeyPatch) -> None:
    on("one", elsewhere)
    with run.hold() as held, owner.beating({run.folder: held.token}):
        on("two", elsewhere)
        assert run.held()
        with pytest.raises(RunBusyError, match="on one"), run.hold():
            pass
        held.check_owned()
        on("one", elsewhere)


@pytest.mark.usefixtures("lying")
def test_without_signs_of_life_it_is_taken_and_the_first_one_stops(run: Run, elsewhere: pytest.MonkeyPatch) -> None:
    """As a machine that was suspended, and wakes up."""
    on("one", elsewhere)
    with ExitStack() as first:
        held = first.enter_context(run.hold())
        old = Recorder(held)
        old.write("metrics", {"samples": 0})
        old.write("metrics", {"samples": 64})
        on("two", elsewhere)
        with run.hold() as other, Recorder(other) as recorder:
            recorder.truncate({"metrics": 1})
            recorder.write("metrics", {"samples": 64})
            old._files["metrics"].write(b'{"samples": 64}\n')  # what is within the second until it asks
            old._files["metrics"].flush()
            old._asked -= 2
            before = sorted(path.name for path in run.folder.iterdir())
            for attempt in (
                lambda: old.write("metrics", {"samples": 128}),
                lambda: old.write("steps", {"samples": 128}),
                lambda: old.seal({}, {}),
                lambda: held.write_state(state="done"),
            ):
                with pytest.raises(RunLostError, match=r"was taken by process .* on two meanwhile"):
                    attempt()
            assert sorted(path.name for path in run.folder.iterdir()) == before
            assert read_stream(run, "metrics") == [{"samples": 0}, {"samples": 64}]
            first.close()
            other.check_owned()  # the first one's end took nothing away
        recorder.close()
    assert not (run.folder / owner.FILE).exists()


def test_who_died_on_this_machine_is_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner.time, "sleep", lambda seconds: pytest.fail("waited"))
    child = os.fork()
    if child == 0:
        with run.hold():
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert (run.folder / owner.FILE).exists()
    assert not run.held()
    with run.hold() as held:
        held.check_owned()


@pytest.mark.parametrize("content", ["", "x", "a b c d", "\x00\xff", "tok 12 - here extra"])
def test_a_file_that_says_nothing_is_taken_away_in_time(content: str, run: Run, elsewhere: pytest.MonkeyPatch) -> None:
    (run.folder / owner.FILE).write_text(content)
    assert run.held() is False, "nobody has the lock file"
    os.utime(run.folder / owner.FILE, (0, 0))
    with run.hold() as held:
        held.check_owned()


def test_set_aside_or_removed_it_leaves_no_owner(run: Run) -> None:
    from batchlab.results.store.aside import remove, set_aside

    run.write_state(state="failed")
    store = RunStore(run.folder.parent)
    with run.hold():
        aside = set_aside(store, run, "code has changed")
    assert not (aside.folder / owner.FILE).exists()
    remove(aside)
    assert not aside.folder.exists()
