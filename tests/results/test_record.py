"""The recorder: no finished row is lost, a torn one is dropped, Parquet stands alone."""

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.results.compare.load import load
from batchlab.results.store import parquet
from batchlab.results.store.record import Recorder, read_stream, to_arrow
from batchlab.results.store.runs import RunStore

AXES = {"optimizer": "shb", "seed": 3, "run_id": "abc"}
CONFIG = {"optimizer": {"name": "shb", "lr": 0.1}, "seed": 3}


@pytest.fixture
def run(tmp_path):
    return RunStore(tmp_path / "runs").run("abc").create()


def rows(k, start=0):
    return [{"samples": 64 * i, "train_loss": 1 / (i + 1)} for i in range(start, start + k)]


def test_rows_are_on_disk_before_the_recorder_is_closed(run):
    recorder = Recorder(run)
    for row in rows(3):
        recorder.write("metrics", row)
    assert read_stream(run, "metrics") == rows(3)
    recorder.close()


def test_numbers_of_other_libraries(run):
    with Recorder(run) as recorder:
        recorder.write("metrics", {"a": np.float32(0.5), "b": np.int64(2), "c": np.bool_(True)})
    assert read_stream(run, "metrics") == [{"a": 0.5, "b": 2, "c": True}]


@pytest.mark.parametrize("torn", [b'{"samples": 12', b'{"samples": 128, "train_loss": 0.1}', b"\x00\x00"])
def test_a_torn_last_line_is_dropped_and_overwritten(run, torn):
    with Recorder(run) as recorder:
        for row in rows(2):
            recorder.write("metrics", row)
    with open(run.stream("metrics"), "ab") as file:
        file.write(torn)  # no newline: the writer died
    assert read_stream(run, "metrics") == rows(2)
    with Recorder(run) as recorder:
        assert recorder.counts()["metrics"] == 2
        recorder.write("metrics", rows(1, 2)[0])
    assert read_stream(run, "metrics") == rows(3)


