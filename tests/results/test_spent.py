"""Where time went: the parts exclude each other, add up to what the places had, and what nobody measured is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchlab.results.show.spent import parts_of, spent_sheets
from batchlab.results.show.status import read_status
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.store.times import FOLDER, Session, add_session, sessions

NEW: dict[str, Any] = {
    "train_seconds": 10.0,
    "eval_seconds": 4.0,
    "seconds": {"start": 2.0, "data": 1.5, "data_training": 0.5, "write": 1.25, "write_evaluating": 1.0},
}
OLD: dict[str, Any] = {"train_seconds": 8.0, "eval_seconds": 2.0}


def store_of(root: Path, **runs: dict[str, Any]) -> RunStore:
    """Runs that are done, of a sweep `s` over seeds."""
    store = RunStore(root).prepare()
    for run_id, info in runs.items():
        run = store.run(run_id).create()
        run.write_state(state="done", sealed={}, **info)
    store.write_sweep("s", [SweepEntry(run_id, {}, [f"seed={i}", "model=mlp"]) for i, run_id in enumerate(runs)])
    return store


def shown(store: RunStore, sweep: str | None = "s") -> tuple[dict[str, float | None], str, list[dict[str, Any]]]:
    """Seconds by part, title and notes in one text, and what is slowest."""
    sheet, *slowest = spent_sheets(read_status(store, sweep), *sessions(store, sweep))
    found = {record["part"]: record["seconds"] for record in sheet.records}
    return found, " ".join([sheet.title, *sheet.notes]), slowest[0].records if slowest else []


def test_the_parts_of_a_run_exclude_each_other() -> None:
    assert parts_of(NEW) == {"start": 2.0, "data": 1.5, "write": 1.25, "train": 9.5, "evaluate": 3.0}
    assert parts_of(OLD) == {"train": 8.0, "evaluate": 2.0}
    assert parts_of({}) == {}
    assert parts_of(NEW | {"hardware": {"ranks": 2}})["train"] == 19.0


def test_all_adds_up_to_places_times_wall(tmp_path: Path) -> None:
    store = store_of(tmp_path, aa=NEW, bb=NEW | {"fused": 2}, cc=NEW)
    add_session(store, "s", Session("2026-01-01", 20.0, 1.0, 2, 1.5, ["aa"]))
    add_session(store, "s", Session("2026-01-02", 15.0, 0.5, 2, 0.0, ["bb"], 4.0))
    found, said, slowest = shown(store)
    assert all(seconds is not None for seconds in found.values())
    assert sum(filter(None, found.values())) == pytest.approx(2 * 20 + 2 * 15)
    assert (found["before"], found["idle"], found["start"], found["train"]) == (3.0, 1.5, 4.0, 19.0)
    assert found["rest"] == pytest.approx(70 - 3 - 1.5 - 4 - 2 * 17.25)
    assert found["tried"] == 4.0
    assert "1 run trained, or begun, by other commands, or by one that was killed or trains now: 17.2 s" in said
    assert "1 run trained together with others" in said
    assert [record["key"] for record in slowest] == ["seed"]  # the model has one value


KILLED: dict[str, Any] = {
    "train_seconds": 7.0,
    "eval_seconds": 3.0,
    "seconds": {"start": 1.0, "data": 1.0, "data_training": 0.5, "write": 1.0, "write_evaluating": 1.0},
}
"""What a run like `NEW` had spent in all when the command that began it was killed."""


@pytest.mark.parametrize(
    ("commands", "lines", "train", "apart"),
    [
        ({"b": {}}, "b", 9.5, 0),
        ({"a": KILLED, "b": {}}, "b", 3.0, 1 + 1 + 1 + 6.5 + 2),
        ({"a": KILLED, "b": {}}, "ab", 9.5, 0),  # the first one ended in order
        ({"b": {}}, "ab", 9.5, 0),  # what it did was done anew
        ({"a": KILLED, "b": {}}, "a", 6.5, 1 + 0.5 + 0.25 + 3 + 1),  # the second has not ended yet
        ({"a": KILLED, "b": KILLED | {"train_seconds": 9.0}, "c": {}}, "ac", 7.5, 2.0),
        ({"b": {}}, "a", 0, 17.25),
    ],
)
def test_what_a_killed_command_spent_is_counted_apart(
    tmp_path: Path, commands: dict[str, Any], lines: str, train: float, apart: float
) -> None:
    store = store_of(tmp_path, aa=NEW | {"commands": commands})
    for command in lines:
        add_session(store, "s", Session("2026-01-01", 20.0, 1.0, 1, 0.0, ["aa"], command=command))
    found, said, _ = shown(store)
    assert (found["train"] or 0) == pytest.approx(train)
    assert sum(filter(None, found.values())) == pytest.approx(20 * len(lines))
    assert all(seconds is None or seconds >= 0 for seconds in found.values())
    assert (f"{apart:,.1f} s, which are not in these sums" in said) == bool(apart)


@pytest.mark.parametrize(
    ("wall", "rest", "over"), [(20.0, 0.25, 0.0), (19.75, 0.0, 0.0), (19.5, 0.0, 0.25), (9.5, 0.0, 10.25)]
)
def test_nothing_is_less_than_nothing(tmp_path: Path, wall: float, rest: float, over: float) -> None:
    """Where what was counted is more than there was, all is its sum, and how much that is too much is said."""
    store = store_of(tmp_path, aa=NEW)  # 17.25 s
    add_session(store, "s", Session("2026-01-01", wall, 1.0, 1, 1.5, ["aa"]))
    found, said, _ = shown(store)
    assert found["rest"] == pytest.approx(rest)
    assert all(seconds >= 0 for seconds in filter(None, found.values()))
    assert sum(filter(None, found.values())) == pytest.approx(wall + over)
    sheet = spent_sheets(read_status(store, "s"), *sessions(store, "s"))[0]
    assert sum(record["share"] for record in sheet.records) == pytest.approx(1)
    assert (f"parts overlap by {over:,.2f} s ({over / (wall + over):.1%})" in said) == bool(over)


def test_who_went_on_from_less_than_was_written_spent_nothing_there(tmp_path: Path) -> None:
    """A checkpoint that was damaged: the run went on from the one before, and says less than the killed command did."""
    store = store_of(tmp_path, aa=NEW | {"commands": {"a": KILLED | {"train_seconds": 12.0}, "b": {}}})
    add_session(store, "s", Session("2026-01-01", 20.0, 1.0, 1, 0.0, ["aa"], command="b"))
    assert shown(store)[0]["train"] == 0


def test_what_trains_now_is_said(tmp_path: Path) -> None:
    store = store_of(tmp_path, aa=NEW, bb={})
    with store.run("bb").hold():
        store.run("bb").write_state(state="running")
        assert "1 running, whose times are not known yet" in shown(store)[1]
        store.run("aa").write_state(state="failed", **dict.fromkeys(NEW))
        assert "s: 1 running, no times yet" in shown(store)[1]


@pytest.mark.parametrize(
    ("places", "said"), [([1], ""), ([6], "10 s on 6 places has 60"), ([1, 2], "on 2 places has 20")]
)
def test_seconds_of_places_are_explained(tmp_path: Path, places: list[int], said: str) -> None:
    store = store_of(tmp_path, aa=NEW)
    for number in places:
        add_session(store, "s", Session("2026-01-01", 20.0, 1.0, number, 1.5, ["aa"]))
    assert said in shown(store)[1]
    assert ("seconds of places" in shown(store)[1]) == bool(said)


def test_what_was_not_measured_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path, aa=OLD)
    found, said, _ = shown(store)
    unknown = dict.fromkeys(("before", "start", "data", "write", "idle", "rest"))
    assert found == unknown | {"train": 8.0, "evaluate": 2.0}
    assert "1 run of earlier versions: start, data and write of those are unknown" in said
    assert "not known" in said
    add_session(
        store, "s", Session("2026-01-01", 20.0, 1.0, None, None, ["aa"])
    )  # of a cluster, whose places nobody knows
    assert shown(store)[0]["idle"] is None


def test_of_two_models_the_slow_one_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, aa=OLD, bb=OLD | {"train_seconds": 28.0})
    (record,) = shown(store)[2]
    assert record == {"key": "seed", "value": "1", "runs": 1, "seconds_a_run": 30.0, "others_seconds_a_run": 10.0}


def test_nothing_trained_is_said(tmp_path: Path) -> None:
    assert "nothing was trained yet" in shown(RunStore(tmp_path).prepare(), None)[1]


def test_damaged_times_are_a_line(tmp_path: Path) -> None:
    store = store_of(tmp_path, aa=NEW)
    add_session(store, "s", Session("2026-01-01", 20.0, 1.0, 2, 1.5, ["aa"]))
    path = tmp_path / FOLDER / "s.jsonl"
    path.write_bytes(path.read_bytes().replace(b"20.0", b"30.0"))
    assert sessions(store, "s")[0] == []
    assert "is damaged" in shown(store)[1]
    path.write_text('{"began": 3}\n[1]\n')
    assert "is damaged" in shown(store, None)[1]
    path.write_text("[" * 100_000 + "\n")
    assert "is damaged" in shown(store)[1]


def test_another_sweep_is_not_counted(tmp_path: Path) -> None:
    store = store_of(tmp_path, aa=NEW)
    add_session(store, "s", Session("2026-01-01", 20.0, 1.0, 2, 1.5, ["gone"]))
    assert shown(store)[0]["idle"] is None
