"""The rows of many runs in one file: it only saves time, whatever becomes of it or of the runs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batchlab.results.compare.frame import Frame
from batchlab.results.compare.load import load
from batchlab.results.show.status import read_status
from batchlab.results.store import index, parquet
from batchlab.results.store.run import State
from batchlab.results.store.runs import SweepEntry

N = 6


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The runs whose Parquet files are opened; few runs are many here, and young files old."""
    monkeypatch.setattr(index, "ENOUGH", 2)
    monkeypatch.setattr(index, "SETTLED", -60.0)
    calls: Counter[str] = Counter()
    before = parquet.opened

    def counting(path: Path) -> Any:
        calls[path.parent.name] += 1
        return before(path)

    monkeypatch.setattr(parquet, "opened", counting)
    return calls


@pytest.fixture
def many(lab: Any, curve: Any) -> Any:
    """Runs of two schemas, with what is missing, NaN, texts and whole numbers among their rows."""
    for i in range(N):
        rows = curve([0.1 * i, float("nan"), 0.25 + i])
        if i % 2:
            rows = [row | {"note": "ab"[k % 2], "right": k + i} for k, row in enumerate(rows)]
        lab.run(f"r{i}", [*rows, {"samples": 640}], seed=i, optimizer="shb" if i < 4 else "adamw")
    return lab


def seen(frame: Frame) -> Any:
    """All that a frame says, and of which type its columns are."""
    runs = [
        (
            run,
            run.config,
            [repr(row) for row in frame.table.slice(run.rows.start, run.rows.stop - run.rows.start).to_pylist()],
        )
        for run in frame.runs
    ]
    said = [(run.run_id, run.state, run.reason, run.info, run.labels, config, rows) for run, config, rows in runs]
    types = {field.name: str(field.type) for field in frame.table.schema}
    return said, types, frame.names, frame.problems


