"""Loading many runs: axes, conditions, runs that are not over, and files that are damaged."""

import subprocess
import sys

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from batchlab.results.compare.load import load
from batchlab.results.compare.where import conditions
from batchlab.results.store.run import State
from batchlab.results.store.runs import SweepEntry
from batchlab.results.words import quoted


def test_axes_labels_and_configuration_keys(lab, curve):
    lab.run("a", curve([0.1, 0.2]), optimizer="shb", seed=1)
    lab.run("b", curve([0.3]), optimizer="adam", seed=0, eps=1e-8)
    lab.store.write_sweep("s", [SweepEntry("b", {"case": "x"}), SweepEntry("a", {"case": "y"})])
    frame = load(lab.store, "s")
    assert [run.run_id for run in frame.runs] == ["b", "a"]  # the sweep's order
    run = frame.runs[0]
    values = [run.value(key) for key in ("optimizer", "seed", "case", "optimizer.eps", "train.compile", "nope.x")]
    assert values == ["adam", 0, "x", 1e-8, False, "?"]
    assert run.value("model.widths") == "[16, 32]"
    assert run.value("case,optimizer") == "x adam"
    pandas = frame.to_pandas("optimizer.eps")
    assert list(pandas["test_accuracy"]) == [0.3, 0.1, 0.2]
    assert list(pandas["optimizer"]) == ["adam", "shb", "shb"]
    assert list(pandas["case"]) == ["x", "y", "y"]
    assert list(pandas["seed"]) == [0, 1, 1]
    assert list(pandas["state"]) == ["done"] * 3


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["optimizer=shb"], "ac"),
        (["optimizer=adam,shb", "seed=0"], "ab"),
        (["optimizer.lr=1e-1"], "abc"),
        (["train.compile=false"], "abc"),
        (["lr_schedule.every=null"], "abc"),
        (["run_id=c"], "c"),
    ],
)
def test_where(lab, curve, where, expected):
    for run_id, optimizer, seed in (("a", "shb", 0), ("b", "adam", 0), ("c", "shb", 1)):
        lab.run(run_id, curve([0.1]), optimizer=optimizer, seed=seed)
    assert [run.run_id for run in load(lab.store, where=where).runs] == list(expected)


VALUES = {
    "list": [64, 128],
    "other": [32, 64],
    "words": ["a", "b c"],
    "rates": [0.1, None],
    "none": [],
    "comma": "a, b",
    "equals": "a=b",
    "quote": "it's",
    "double": 'a "b", c',
    "open": "a[b",
    "space": " a",
    "empty": "",
    "accents": "été",
    "plain": "${b}",
}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("[64, 128]", ["list"]),
        ("[64,128]", ["list"]),
        ("[ 64 , 128.0 ]", ["list"]),
        ("[64,128],[32,64]", ["list", "other"]),
        ("[a,b c]", ["words"]),
        ("['a','b c']", ["words"]),
        ("[1e-1,null]", ["rates"]),
        ("[]", ["none"]),
        ("'a, b'", ["comma"]),
        ('"a, b",[64,128]', ["comma", "list"]),
        ("a=b", ["equals"]),
        ("it's", ["quote"]),
        ("""'a "b", c'""", ["double"]),
        ("a[b,été", ["accents", "open"]),
        ("' a'", ["space"]),
        ("''", ["empty"]),
        ("${b}", ["plain"]),
        (r"\${b}", ["plain"]),
        (r"'\${b}'", ["plain"]),
        (r'"\${b}",[]', ["none", "plain"]),
    ],
)
def test_where_takes_lists_commas_and_quotes(lab, curve, typed, expected):
    for run_id, value in VALUES.items():
        lab.run(run_id, curve([0.1]), key=value)
    assert [run.run_id for run in load(lab.store, where=[f"optimizer.key={typed}"]).runs] == sorted(expected)


@pytest.mark.parametrize("typed", ["[64]", "a", "['a']"])
def test_a_value_that_no_run_has_is_refused(lab, curve, typed):
    lab.run("a", curve([0.1]), key=[64, 128])
    with pytest.raises(ValueError, match=r"no run has optimizer\.key=.*; optimizer\.key is \[64, 128\]"):
        load(lab.store, where=[f"optimizer.key={typed}"])


def test_where_finds_a_run_that_never_started_as_its_sweep_says_it(lab):
    lab.store.write_sweep("s", [SweepEntry("a", {}, [r'+note="\${b}"'])])
    for typed in (r'"\${b}"', "${b}"):
        assert [run.run_id for run in load(lab.store, sweep="s", where=[f"note={typed}"]).runs] == ["a"]


@example(["='", "'"])
@given(st.lists(st.text(st.sampled_from("ab ,='\"[]é"), max_size=6), min_size=1, max_size=3))
def test_what_is_quoted_is_taken_apart_again(values):
    plain = [value for value in values if not ("'" in value and '"' in value)]
    assert conditions(f"key={','.join(map(quoted, plain))}", "--where") == {"key": plain} if plain else True


def test_a_seed_of_many_digits_is_found(lab, curve):
    for run_id, seed in (("a", 2**63 - 1), ("b", 2**63 - 2)):
        lab.run(run_id, curve([0.1]), seed=seed)
    assert [run.run_id for run in load(lab.store, where=[f"seed={2**63 - 1}"]).runs] == ["a"]


