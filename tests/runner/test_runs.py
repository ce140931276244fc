"""`batchlab runs`: the list; a removal that shows first what would go, refuses what is alive and leaves no ghosts."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.show.layout import laid_out
from batchlab.results.show.render import render
from batchlab.results.show.runs_sheet import runs_sheet
from batchlab.results.show.sheet import Sheet
from batchlab.results.store import run as run_module
from batchlab.results.store.aside import set_aside, stale_store
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.words import caption
from batchlab.runner import cli
from batchlab.runner.plan.config import compose

ACCURACY = {"a0": 0.5, "a1": 0.9, "b0": 0.7}


def made(store: RunStore, run_id: str, accuracy: float | None, state: str = "done") -> Run:
    run = store.run(run_id)
    names = {
        "optimizer": run_id[0],
        "lr_schedule": "constant",
        "batch_schedule": "constant",
        "model": "m",
        "dataset": "d",
    }
    tree: dict[str, Any] = {axis: {"name": name} for axis, name in names.items()} | {"seed": int(run_id[1])}
    run.write_config(yaml.safe_dump(tree))
    run.write_state(state=state)
    if accuracy is not None:
        with Recorder(run) as recorder:
            recorder.write("metrics", {"samples": 1, "test_accuracy": accuracy / 2})
            recorder.write("metrics", {"samples": 2, "test_accuracy": accuracy})
            recorder.seal(names | {"seed": tree["seed"], "run_id": run_id}, tree)
    return run


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "runs").prepare()
    for run_id, accuracy in ACCURACY.items():
        made(store, run_id, accuracy)
    made(store, "b1", None, "failed")
    store.write_sweep("all", [SweepEntry(run_id) for run_id in (*ACCURACY, "b1")])
    store.write_sweep("ones", [SweepEntry("a1", {"case": "first"}, ["optimizer=a"])])
    return store


def batchlab(store: RunStore, *arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["runs", *arguments, "--runs", str(store.root)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return done.stdout


def listed(store: RunStore, *arguments: str) -> list[str]:
    records = csv.DictReader(io.StringIO(batchlab(store, "list", "--format", "csv", *arguments)))
    return [record["run_id"] for record in records]


def there(store: RunStore) -> list[str]:
    return [run.run_id for run in store.runs()]


def test_every_run_is_listed_best_first_where_that_is_asked(store: RunStore) -> None:
    assert listed(store) == ["a0", "a1", "b0", "b1"]
    assert listed(store, "--metric", "test_accuracy") == ["a1", "b0", "a0", "b1"]
    assert listed(store, "--metric", "min:test_accuracy", "--where", "optimizer=a") == ["a1", "a0"]
    assert listed(store, "--sweep", "ones") == ["a1"]
    said = batchlab(store, "list", "--metric", "test_accuracy")
    assert "90.00" in said
    assert "b seed=1" in said
    assert "first a " in batchlab(store, "list", "--sweep", "ones")
    assert "not reached" in batchlab(store, "list", "--metric", "samples_to:test_accuracy>=0.8")


def test_what_says_most_of_the_runs_is_shown_with_their_time(store: RunStore) -> None:
    """Unasked: the first of the known metrics that most of them recorded, at their ends, in its unit."""
    store.run("a0").write_state(train_seconds=75.04, fused=2)
    said = batchlab(store, "list")
    head, *rows = [line.split() for line in said.splitlines() if line[:2] in (" r", " a", " b")]
    assert head == ["run", "state", "what", "differs", "test", "accuracy", "[%]", "time", "[s]"]
    assert rows[0] == ["a0", "done", "a", "seed=0", "50.00", "75.0"]
    assert rows[3] == ["b1", "failed", "b", "seed=1", "–", "–"]
    assert "share of their group's time" in said
    records = list(csv.DictReader(io.StringIO(batchlab(store, "list", "--format", "csv"))))
    assert [record["test_accuracy"] for record in records] == ["0.5", "0.9", "0.7", ""]
    assert [record["train_seconds"] for record in records] == ["75.04", "", "", ""]
    assert [record["what"] for record in records][:2] == ["optimizer=a seed=0", "optimizer=a seed=1"]


def test_runs_come_in_the_order_of_what_is_asked(store: RunStore) -> None:
    for run_id, seconds in (("a1", 3.0), ("b0", 1.0), ("b1", 2.0)):
        store.run(run_id).write_state(train_seconds=seconds)
    assert listed(store, "--sort", "metric") == ["a1", "b0", "a0", "b1"]
    assert listed(store, "--sort", "train_seconds") == ["b0", "b1", "a1", "a0"]
    assert listed(store, "--sort", "state") == ["a0", "a1", "b0", "b1"]
    assert listed(store, "--sort", "seed") == ["a0", "b0", "a1", "b1"]
    assert listed(store, "--metric", "test_accuracy", "--sort", "optimizer") == ["a0", "a1", "b0", "b1"]
    with pytest.raises(ValueError, match="no run has the axis colour"):
        listed(store, "--sort", "colour")


def test_eighty_columns_break_no_word() -> None:
    trees = [
        {
            "optimizer": {"name": name, "lr": lr, "weight_decay": lr / 10},
            "batch_schedule": {"name": "geometric", "size": n},
        }
        for name, lr, n in (("vr_momentum", 0.00123456, 100_000), ("vr_momentum", 0.1, 64))
    ]
    told = [{"why": "RuntimeError: no such kernel"}, {}]
    rows = [
        RunRow(f"0123456789a{i}", State.INTERRUPTED, None, {"train_seconds": 1e4, "set_aside": told[i]}, tree, {}, {})
        for i, tree in enumerate(trees)
    ]
    sheet = runs_sheet(Frame(rows, pa.table({}), frozenset(), []))
    lines = ["".join(text for text, _ in line) for line in laid_out(sheet, 80)]
    assert max(map(len, lines)) <= 80
    shown = {word for line in lines for word in line.split()}
    words = [cell.text.split() for row in sheet.rows for cell in row]
    assert {word for own in words for word in own} <= shown
    assert {"weight_decay=0.01", "size=64", "RuntimeError:"} <= shown


def test_a_metric_or_an_axis_that_there_is_not_is_said(store: RunStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no_such"):
        batchlab(store, "list", "--metric", "no_such")
    with pytest.raises(ValueError, match="colour"):
        batchlab(store, "list", "--where", "colour=red")
    with pytest.raises(ValueError, match="there is no folder"):
        batchlab(RunStore(tmp_path / "none"), "list")


def test_a_removal_is_shown_first(store: RunStore) -> None:
    said = batchlab(store, "rm", "--where", "optimizer=a")
    assert "2 runs, 0.0 MB: nothing was removed, --yes does it" in said
    assert ("a0" in said, "a1" in said, "b0" in said) == (True, True, False)
    assert there(store) == ["a0", "a1", "b0", "b1"]
    assert "removed: 2 runs" in batchlab(store, "rm", "--where", "optimizer=a", "--yes")
    assert there(store) == ["b0", "b1"]
    assert [entry.run_id for entry in store.sweep("all").entries] == ["b0", "b1"], "they are not left to be trained"
    assert store.sweeps() == ["all"], "a sweep without runs is none"
    assert not [*store.root.glob(".removed*")]


def test_all_runs_are_not_removed_by_saying_nothing(store: RunStore) -> None:
    with pytest.raises(ValueError, match="which runs"):
        batchlab(store, "rm", "--yes")
    assert len(there(store)) == 4


def test_what_is_being_trained_is_refused_and_nothing_removed(store: RunStore) -> None:
    with store.run("a1").hold(), pytest.raises(ValueError, match="being trained: a1"):
        batchlab(store, "rm", "--where", "optimizer=a", "--yes")
    assert len(there(store)) == 4


def test_runs_are_listed_as_they_were_asked_for_the_latest_sweep_first(store: RunStore) -> None:
    store.write_sweep("early", [SweepEntry("b1"), SweepEntry("a0")])
    for at, name in enumerate(("early", "all", "ones"), 1):
        os.utime(store.root / ".sweeps" / f"{name}.json", (at, at))
    made(store, "c0", 0.1)
    assert listed(store) == ["a1", "b0", "b1", "a0", "c0"], "each where it was made; of no sweep: at the end"
    assert listed(store, "--sweep", "early") == ["b1", "a0"]


def test_the_order_of_sweeps_and_a_declared_one_stay(store: RunStore) -> None:
    store.write_sweep("looks", [SweepEntry("a0"), SweepEntry("b0")])
    store.declare("looks", {"looks": [3]})
    batchlab(store, "rm", "--where", "run_id=a0", "--yes")
    assert store.sweeps() == ["all", "ones", "looks"]
    assert [entry.run_id for entry in store.sweep("looks").entries] == ["a0", "b0"]
    (store.root / ".sweeps" / "broken.json").write_text("{")
    batchlab(store, "rm", "--where", "run_id=b0", "--yes")
    assert there(store) == ["a1", "b1"]


def test_earlier_runs_are_listed_and_removed_apart(store: RunStore) -> None:
    for _ in range(2):
        with store.run("a1").hold() as run:
            set_aside(store, run, "x.py has changed")
        made(store, "a1", 0.95)
    assert listed(store, "--stale", "--metric", "test_accuracy") == ["a1-2", "a1-1"]
    assert listed(store, "--stale", "--sweep", "ones") == ["a1-1", "a1-2"]
    assert batchlab(store, "list", "--stale", "--format", "csv").count("x.py has changed") == 2
    assert there(store) == ["a0", "a1", "b0", "b1"]
    batchlab(store, "rm", "--stale", "--where", "run_id=a1-1", "--yes")
    assert there(stale_store(store)) == ["a1-2"]
    assert store.sweep("ones").entries, "the run in its place is still there"
    batchlab(store, "rm", "--stale", "--yes")
    assert there(stale_store(store)) == []
    assert len(there(store)) == 4


def test_who_waits_for_a_run_that_is_set_aside_holds_the_one_in_its_place(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock is on a file, which goes with its folder: here between the opening of the file and its locking."""
    run, acquire = store.run("a1"), run_module.acquire
    waiting = [True]

    def slowly(descriptor: int) -> bool:
        if waiting and waiting.pop():
            set_aside(store, run, "because")
        return acquire(descriptor)

    monkeypatch.setattr(run_module, "acquire", slowly)
    with run.hold():
        assert run.held()
    assert stale_store(store).run("a1-1").read_state().info["set_aside"]["why"] == "because"


