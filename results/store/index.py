"""What was read and checked of many sealed runs, in one file, so that the next command opens one and not 5,000.

    runs/.index/metrics    batchlab.index.1 <SHA-256 of what follows>
                           a line of JSON: which runs, what they are made of, where their rows are
                           their rows: a table of Arrow for each schema

It is made of the runs' Parquet files alone and only saves time: without it, or where its digest is another, all is read
from them and it is written anew. A run is taken from it as long as its Parquet file is the one that was read, by size,
inode, and times of modification and of change; run.json is always read. Whoever reads a store may write it; the last
one's stays. In a folder that cannot be written there is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchlab.results.store.atomic import temporary_of
from batchlab.results.store.fingerprint import SETTLED
from batchlab.results.store.regular import content_of

FOLDER = ".index"
BEGINS = b"batchlab.index.1 "
HEAD = len(BEGINS) + 65
"""Bytes before what follows."""
ENOUGH = 64
"""So many runs that changed are worth writing it."""
LARGE = 64 << 10
"""Bytes of a Parquet file whose rows stay there: what it costs to open is nothing beside what it costs to read."""
BYTES = 256 << 20
"""Of an index, at most: what does not fit is read from the runs."""
ALIGNED = 64
ELSE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, pa.ArrowException)
"""What reading something else may raise."""
Mark = tuple[int, int, int, int]
"""Of a file: size, inode, times of modification and of change in ns."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of one run.

    Attributes:
        mark: Of the Parquet file that was read.
        config: What is in its metadata; parts of it are shared with other runs'.
        table: The rows of this run and others.
        rows: Which are its own.
    """

    mark: Mark
    config: dict[str, Any]
    table: pa.Table
    rows: slice


@dataclass
class Index:
    """The index of a store, for one command that reads it: its file, what it has by run, and its bytes."""

    path: Path
    kept: dict[str, Kept] = field(default_factory=dict)
    size: int = 0
    _found: set[str] = field(default_factory=set)
    _new: dict[str, Kept] = field(default_factory=dict)
    _columns: dict[int, tuple[pa.Table, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Path, runs: int) -> Index | None:
        """As it is on disk; empty where there is none that can be read, None where few runs are asked for."""
        if runs < ENOUGH:
            return None
        path = store / FOLDER / "metrics"
        with contextlib.suppress(OSError, *ELSE):
            content = content_of(path, 2 * BYTES)
            return cls(path, _parsed(content), len(content))
        return cls(path)

    def find(self, run_id: str, mark: Mark) -> Kept | None:
        """What is known of a run, if its file is still the one that was read."""
        kept = self.kept.get(run_id)
        if kept is None or kept.mark != mark:
            return None
        self._found.add(run_id)
        return kept

    def columns(self, table: pa.Table, wanted: frozenset[str] | None) -> tuple[pa.Table, list[str]]:
        """A `Kept`'s table with the wanted columns (None: all), and the names of all: once for all its runs."""
        found = self._columns.get(id(table))
        if found is None:
            names = table.column_names
            chosen = table.select([name for name in names if wanted is None or name in wanted])
            found = self._columns.setdefault(id(table), (chosen, names))
        return found

    def takes(self, mark: Mark) -> bool:
        """Whether a run with this file may be added: it is small, settled, and there is room."""
        size, _, *times = mark
        return size <= LARGE and self.size < BYTES and time.time() - max(times) / 1e9 > SETTLED

    def add(self, run_id: str, mark: Mark, config: dict[str, Any], table: pa.Table, rows: slice) -> None:
        """Remember what was read of a run, and is what was written."""
        self._new[run_id] = Kept(mark, config, table, rows)
        self.size += 8 * (rows.stop - rows.start) * table.num_columns

    def write(self, *, every: bool) -> None:
        """Write it anew, where enough has changed and the store can be written.

        Where every run of the store was asked for, what was not found is gone.
        """
        gone = self.kept.keys() - self._found if every else set()
        if len(self._new) + len(gone) < ENOUGH:
            return
        kept = {run_id: one for run_id, one in self.kept.items() if run_id not in gone} | self._new
        temporary = temporary_of(self.path)
        with contextlib.suppress(OSError):
            content = _formatted(kept)
            self.path.parent.mkdir(exist_ok=True)
            try:
                temporary.write_bytes(content)
                os.replace(temporary, self.path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise


def mark_of(path: str) -> Mark | None:
    """Of a file as it is now; None where there is none. An OSError where it cannot be told."""
    try:
        stat = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def _formatted(kept: dict[str, Kept]) -> bytes:
    groups: dict[pa.Schema, tuple[int, list[pa.Table]]] = {}
    blocks: dict[str, int] = {}
    known: dict[tuple[str, int], int] = {}
    runs = {}
    for run_id, one in kept.items():
        own = one.table.slice(one.rows.start, one.rows.stop - one.rows.start).replace_schema_metadata(None)
        group, tables = groups.setdefault(own.schema, (len(groups), []))
        tables.append(own)
        made = []
        for name, value in one.config.items():
            number = known.get((name, id(value)))
            if number is None:
                number = blocks.setdefault(json.dumps([name, value]), len(blocks))
                known[name, id(value)] = number
            made.append(number)
        runs[run_id] = [*one.mark, group, own.num_rows, made]
    streams = [_streamed(tables) for _, tables in groups.values()]
    head = {
        "runs": runs,
        "blocks": [json.loads(block) for block in blocks],
        "tables": [len(stream) for stream in streams],
    }
    line = json.dumps(head).encode()
    line += b" " * (-(HEAD + len(line) + 1) % ALIGNED) + b"\n"
    follows = b"".join([line, *streams])
    return b"%s%s\n%s" % (BEGINS, hashlib.sha256(follows).hexdigest().encode(), follows)


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of tables of one schema, one after another."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _streamed(tables: Iterable[pa.Table]) -> bytes:
    """Rows of one schema as a stream of Arrow, its length a multiple of `ALIGNED`."""
    whole = together(tables)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    made: bytes = sink.getvalue().to_pybytes()
    return made + bytes(-len(made) % ALIGNED)


def _parsed(content: bytes) -> dict[str, Kept]:
    """What `_formatted` wrote; one of `ELSE` where it is something else."""
    digest = hashlib.sha256(memoryview(content)[HEAD:]).hexdigest().encode()
    if content[:HEAD] != BEGINS + digest + b"\n":
        raise ValueError("is not what was written")
    ends = content.index(b"\n", HEAD) + 1
    head = json.loads(content[HEAD:ends])
    tables, starts = [], []
    for length in head["tables"]:
        with pa.ipc.open_stream(pa.py_buffer(content).slice(ends, length)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        tables.append(table)
        starts.append(0)
        ends += length
    blocks, kept = head["blocks"], {}
    for run_id, (size, inode, modified, changed, group, rows, made) in head["runs"].items():
        at = slice(starts[group], starts[group] + rows)
        starts[group] = at.stop
        kept[run_id] = Kept((size, inode, modified, changed), dict(blocks[i] for i in made), tables[group], at)
    if starts != [table.num_rows for table in tables]:
        raise ValueError("has other rows than it says")
    return kept