def test_bad_conditions_say_what_to_write(lab, curve):
    lab.run("a", curve([0.1]))
    with pytest.raises(ValueError, match="AXIS=VALUE"):
        conditions("optimizer", "--where")
    with pytest.raises(ValueError, match=r"no run has the axis optimiser; did you mean optimizer"):
        load(lab.store, where=["optimiser=shb"])
    with pytest.raises(ValueError, match=r"no run has the axis lr; did you mean optimizer.lr\?"):
        load(lab.store, where=["lr=0.1"])
    with pytest.raises(ValueError, match=r"no run has the axis xyz; there are .*optimizer, .*seed"):
        load(lab.store, where=["xyz=0.1"])


def test_columns_are_read_on_demand_but_all_names_are_known(lab, curve):
    lab.run("a", [{**row, "train_loss": 1.0} for row in curve([0.1])])
    frame = load(lab.store, columns=["train_loss", "elsewhere"])
    assert frame.table.column_names == ["train_loss"]
    assert {"test_accuracy", "samples", "train_loss"} <= frame.names


@pytest.mark.parametrize("state", ["running", "interrupted", "failed", "crashed"])
def test_runs_that_are_not_over_are_read_from_their_lines(lab, curve, state):
    run = lab.run("a", curve([0.1, 0.4]), state=state)
    with open(run.stream("metrics"), "a") as file:
        file.write('{"samples": 1')
    frame = load(lab.store)
    assert not run.metrics.exists()
    assert frame.column("test_accuracy")[0].tolist() == [0.1, 0.4]
    assert frame.runs[0].value("optimizer") == "shb"
    assert frame.runs[0].state is (State.CRASHED if state == "running" else State(state))


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "directory"])
def test_a_damaged_parquet_is_named_and_the_others_show(lab, curve, damage):
    run = lab.run("a", curve([0.1]), optimizer="adam")
    lab.run("b", curve([0.2]))
    content = run.metrics.read_bytes()
    run.metrics.unlink()
    if damage == "directory":
        run.metrics.mkdir()
    else:
        run.metrics.write_bytes({"truncated": content[:-20], "empty": b"", "garbage": b"PAR1" * 50}[damage])
    frame = load(lab.store)
    assert [run.state for run in frame.runs] == [State.DAMAGED, State.DONE]
    assert frame.runs[0].value("optimizer") == "adam"  # from config.yaml
    (problem,) = frame.problems
    assert "a/metrics.parquet is damaged" in problem
    assert f"delete {run.folder}" in problem
    assert "\n" not in problem
    assert frame.column("test_accuracy")[0].tolist() == [0.2]


def test_damaged_lines_configuration_and_state(lab, curve):
    lab.run("a", curve([0.1]), state="failed").stream("metrics").write_text("{\n{}\n")
    lab.run("b", curve([0.1]), state="failed").config.write_text("{a: [")
    lab.run("c", curve([0.1])).state_file.write_text("{")
    frame = load(lab.store)
    assert [run.state for run in frame.runs] == [State.DAMAGED] * 3
    assert all("delete" in problem for problem in frame.problems)


def test_runs_that_never_started_are_known_by_their_overrides(lab):
    lab.store.write_sweep("s", [SweepEntry("a", {}, ["optimizer=adam", "+seed=3"])])
    (run,) = load(lab.store, "s").runs
    assert (run.state, run.value("optimizer"), run.value("seed")) == (State.PENDING, "adam", "3")


def test_columns_of_different_types_and_names(lab):
    lab.run("a", [{"samples": 0, "x": 1}])
    lab.run("b", [{"samples": 0, "x": 1.5, "y": True}])
    frame = load(lab.store)
    assert frame.column("x")[0].tolist() == [1.0, 1.5]
    values, valid = frame.column("y")
    assert valid.tolist() == [False, True]
    assert values[1] == 1.0


def test_an_empty_store(lab):
    frame = load(lab.store)
    assert frame.runs == []
    assert frame.to_pandas().empty


def test_a_table_needs_no_pandas_and_nothing_imports_torch():
    code = (
        "import sys, batchlab.results.compare.table, batchlab.results.show.table_sheet, batchlab.results.show.render, "
        "batchlab.results.show.figure, batchlab.results.report.write; "
        "heavy = {'pandas', 'matplotlib', 'torch', 'rich', 'scipy.stats'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_runs_of_0_1_and_of_today_are_read_alike(lab, curve):
    """What is measured was a switch of the log block once; both spellings ask for it, of both kinds of runs."""
    lab.run("old", curve([0.1]), train_accuracy=True)
    lab.run("older", curve([0.1]), train_accuracy=False)
    new = {"scores": {"name": "scores"}, "train_accuracy": {"name": "train_accuracy"}}
    run = lab.run("new", curve([0.1]))
    config = yaml.safe_load(run.config.read_text()) | {"measure": new, "log": {"steps": False}}
    run.metrics.unlink()
    run.write_config(yaml.safe_dump(config))
    frame = load(lab.store)
    assert {r.run_id: r.value("measure") for r in frame.runs} == {
        "old": "scores train_accuracy",
        "older": "scores",
        "new": "scores train_accuracy",
    }
    for asked in ("log.train_accuracy=true", "measure=scores train_accuracy"):
        assert [r.run_id for r in load(lab.store, where=[asked]).runs] == ["new", "old"]
    assert load(lab.store, where=["log.gsnr=false"]).runs
    assert frame.values("measure") == ["scores", "scores train_accuracy"]
