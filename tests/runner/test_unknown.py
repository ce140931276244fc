"""What there is not: exit code 2, and one line with what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from shell import in_process

from batchlab.results.store.record import Recorder
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore, SweepEntry


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs that are done, one of them in a sweep."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    for run_id, optimizer, seed in (("a0", "shb", 0), ("a1", "shb", 1), ("b0", "nshb", 0)):
        names = {axis: axis for axis in ("lr_schedule", "batch_schedule", "model", "dataset")} | {
            "optimizer": optimizer
        }
        tree: dict[str, Any] = {axis: {"name": name} for axis, name in names.items()} | {"seed": seed}
        tree["optimizer"]["lr"] = 0.1
        run = store.run(run_id)
        run.write_config(yaml.safe_dump(tree))
        run.write_state(state="done")
        with Recorder(run) as recorder:
            recorder.write("metrics", {"samples": 1, "test_accuracy": 0.5})
            recorder.seal(names | {"seed": seed, "run_id": run_id}, tree)
    store.write_sweep("ones", [SweepEntry("a1")])
    return store.root


READERS = (
    ["table"],
    ["plot", "-o", "{out}"],
    ["report", "-o", "{out}"],
    ["runs", "list"],
    ["runs", "rm", "--where", "seed=0"],
    ["status"],
)


@pytest.mark.parametrize("command", READERS, ids=lambda c: " ".join(c[:2]))
def test_a_folder_that_is_not_there(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [a.format(out=tmp_path / "out.html") for a in command]
    nowhere = tmp_path / "nope"
    code, out, said = in_process(*arguments, "--runs", str(nowhere), monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out) == (2, "")
    assert said.startswith(f"batchlab: there is no folder {nowhere}: ")
    assert said.count("\n") == 1
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["table"], 2, "batchlab: no runs in runs yet: start some with `batchlab sweep`"),
        (["plot"], 2, "batchlab: no runs in runs yet"),
        (["report"], 2, "batchlab: no runs in runs yet"),
        (["status"], 0, "no runs yet: start some with `batchlab sweep`"),
        (["runs", "list"], 0, "no runs match"),
    ],
)
def test_before_the_first_run(
    command: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whoever asks how things stand is answered; a table of nothing is none. An empty folder is as good as none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BATCHLAB_RUNS", raising=False)
    (tmp_path / "runs").mkdir()
    found, out, said = in_process(*command, monkeypatch=monkeypatch, capfd=capfd)
    assert (found, says in out + said) == (code, True)
    (tmp_path / "runs").rmdir()
    assert in_process(*command, monkeypatch=monkeypatch, capfd=capfd)[0] == code


UNKNOWN = {
    "value": (["table", "--where", "optimizer=adam"], "no run has optimizer=adam; optimizer is one of nshb, shb$"),
    "only value": (["table", "--where", "model=mlp"], "no run has model=mlp; model is model$"),
    "value of a list": (["runs", "list", "--where", "seed=7"], "no run has seed=7; seed is one of 0, 1$"),
    "value of a plot": (["plot", "--where", "optimizer.lr=1,2"], "no run has optimizer.lr=1,2; optimizer.lr is 0.1$"),
    "what is removed": (["runs", "rm", "--where", "seed=7"], "seed is one of 0, 1$"),
    "both": (
        ["table", "--where", "optimizer=nshb", "--where", "seed=1"],
        "no run has optimizer=nshb and seed=1 together$",
    ),
    "axis of a condition": (["table", "--where", "optimiser=shb"], "no run has the axis optimiser; did you mean optim"),
    "axis of rows": (["table", "--rows", "optimiser"], "no run has the axis optimiser; did you mean optimizer"),
    "axis of columns": (["table", "--cols", "colour"], "no run has the axis colour; there are batch_schedule, dataset"),
    "hue": (["plot", "--hue", "lr"], "no run has the axis lr; did you mean optimizer.lr"),
    "baseline": (["table", "--baseline", "optimizer=adam"], "optimizer=adam; optimizer is one of nshb, shb$"),
    "axis of the baseline": (["table", "--baseline", "model=m"], r"must be an axis of the table \(optimizer\)$"),
    "metric": (["table", "--metric", "test_acc"], "no run has the metric test_acc; did you mean test_accuracy"),
    "metric of a list": (["runs", "list", "--metric", "gap"], "no run has the metric gap"),
    "x": (["plot", "--x", "hours"], "no x-axis hours: choose samples, steps, epochs"),
    "sweep": (["table", "--sweep", "twos"], r"no sweep named twos in .* \(there are: ones\)$"),
    "sweep of a status": (["status", "twos"], r"\(there are: ones\)$"),
    "sweep of a report": (["report", "--sweep", "twos"], r"\(there are: ones\)$"),
}


@pytest.mark.parametrize(("arguments", "says"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_no_run_has_is_said_with_what_there_is(
    arguments: list[str], says: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root.parent)
    code, out, said = in_process(*arguments, "--runs", str(root), monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out) == (2, "")
    assert said.count("\n") == 1
    assert re.search(says, said.strip()), said


def test_many_values_are_not_all_named(tmp_path: Path) -> None:
    """Twelve of them, and how many there are beside."""
    import pyarrow as pa

    from batchlab.results.compare.frame import Frame, RunRow
    from batchlab.results.compare.nothing import nothing_meets

    runs = [RunRow(str(i), State.DONE, None, {}, {"seed": i}, {}, {}) for i in range(30)]
    frame = Frame(runs, pa.table({}), frozenset(), [])
    said = nothing_meets(frame, [{"seed": ["99"]}])
    assert said == "no run has seed=99; seed is one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 18 more"
    assert nothing_meets(frame, [{"seed": ["99"]}, {"seed": ["1"], "run_id": ["2"]}]).endswith(
        "; no run has seed=1 and run_id=2 together"
    )


OPTIONS = {
    "choice with equals": (["sweep", "--optimizer=shb"], "--optimizer=shb: .* write optimizer=shb$"),
    "choice apart": (["sweep", "--optimizer", "shb,adam"], "--optimizer shb,adam: .* write optimizer=shb,adam$"),
    "after another": (["train", "model=mlp", "--seed", "1", "nproc=2"], "--seed 1: .* write seed=1$"),
    "last part of a key": (["compare", "--epochs", "5"], "--epochs 5: .* write train.epochs=5$"),
    "with dashes": (["show", "--batch-schedule", "constant"], "write batch_schedule=constant$"),
    "key of a choice": (["sweep", "optimizer=adam", "--betas=[0.9,0.99]"], r"write 'optimizer.betas=\[0.9,0.99\]'$"),
    "whole key": (["sweep", "--optimizer.lr", "0.1"], "write optimizer.lr=0.1$"),
    "one dash": (["sweep", "-seed", "1"], "-seed 1: .* write seed=1$"),
    "no value": (["sweep", "--optimizer"], "write optimizer=...$"),
    "before an override": (["sweep", "--optimizer", "seed=1"], "--optimizer: .* write optimizer=...$"),
    "option": (["sweep", "--dryrun"], r"sweep has no --dryrun; did you mean --dry-run\?$"),
    "short for one": (["table", "--row", "optimizer"], r"table has no --row; did you mean --rows\?$"),
    "nothing like it": (["show", "--zzz"], "show has no --zzz; it has --axes"),
    "below another": (["runs", "list", "--wher", "seed=1"], r"list has no --wher; did you mean --where\?$"),
    "override of a table": (["table", "optimizer=shb"], "table takes no overrides: write --where optimizer=shb$"),
    "before its command": (["--runs", "x", "table"], "--runs stands after the command, as in `.* table --runs ...`$"),
    "before one below another": (
        ["runs", "--where", "seed=1", "list"],
        "--where stands after .*runs list --where ...`$",
    ),
    "takes no overrides": (["table", "--optimizer", "shb"], "table has no --optimizer; it has --rows, "),
}


@pytest.mark.parametrize(("arguments", "says"), OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_that_there_is_not(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, said = in_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out) == (2, "")
    assert said.startswith("batchlab: ")
    assert said.count("\n") == 1
    assert re.search(says, said.strip()), said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sweep --draws 0", "invalid value for '--draws': Input should be greater than or equal to 1"),
        ("reproduce vrgd --scale tiny", "invalid value for '--scale': 'tiny' is not one of 'laptop', "),
        ("optimizer=shb", "optimizer=shb: a command comes first, as in `batchlab sweep optimizer=shb`"),
        ("nothing", "no command nothing; there are train, sweep, "),
        ("data prepare", "missing argument 'NAME...'"),
        ("runs rm 40f708778768", "rm does not take 40f708778768: runs are chosen by --where run_id=40f708778768"),
        ("reproduce vrgd optimizer=shb", "reproduce does not take optimizer=shb: overrides are for train, sweep, "),
        ("data list --foo", "list has no --foo; it has no options"),
    ],
)
def test_a_line_that_cannot_be_read_is_answered_in_one(
    line: str, says: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = in_process(*line.split(), monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"batchlab: {says}")