def test_runs_of_the_same_choices_are_told_apart(store: RunStore) -> None:
    """By the keys that differ among the runs that are shown, in the list and before a removal."""
    for run_id, lr in (("c0", 0.1), ("c0x", 0.001)):
        run = made(store, run_id, 0.5)
        tree = yaml.safe_load(run.config.read_text())
        tree["optimizer"] |= {"name": "c", "lr": lr, "beta": 0.9}
        run.metrics.unlink()
        run.write_config(yaml.safe_dump(tree))
        run.write_state(state="failed")
    for said in (batchlab(store, "list"), batchlab(store, "rm", "--where", "optimizer=c")):
        assert " lr=0.1" in said
        assert " lr=0.001" in said
        assert "beta" not in said
    assert "optimizer.lr" not in batchlab(store, "list", "--where", "optimizer=a,b")


def test_a_removal_names_the_other_sweeps_that_lose_runs(store: RunStore) -> None:
    store.write_sweep("x2", [SweepEntry("a0"), SweepEntry("a1"), SweepEntry("b0")])
    for yes in ([], ["--yes"]):
        said = batchlab(store, "rm", "--sweep", "ones", *yes)
        assert "1 of them is in sweep x2 too" in said
        assert "1 of them is in sweep all too" in said
        assert "in sweep ones" not in said
    assert "2 of them are in sweep x2" in batchlab(store, "rm", "--where", "seed=0")


def test_truths_are_written_as_yaml_has_them_and_as_they_can_be_typed(store: RunStore) -> None:
    """Hydra writes `True` where a sweep gave `true`."""
    assert caption({}, ["optimizer.nesterov=True", "a=[False, 'True']"]) == (
        "optimizer.nesterov=true a=[false, 'True']"
    )
    one, other = (compose(["optimizer=sgd", f"optimizer.fused={text}"])[0] for text in ("True", "true"))
    assert one.run_id == other.run_id
    sheet = Sheet("", [], [], [], [{"nesterov": True, "n": 1, "best": False}])
    assert render(sheet, "csv").splitlines() == ["nesterov,n,best", "true,1,false"]
