"""Where a run says its time went, and how a command counts its idle places. Counted with a clock that tests set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import TINY, Fleet, context, frozen, one, solve, trained
from shell import in_one_line

from batchlab.results.show.spent import by_command, parts_of, spent_sheets
from batchlab.results.show.status import read_status
from batchlab.results.store.run import SECONDS
from batchlab.results.store.runs import RunStore
from batchlab.results.store.times import sessions
from batchlab.runner import timing
from batchlab.runner.train import rank
from batchlab.runner.train.launched import BEGAN, COMMAND


class Places:
    """An executor of three places."""

    places = 3
    command = "a"
    free: int | None = 3


def test_idle_places_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, places = [100.0], Places()
    monkeypatch.setattr(timing.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(timing, "asked", [90.0])
    mine: Any = places
    counted = timing.Timing(mine)
    counted.begin()
    for seconds, free in ((1.0, 3), (0.5, 1), (4.0, 0), (2.0, 2)):  # what is free until the next mark
        places.free = free
        counted.mark()
        clock[0] += seconds
    counted.started(["aa", "bb"])
    clock[0] += 3
    counted.parted("bb")
    clock[0] -= 3
    counted.ended("aa")
    store = RunStore(tmp_path).prepare()
    counted.keep(store, "s")
    places.free = None
    clock[0] += 3
    counted.begin()
    clock[0] += 1
    counted.ended("bb")
    counted.keep(store, "s")
    counted.keep(store, "s")  # nothing ended: nothing to say
    first, second = sessions(store, "s")[0]
    assert (first.tried, second.tried) == (1.5, 0.0)
    assert first.command == "a"
    assert (first.wall, first.before, first.places, first.idle) == (17.5, 10.0, 3, 3 + 0.5 + 4)
    assert (second.wall, second.before, second.places, second.idle, second.runs) == (4.0, 3.0, None, None, ["bb"])


def test_a_place_that_is_being_taken_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three places one is taken, which takes a second, and two seconds later another: 2 x 1 + 2 x 2 + 1 x 1 idle."""
    clock, places = [0.0], Places()
    monkeypatch.setattr(timing.time, "monotonic", lambda: clock[0])
    mine: Any = places
    counted = timing.Timing(mine)
    for free, waited in ((2, 2.0), (1, 0.0)):
        counted.mark()
        clock[0] += 1.0
        places.free = free
        counted.started([str(free)])
        clock[0] += waited
    counted.mark()
    assert counted.idle == 2 * 1 + 2 * 2 + 1 * 1


@pytest.mark.parametrize(
    "overrides",
    [(), ("optimizer=saga", "model=logistic", "dataset=breast_cancer", "train.epochs=4")],
    ids=["by steps", "finite sum"],
)
def test_a_run_says_where_its_time_went(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run, config = frozen(tmp_path, *overrides)
    if overrides:
        assert solve(config, context(run)).over
    else:
        assert trained(run, config) == "done"
    info = run.read_state().info
    parts = parts_of(info)
    assert {"start", "data", "train", "evaluate", "write"} <= parts.keys()
    assert all(seconds >= 0 for seconds in parts.values())
    assert info[SECONDS].get("data_training", 0) <= info[SECONDS]["data"]
    assert info[SECONDS].get("write_evaluating", 0) <= info[SECONDS]["write"]


def test_a_resumed_run_keeps_what_it_spent(tmp_path: Path) -> None:
    run, config = frozen(tmp_path)
    assert trained(run, config, 9) == "interrupted"
    before = run.read_state().info[SECONDS]
    assert trained(run, config) == "done"
    after = run.read_state().info[SECONDS]
    assert all(after[part] >= before[part] - 0.01 for part in ("start", "data"))  # the checkpoint's, less rounding


def test_a_resumed_run_says_which_command_spent_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last is not said: it spent the rest."""
    run, config = frozen(tmp_path)
    monkeypatch.setenv(COMMAND, "a")
    assert trained(run, config, 1) == "interrupted"
    assert run.read_state().info["commands"] == {"a": {}}
    before = parts_of(run.read_state().info)
    monkeypatch.setenv(COMMAND, "b")
    assert trained(run, config, 1) == "interrupted"
    assert trained(run, config) == "done"  # again, which is one command as before
    info = run.read_state().info
    assert [*info["commands"]] == ["a", "b"]
    first, second = by_command(info).values()
    assert first.keys() == before.keys()
    assert all(abs(first[part] - before[part]) < 0.002 for part in ("train", "start", "data"))
    assert all(seconds >= 0 for seconds in (*first.values(), *second.values()))
    assert {part: first[part] + second[part] for part in first} == pytest.approx(parts_of(info))


def test_the_launch_counts_from_when_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank.time, "monotonic", lambda: 50.0)
    for said, expected in (("42.5", 42.5), ("60", 50.0), ("x", 50.0), ("-1", 50.0), ("nan", 50.0)):
        monkeypatch.setenv(BEGAN, said)
        assert rank.launched() == expected
    monkeypatch.delenv(BEGAN)
    assert rank.launched() == 50.0


def test_status_shows_it(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = fleet.train(tmp_path, one())
    assert run.read_state().info[SECONDS]["start"] > 0
    code, said = in_one_line("status", "--time", "--runs", str(tmp_path), monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "where 1 run went" in said
    assert "idle: places that had nothing to do unknown" in said  # who trained it kept no time


@pytest.mark.slow
def test_a_command_keeps_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("sweep", *TINY, "seed=0,1", "--name", "s", "--runs", str(tmp_path), "--fuse", "off")
    code, _ = in_one_line(*asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    store = RunStore(tmp_path)
    (session,), _ = sessions(store, "s")
    assert sorted(session.runs) == sorted(entry.run_id for entry in store.sweep("s").entries)
    assert 0 < session.before < session.wall
    sheet = spent_sheets(read_status(store, "s"), [session])[0]
    spent = {record["part"]: record["seconds"] for record in sheet.records}
    assert sum(spent.values()) == pytest.approx((session.places or 0) * session.wall)
    assert all(seconds >= 0 for seconds in spent.values()), spent
    in_one_line(*asked, monkeypatch=monkeypatch, capfd=capfd)
    assert len(sessions(store, "s")[0]) == 1  # nothing was trained: nothing to add