def test_damage_in_the_middle_is_an_error_with_a_way_out(run):
    run.stream("metrics").write_text('{"samples": 1}\n{"sam\n{"samples": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged: delete"):
        read_stream(run, "metrics")


def test_a_killed_process_loses_no_finished_row(run):
    child = os.fork()
    if child == 0:
        recorder = Recorder(run)
        for row in rows(50):
            recorder.write("steps", row)
        run.write_progress(samples=50)
        signal.pause()
    while not run.read_progress():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert read_stream(run, "steps") == rows(50)


def test_truncate_goes_back_to_the_checkpoint_and_no_further(run):
    with Recorder(run) as recorder:
        for row in rows(4):
            recorder.write("metrics", row)
            recorder.write("steps", row)
        counts = recorder.counts()
        for row in rows(3, 4):
            recorder.write("metrics", row)
    with Recorder(run) as recorder:
        recorder.truncate(counts)
        assert recorder.counts() == counts == {"examples": 0, "layers": 0, "metrics": 4, "steps": 4}
        recorder.write("metrics", {"samples": 7})
        assert read_stream(run, "metrics") == [*rows(4), {"samples": 7}]
        with pytest.raises(ValueError, match=r"steps\.jsonl has 4 rows of 9$"):
            recorder.truncate({"metrics": 5, "steps": 9})
        assert recorder.counts()["metrics"] == 5  # nothing was changed
        recorder.truncate({})
    assert read_stream(run, "metrics") == []


def test_sealed_parquet_stands_alone(run):
    run.write_state(state="running", versions={"torch": "2.11"})
    with Recorder(run) as recorder:
        recorder.write("metrics", {"samples": 0, "train_loss": math.nan, "test_loss": math.inf, "ok": True})
        recorder.write("metrics", {"samples": 64, "train_loss": 2, "note": "late column"})
        recorder.write("layers", {"samples": 64, "layer": "conv1.weight", "gsnr": 0.25})
        recorder.seal(AXES, CONFIG)
    assert not run.stream("metrics").exists()
    assert not run.steps.exists()  # nothing was written there
    table = pq.read_table(run.metrics)
    assert table.column_names == [*AXES, "samples", "train_loss", "test_loss", "ok", "note"]
    assert table["optimizer"].to_pylist() == ["shb", "shb"]
    assert table["seed"].to_pylist() == [3, 3]
    losses = table["train_loss"].to_pylist()
    assert math.isnan(losses[0])  # a measured NaN is not a missing value
    assert losses[1] == 2.0
    assert table["test_loss"].to_pylist() == [math.inf, None]
    assert json.loads(table.schema.metadata[b"batchlab.config"]) == CONFIG
    assert json.loads(table.schema.metadata[b"batchlab.run"])["versions"] == {"torch": "2.11"}
    assert pq.read_table(run.layers)["layer"].to_pylist() == ["conv1.weight"]


def test_a_sealed_run_can_be_taken_up_again(run):
    """Killed after its rows were sealed and before its state was written: the resume finds the rows."""
    with Recorder(run) as recorder:
        for row in rows(5):
            recorder.write("metrics", row)
        recorder.seal(AXES, CONFIG)
    with Recorder(run) as recorder:
        recorder.truncate({"metrics": 3})
        assert read_stream(run, "metrics") == rows(3)
        assert not run.metrics.exists()
        recorder.seal(AXES, CONFIG)
    assert pq.read_table(run.metrics).num_rows == 3


@pytest.mark.parametrize("folder", ["lr:0.1", "file:a", "s3:bucket", "~mine", "~", "größe", "no\udcffletter"])
def test_a_folder_s_name_is_only_a_name(folder, tmp_path, monkeypatch):
    """Arrow would take some of these for an address or for a home."""
    monkeypatch.chdir(tmp_path)
    store = RunStore(Path(folder))
    with Recorder(store.run("abc").create()) as recorder:
        recorder.write("metrics", rows(1)[0])
        recorder.seal(AXES, CONFIG)
    assert os.listdir(tmp_path) == [folder]
    assert len(load(store).table) == 1
    with Recorder(store.run("abc")) as recorder:  # it is taken up again
        assert recorder.counts()["metrics"] == 1


def half_written(path, table):
    path.write_bytes(b"PAR1")
    raise KeyboardInterrupt


def test_killed_while_sealing_keeps_the_lines(run, monkeypatch):
    with Recorder(run) as recorder:
        recorder.write("metrics", rows(1)[0])
        monkeypatch.setattr(parquet, "write", half_written)
        with pytest.raises(KeyboardInterrupt):
            recorder.seal(AXES, CONFIG)
    assert read_stream(run, "metrics") == rows(1)
    assert sorted(path.name for path in run.folder.iterdir()) == ["log", "metrics.jsonl"]


def test_a_damaged_sealed_file_is_kept_aside(run):
    run.metrics.write_bytes(b"PAR1 not any more")
    with pytest.warns(UserWarning, match=r"kept as metrics\.parquet\.damaged"), Recorder(run) as recorder:
        recorder.truncate({})
    assert (run.folder / "metrics.parquet.damaged").exists()


def test_mixed_columns_are_refused(run):
    with Recorder(run) as recorder:
        recorder.write("metrics", {"a": 1.5})
        recorder.write("metrics", {"a": "x"})
        with pytest.raises(ValueError, match="column a mixes float, str"):
            recorder.seal(AXES, CONFIG)


numbers = st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.none())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), numbers), min_size=1, max_size=6))
def test_any_row_survives_lines_and_parquet(tmp_path_factory, content):
    run = RunStore(tmp_path_factory.mktemp("runs")).run("abc").create()
    with Recorder(run) as recorder:
        for row in content:
            recorder.write("metrics", row)
        assert [same(row) for row in read_stream(run, "metrics")] == [same(row) for row in content]
        recorder.seal({}, {})
    table = pq.read_table(run.metrics)
    for name in table.column_names:
        mixed = {type(row.get(name)) for row in content} >= {int, float}
        for wanted, got in zip(content, table[name].to_pylist(), strict=True):
            value = wanted.get(name)
            assert same({0: float(value) if mixed and value is not None else value}) == same({0: got})


def same(row):
    return {key: "nan" if value != value else value for key, value in row.items()}


def test_a_whole_number_beyond_64_bits_is_no_value():
    for values in ([2**63], [0.5, 10**400]):
        with pytest.raises(ValueError, match="column a has a whole number beyond 64 bits"):
            to_arrow([{"a": value} for value in values], {})


@pytest.mark.parametrize(("rows", "compression"), [(20, "UNCOMPRESSED"), (20_000, "ZSTD")])
def test_rows_are_compressed_where_there_are_many(tmp_path, rows, compression):
    path = tmp_path / "metrics.parquet"
    table = to_arrow([{"samples": i, "loss": 1 / (1 + i)} for i in range(rows)], {"optimizer": "shb"})
    parquet.write(path, table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {compression}
    assert parquet.read(path).equals(table)
