"""One bit that flips on the disk never becomes another number: in every kind of file it is found, or changes nothing.

Before there were checksums, 41 of 60 flips in checkpoint.pt ended in other numbers, 17 of 37 in metrics.jsonl, and
with the checksums of pages alone 9 and 17 of 1,500 in Parquet. `tests/runner/test_checkpoint_flips.py` has the
checkpoint's and the configuration's.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchlab.results.compare.load import load
from batchlab.results.store import parquet
from batchlab.results.store.queue import Queue
from batchlab.results.store.record import Recorder, read_stream
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore, SweepEntry

CONFIG = {"optimizer": {"name": "shb", "lr": 0.1}, "model": {"name": "mlp", "hidden": [16, 32]}, "seed": 3}
ROWS = [{"samples": 64 * i, "train_loss": 1 / (i + 1), "test_accuracy": i / 40, "note": "ab"} for i in range(41)]
FOUND = object()
"""What a reader says that finds it."""


def flips(content: bytes, n: int, seed: int = 0) -> list[bytes]:
    """The content with one bit flipped, n times, at places that the seed draws; all places where there are fewer."""
    places = range(8 * len(content))
    chosen = places if len(places) <= n else random.Random(seed).sample(places, n)
    return [
        bytes(byte ^ (1 << place % 8) if i == place // 8 else byte for i, byte in enumerate(content))
        for place in chosen
    ]


def counted(path: Path, read: Callable[[], Any], n: int) -> tuple[int, int]:
    """How many of n flips end in something else, and how many are found."""
    whole, expected = path.read_bytes(), read()
    answers = []
    for content in flips(whole, n):
        path.write_bytes(content)
        answers.append(read())
    path.write_bytes(whole)
    found = sum(answer is FOUND for answer in answers)
    silent = sum(answer is not FOUND and answer != expected for answer in answers)
    print(f"{path.name}: of {len(answers)} flips {found} are found, {silent} end in something else")
    return silent, found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with rows that are not sealed."""
    run = RunStore(tmp_path).prepare().run("abc").create()
    run.write_state(state="running", tuning={"step_size": 0.25, "optimum": 0.125})
    with Recorder(run) as recorder:
        for row in ROWS:
            recorder.write("metrics", row)
    return run


def test_in_lines(run: Run) -> None:
    def read() -> Any:
        try:
            return read_stream(run, "metrics")
        except ValueError:
            return FOUND

    assert read() == ROWS
    silent, found = counted(run.stream("metrics"), read, 1500)
    assert silent == 0
    assert found == 1500


def test_in_the_only_line(run: Run) -> None:
    """Nothing beside it tells that lines have checksums."""
    Recorder(run).truncate({"metrics": 1})

    def read() -> Any:
        try:
            return read_stream(run, "metrics")
        except ValueError:
            return FOUND

    silent, _ = counted(run.stream("metrics"), read, 10_000)
    assert silent == 0


def test_in_parquet(run: Run) -> None:
    with Recorder(run) as recorder:
        recorder.seal({"optimizer": "shb", "seed": 3, "run_id": "abc"}, CONFIG)

    def read() -> Any:
        try:
            table = parquet.read(run.metrics)
        except (pa.ArrowException, OSError, ValueError):
            return FOUND
        return table.to_pylist(), {k: v for k, v in table.schema.metadata.items() if b"digest" not in k}

    silent, found = counted(run.metrics, read, 1500)
    assert silent == 0
    assert found > 1450, "all but those in the mark of the digest"


