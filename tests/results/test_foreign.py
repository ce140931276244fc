"""Foreign or broken files make one named run damaged, and never end a command: all others are shown as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchlab.results.axes import CHOICES
from batchlab.results.compare.load import load, swept_keys
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import build_table, load_table
from batchlab.results.report.write import write_report
from batchlab.results.show.render import render
from batchlab.results.show.runs_sheet import runs_sheet
from batchlab.results.show.status import read_status
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.record import CONFIG_KEY, Recorder
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore, SweepEntry

CONFIG: dict[str, Any] = {
    **{axis: {"name": f"some_{axis}"} for axis in CHOICES},
    "train": {"epochs": 3},
    "log": {"steps": False},
    "measure": {"scores": {"name": "scores"}},
    "nproc": 1,
    "seed": 0,
}
AXES = {axis: f"some_{axis}" for axis in CHOICES} | {"seed": 0, "run_id": "good"}
ROWS = [{"samples": 64 * i, "steps": i, "epoch": 0.1 * i, "test_accuracy": i / 9} for i in range(4)]
QUICK, LONG = 50, 400

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just("\ud800")
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
INFO = [
    *("reason", "changed", "started", "ended", "host", "git", "samples", "steps", "contention", "pid", "largest_batch"),
    *("batchnorm_part", "fingerprint", "versions", "hardware", "user_git", "quantities", "tuning", "set_aside"),
    *("sealed", "warnings", "tuning_runs", "sources", "methods", "checksum"),
]
states = st.sampled_from([state.value for state in State]) | values
infos = st.dictionaries(st.sampled_from(INFO), values, max_size=5)
run_json = st.tuples(states, infos).map(lambda pair: {**pair[1], "state": pair[0]})
names = st.sampled_from(["samples", "steps", "epoch", "test_accuracy", "train_loss", "note", "seed", "run_id", "layer"])
rows = st.lists(st.dictionaries(names, values, max_size=4), max_size=4)
keys = st.sampled_from([*CHOICES, "train", "log", "measure", "seed", "nproc", "callback", "executor", "name"])
configs = (
    st.dictionaries(keys, values | st.fixed_dictionaries({"name": values}), max_size=5).map(lambda d: CONFIG | d)
    | values
)
ids = st.sampled_from(["good", "bad", "../../etc", "", "a/b", ".", "x" * 300]) | values
entries = st.fixed_dictionaries(
    {}, optional={"run_id": ids, "labels": values, "overrides": values | st.lists(st.text(max_size=5), max_size=2)}
)
manifests = (
    st.fixed_dictionaries({}, optional={"created": values, "runs": values | st.lists(entries, max_size=3)}) | values
)
junk = st.binary(max_size=40) | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"", b"\xff\xfe", b"{}" * 3])


def test_damage_is_named_where_no_other_run_is_left(tmp_path: Path) -> None:
    """A metric that nobody has may have been in the file that cannot be read."""
    store = made(tmp_path)
    path = store.run("good").metrics
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    store.write_sweep("alone", [SweepEntry("good")])
    with pytest.raises(ValueError, match=r"^no run has the metric test_accuracy; ") as caught:
        load_table(store, rows=["optimizer"], metrics=["test_accuracy"], sweep="alone")
    assert f"; {path} is damaged (" in str(caught.value)
    assert str(caught.value).endswith(f"delete {store.run('good').folder} to train the run again")


def as_json(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Files of a strategy's values, and some that are none."""
    return strategy.map(lambda value: json.dumps(value).encode()) | junk