def without(lab: Any, **how: Any) -> Any:
    """What is said where nothing is kept together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "ENOUGH", 1 << 30)
        return seen(load(lab.store, **how))


def file_of(lab: Any) -> Path:
    return lab.store.root / index.FOLDER / "metrics"


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"columns": ["test_accuracy"]},
        {"columns": ["note", "right"]},
        {"where": ["optimizer=shb"]},
        {"where": ["seed=1,3"]},
        {"sweep": "some"},
    ],
)
def test_what_is_kept_says_what_the_files_say(many: Any, opened: Counter[str], how: dict[str, Any]) -> None:
    many.store.write_sweep("some", [SweepEntry(f"r{i}", {"i": i}) for i in (4, 1, 2)])
    expected = without(many, **how)
    load(many.store)
    opened.clear()
    assert seen(load(many.store, **how)) == expected
    assert not opened


def test_each_run_is_opened_once_whatever_is_asked_first(many: Any, opened: Counter[str]) -> None:
    expected = without(many)
    opened.clear()
    load(many.store, columns=["test_accuracy"])
    assert seen(load(many.store)) == expected
    assert (len(opened), set(opened.values())) == (N, {1})


def test_what_changed_is_read_and_nothing_else(many: Any, curve: Any, opened: Counter[str]) -> None:
    load(many.store)
    opened.clear()
    shutil.rmtree(many.store.root / "r2")
    many.run("r2", curve([0.9, 0.8]), seed=2)
    many.run("r7", curve([0.7]), seed=7)
    shutil.rmtree(many.store.root / "r4")
    os.rename(many.store.root / "r5", many.store.root / "r9")
    many.store.run("r0").write_state(state="diverged", reason="it said so")
    found = load(many.store)
    assert dict(opened) == {"r2": 1, "r7": 1, "r9": 1}
    assert [run.run_id for run in found.runs] == ["r0", "r1", "r2", "r3", "r7", "r9"]
    assert [run.state for run in found.runs[:1]] == [State.DIVERGED]
    assert seen(found) == without(many)
    opened.clear()
    assert seen(load(many.store)) == without(many)
    assert opened == dict.fromkeys(("r0", "r1", "r2", "r3", "r7", "r9"), 1)  # by `without` alone


@pytest.mark.parametrize("hidden", [False, True], ids=["", "its time set back"])
def test_a_bit_that_flips_is_found(many: Any, opened: Counter[str], hidden: bool) -> None:
    load(many.store)
    path = many.store.run("r3").metrics
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    if hidden:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [run.run_id for run in load(many.store).runs if run.state is State.DAMAGED] == ["r3"]


def test_an_index_of_garbage_is_as_none(many: Any, opened: Counter[str]) -> None:
    expected = without(many)
    load(many.store)
    path = file_of(many)
    whole = path.read_bytes()
    draw = random.Random(0)
    damaged = [b"", whole[:-1], whole[: len(whole) // 2], whole + b"x", os.urandom(4000), b"\n" * 500, whole * 2]
    for place in (draw.randrange(8 * len(whole)) for _ in range(25)):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        damaged.append(bytes(content))
    for content in damaged:
        path.write_bytes(content)
        opened.clear()
        assert seen(load(many.store)) == expected
        assert len(opened) == N
    opened.clear()
    assert seen(load(many.store)) == expected
    assert not opened, "it was written anew"


@pytest.mark.parametrize(
    "head",
    [{}, [], {"runs": {"r0": 1}}, {"runs": {}, "blocks": [], "tables": [9]}, {"runs": [], "blocks": 1, "tables": []}],
)
def test_an_index_that_another_wrote_is_as_none(many: Any, opened: Counter[str], head: Any) -> None:
    content = json.dumps(head).encode() + b"\n"
    file_of(many).parent.mkdir()
    file_of(many).write_bytes(index.BEGINS + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    assert seen(load(many.store)) == without(many)


def test_a_store_that_cannot_be_written_is_read(
    many: Any, opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = without(many)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        assert seen(load(many.store)) == expected
    assert [*(many.store.root / index.FOLDER).iterdir()] == []
    (many.store.root / index.FOLDER).rmdir()
    (many.store.root / index.FOLDER).write_text("a file")
    assert seen(load(many.store)) == expected


def test_what_is_not_settled_too_large_or_few_stays_where_it_is(
    many: Any, opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SETTLED", 3600.0), ("LARGE", 100), ("BYTES", 0), ("ENOUGH", N + 1)):
        with monkeypatch.context() as patch:
            patch.setattr(index, name, value)
            load(many.store)
        assert not file_of(many).exists(), name


def test_readers_of_some_keep_the_others_and_readers_of_all_drop_the_gone(many: Any, opened: Counter[str]) -> None:
    many.store.write_sweep("some", [SweepEntry(f"r{i}") for i in range(3)])
    many.store.write_sweep("rest", [SweepEntry(f"r{i}") for i in range(3, N)])
    load(many.store, "some")
    load(many.store, "rest")
    opened.clear()
    load(many.store)
    assert not opened
    for i in range(3):
        os.rename(many.store.root / f"r{i}", many.store.root / f".gone{i}")
    load(many.store)
    found = index.Index.of(many.store.root, N)
    assert found is not None
    assert sorted(found.kept) == ["r3", "r4", "r5"]


def test_several_read_and_write_at_once(many: Any, opened: Counter[str]) -> None:
    expected = without(many)

    def one(i: int) -> Any:
        if i % 3 == 0:
            file_of(many).unlink(missing_ok=True)
        return seen(load(many.store))

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(one, range(12)))


def test_what_runs_have_in_common_is_there_once(many: Any, opened: Counter[str]) -> None:
    """A table for each run, and each its own copy of the same configuration, took 2.8 GB of 50,000."""
    for again in range(2):
        found = load(many.store)
        assert found.table.column("test_accuracy").num_chunks == 2, f"a table for each schema, {again=}"
        same = [run for run in found.runs if run.value("optimizer") == "shb"]
        assert len({id(run.config["optimizer"]) for run in same}) == 1
        assert len({id(run.info["versions"]) for run in found.runs}) == 1
        assert [run.value("seed") for run in found.runs] == list(range(N))
    states = read_status(many.store).states.values()
    assert len({id(state.info["versions"]) for state in states}) == 1