def test_a_table_names_the_run_and_shows_the_others(run: Run) -> None:
    with Recorder(run) as recorder:
        recorder.seal({}, CONFIG)
    run.write_state(state="done")
    content = bytearray(run.metrics.read_bytes())
    content[len(content) // 2] ^= 4
    run.metrics.write_bytes(content)
    other = RunStore(run.folder.parent).run("b").create()
    with Recorder(other) as recorder:
        recorder.write("metrics", ROWS[0])
        recorder.seal({}, CONFIG)
    other.write_state(state="done")
    frame = load(RunStore(run.folder.parent))
    assert [row.state for row in frame.runs] == [State.DAMAGED, State.DONE]
    assert str(run.metrics) in frame.problems[0]
    assert f"delete {run.folder} to train the run again" in frame.problems[0]
    assert frame.table.num_rows == 1


def test_in_run_json(run: Run) -> None:
    def read() -> Any:
        state = run.read_state()
        return FOUND if state.state is State.DAMAGED else (state.state, state.info)

    silent, _ = counted(run.state_file, read, 10_000)
    assert silent == 0


def test_in_a_manifest(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    store.write_sweep("mine", [SweepEntry("abc", {"case": "ii"}, ["optimizer.lr=0.1"])])

    def read() -> Any:
        try:
            return store.sweep("mine")
        except ValueError:
            return FOUND

    silent, _ = counted(tmp_path / ".sweeps" / "mine.json", read, 10_000)
    assert silent == 0


def test_others_read_the_files_as_they_are(run: Run) -> None:
    """A line is a JSON object, run.json too, and Parquet is Parquet."""
    lines = run.stream("metrics").read_text().splitlines()
    assert [{k: v for k, v in json.loads(line).items() if k != "checksum"} for line in lines] == ROWS
    assert json.loads(run.state_file.read_text())["tuning"]["step_size"] == 0.25
    with Recorder(run) as recorder:
        recorder.seal({}, CONFIG)
    assert pq.read_table(run.metrics, page_checksum_verification=True).num_rows == len(ROWS)
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(f"select count(*) from '{run.metrics}'").fetchall() == [(len(ROWS),)]


def test_files_of_earlier_versions_are_read(run: Run) -> None:
    run.stream("metrics").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    run.state_file.write_text('{"state": "interrupted", "samples": 3}')
    assert read_stream(run, "metrics") == ROWS
    assert run.read_state().info == {"samples": 3}
    with Recorder(run) as recorder:
        recorder.write("metrics", {"samples": 10_000})
    assert read_stream(run, "metrics") == [*ROWS, {"samples": 10_000}]
    pq.write_table(pa.table({"samples": [0, 64], "test_loss": [1.0, 0.5]}), run.metrics)
    assert parquet.read(run.metrics).num_rows == 2


def test_rows_that_go_back_are_not_sealed(run: Run) -> None:
    """As those of two processes that trained one run: 75 rows for 41."""
    with Recorder(run) as recorder:
        recorder.write("metrics", ROWS[5])
        with pytest.raises(ValueError, match=r"goes back from 2560 samples to 320, as if two processes.*: delete"):
            recorder.seal({}, CONFIG)
    assert not run.metrics.exists()


def test_rows_that_another_wrote_in_between_are_not_sealed(run: Run) -> None:
    recorder = Recorder(run)
    recorder.write("metrics", {"samples": 9999})
    with run.stream("metrics").open("ab") as file:
        file.write(run.stream("metrics").read_bytes().splitlines(keepends=True)[-1])
    with pytest.raises(ValueError, match="has 43 rows where 42 were written"):
        recorder.seal({}, CONFIG)


def test_damage_beyond_what_a_checkpoint_knows_is_written_again(run: Run) -> None:
    lines = run.stream("metrics").read_bytes().splitlines(keepends=True)
    run.stream("metrics").write_bytes(b"".join([*lines[:7], lines[7].replace(b"0.1", b"0.2"), *lines[8:]]))
    with Recorder(run) as recorder, pytest.raises(ValueError, match=r"damaged \(line 8 .*\) and has 7 rows of 9"):
        recorder.truncate({"metrics": 9})
    with Recorder(run) as recorder, pytest.raises(ValueError, match=r"metrics.jsonl is damaged \(line 8"):
        recorder.write("metrics", {"samples": 9999})
    with Recorder(run) as recorder:
        recorder.truncate({"metrics": 5})
    assert read_stream(run, "metrics") == ROWS[:5]


def test_in_what_a_queue_asks_for(tmp_path: Path) -> None:
    queue = Queue.of(RunStore(tmp_path).prepare(), "abc")
    queue.declare({"timeout_min": 60, "gres": "gpu:1"})

    def read() -> Any:
        return queue.described() or FOUND

    silent, _ = counted(queue.folder / "shape.json", read, 10_000)
    assert silent == 0
    (queue.folder / "entries" / "not a run").touch()
    queue.add("aa11")
    assert queue.entries() == {"aa11"}