def made(path: Path) -> RunStore:
    """A store with a run that is done, and one that shall be broken; both are in a sweep."""
    store = RunStore(path).prepare()
    for run_id, state in (("good", "done"), ("bad", "interrupted")):
        run = store.run(run_id)
        run.write_config(json.dumps(CONFIG))
        with Recorder(run) as recorder:
            for row in ROWS:
                recorder.write("metrics", row)
            if state == "done":
                recorder.seal(AXES, CONFIG)
        run.write_state(state=state)
    store.write_sweep("both", [SweepEntry("good", {"case": "i"}, ["seed=0"]), SweepEntry("bad", {"case": "ii"})])
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Of all examples of a test."""
    return made(tmp_path_factory.mktemp("foreign"))


def whole(store: RunStore, *, report: bool = False) -> State:
    """Ask every reader; the good run is as it was. Returns the state of the bad one.

    Raises:
        What a reader raises: it is to raise nothing, but a sweep whose own manifest is damaged.
    """
    status = read_status(store)
    for every in (False, True):
        for part in status.sheets(every):
            for format in ("rich", "csv"):
                render(part, format)
    frame = load(store)
    by_id = {run.run_id: run for run in frame.runs}
    good = by_id["good"]
    assert good.state is State.DONE
    assert good.rows.stop - good.rows.start == len(ROWS)
    values, valid = frame.column("test_accuracy")
    assert values[good.rows].tolist() == [row["test_accuracy"] for row in ROWS]
    assert valid[good.rows].all()
    metric = Metric.parse("test_accuracy")
    render(runs_sheet(frame, metric), "rich")
    table = build_table(frame, rows=["optimizer"], cols=["seed"], metrics=[metric])
    render(table_sheet(table), "rich")
    swept_keys(store, frame)
    try:
        load(store, "both", where=["optimizer=some_optimizer"])
        read_status(store, "both").sheets(True)
    except ValueError as error:
        assert "damaged" in str(error) or "no run" in str(error) or "match" in str(error), error  # noqa: PT017
    if report:
        page = write_report(store, store.root / "report.html").read_text()
        assert "good" in page or "some_optimizer" in page
    return next(run.state for run in status.runs if run.run_id == "bad") if len(status.runs) > 1 else State.PENDING


def example(store: RunStore, path: Path, content: bytes) -> None:
    """Every reader, with a file of this content, which is put back."""
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        whole(store)
    finally:
        path.unlink() if before is None else path.write_bytes(before)


FILES: dict[str, tuple[Callable[[RunStore], Path], st.SearchStrategy[bytes]]] = {
    "run.json": (lambda store: Run(store.root / "bad").state_file, as_json(run_json)),
    "progress": (lambda store: Run(store.root / "bad").progress, as_json(infos | values)),
    "metrics.jsonl": (
        lambda store: Run(store.root / "bad").stream("metrics"),
        rows.map(lambda lines: b"".join(json.dumps(line).encode() + b"\n" for line in lines)) | junk,
    ),
    "config.yaml": (lambda store: Run(store.root / "bad").config, as_json(configs)),
    "manifest": (lambda store: store.root / ".sweeps" / "both.json", as_json(manifests)),
    "another manifest": (lambda store: store.root / ".sweeps" / "other.json", as_json(manifests)),
}
relaxed = settings(deadline=None, suppress_health_check=[*HealthCheck])


@pytest.mark.parametrize("kind", FILES)
def test_any_content_of_a_file(kind: str, store: RunStore) -> None:
    place, contents = FILES[kind]

    @settings(relaxed, max_examples=QUICK)
    @given(contents)
    def check(content: bytes) -> None:
        example(store, place(store), content)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_any_content_of_a_file_many_times(kind: str, store: RunStore) -> None:
    place, contents = FILES[kind]

    @settings(relaxed, max_examples=LONG)
    @given(contents)
    def check(content: bytes) -> None:
        example(store, place(store), content)

    check()


columns = st.dictionaries(
    names,
    st.sampled_from(
        [[1, 2], [0.5, None], ["a", "b"], [None, None], [True, False], [[1], [2]], [{"a": 1}, None], [b"x", b"y"]]
    ),
    max_size=4,
)


def parquet(content: dict[str, list[Any]], config: bytes | None) -> pa.Table:
    """A table of these columns, with what stands for a configuration."""
    return pa.table(content).replace_schema_metadata(None if config is None else {CONFIG_KEY: config})


@settings(relaxed, max_examples=QUICK)
@given(columns, st.none() | as_json(configs) | st.just(json.dumps(CONFIG).encode()))
def test_any_parquet(store: RunStore, content: dict[str, list[Any]], config: bytes | None) -> None:
    run = store.run("bad")
    pq.write_table(parquet(content, config), run.metrics)
    try:
        whole(store)
    finally:
        run.metrics.unlink()


@pytest.mark.parametrize(
    ("content", "config", "why"),
    [
        ({"samples": [0]}, None, "it has no configuration: batchlab did not write it"),
        ({"samples": ["a"]}, b"{}", "its column samples holds"),
        ({"samples": [0], "test_accuracy": ["a"]}, b"{}", "its column test_accuracy holds"),
        ({"samples": [0], "note": [[1]]}, b"{}", "its column note holds"),
        ({"samples": [0]}, b"[" * 5000, "(its configuration"),
        ({"samples": [0]}, b'{"optimizer": 3}', "(its configuration is none)"),
    ],
)
def test_a_foreign_parquet_is_one_damaged_run(
    content: dict[str, Any], config: bytes | None, why: str, tmp_path: Path
) -> None:
    store = made(tmp_path)
    run = store.run("bad")
    pq.write_table(parquet(content, config), run.metrics)
    (problem,) = load(store).problems
    assert problem.startswith(f"{run.metrics} is damaged ")
    assert why.strip("(") in problem
    assert problem.endswith(f": delete {run.folder} to train the run again")


@pytest.mark.parametrize("kind", FILES)
def test_a_report_of_a_store_with_brackets_for_a_file(kind: str, tmp_path: Path) -> None:
    """It died of signal 11."""
    store = made(tmp_path)
    FILES[kind][0](store).write_bytes(b"[" * 100_000)
    whole(store, report=True)


@pytest.mark.parametrize(
    "name",
    ["..json", "a b.json", "x.json/", "link.json", "\udcff.json"],
    ids=["dots", "space", "folder", "link", "bytes"],
)
def test_odd_names_among_the_manifests(name: str, tmp_path: Path) -> None:
    store = made(tmp_path)
    path = store.root / ".sweeps" / name.rstrip("/")
    if name.endswith("/"):
        path.mkdir()
    elif name.startswith("link"):
        path.symlink_to("nowhere")
    else:
        path.write_bytes(b"{}")
    assert whole(store, report=True) is State.INTERRUPTED


def test_a_damaged_manifest_is_named_beside_all_runs(tmp_path: Path) -> None:
    store = made(tmp_path)
    path = tmp_path / ".sweeps" / "both.json"
    path.write_text('{"created": "", "runs": [{"run_id": "../../etc"}]}')
    status = read_status(store)
    assert {run.run_id for run in status.runs} == {"good", "bad"}
    assert f"{path} is damaged; run the sweep again (no run is lost)" in [n for s in status.sheets() for n in s.notes]
    with pytest.raises(ValueError, match=r"both.json is damaged; run the sweep again"):
        load(store, "both")
