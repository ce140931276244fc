"""Writing a run's rows: JSON lines while it trains, Parquet when it is over.

A row is with the operating system before `write` returns, so a killed run loses no finished row; at worst
its last line is torn, and a torn line is dropped. `seal` turns the lines into `metrics.parquet` and its
siblings, files that stand alone: the axes are columns, the configuration is in the metadata, and so is a digest of the
whole. A line has a checksum (`lines.py`): what flips on the disk is found before it becomes a number.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from batchlab.results.store import exhausted, parquet
from batchlab.results.store.atomic import plain, replace, replace_bytes, sync, temporary_of
from batchlab.results.store.lines import Lines, checked, line_of, read_lines
from batchlab.results.store.run import SEALED, STREAMS, Run, Stream

if TYPE_CHECKING:
    import pyarrow as pa

CONFIG_KEY = b"batchlab.config"
RUN_KEY = b"batchlab.run"
AXES_KEY = b"batchlab.axes"
ASK_SECONDS = 1.0
"""How often who writes rows asks whether the run is still its own."""
ONCE = ("metrics", "steps")
"""Streams with one row at a time of the clock."""


class Recorder:
    """Appends the rows of one run; use it in one process only (rank 0), while the run is held.

    A row maps names to numbers, strings, booleans or None (not measured); NaN and infinities survive. Rows
    of a stream may differ in their keys: a key that a row does not have is null in Parquet.

    >>> import tempfile, pathlib
    >>> run = Run(pathlib.Path(tempfile.mkdtemp()) / "a1b2").create()
    >>> with Recorder(run) as recorder:
    ...     recorder.write("metrics", {"samples": 0, "train_loss": float("nan")})
    ...     recorder.write("metrics", {"samples": 64, "train_loss": 2.25})
    ...     recorder.counts()["metrics"]
    2
    >>> read_stream(run, "metrics")[1]
    {'samples': 64, 'train_loss': 2.25}
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._files: dict[Stream, BinaryIO] = {}
        self._counts: dict[Stream, int] = dict.fromkeys(STREAMS, 0)
        self._there: dict[Stream, Lines] = {}
        self._asked = -math.inf
        for stream in STREAMS:
            if run.sealed(stream).exists():
                _unseal(run, stream)
            if run.stream(stream).exists():
                self._there[stream] = _lines(run, stream)
                self._counts[stream] = len(self._there[stream].rows)

    def write(self, stream: Stream, row: Mapping[str, Any]) -> None:
        """Append one row and hand it to the operating system.

        Args:
            stream: `metrics`, `steps`, `layers` or `examples`.
            row: Column names with numbers, strings, booleans or None.
        """
        if time.monotonic() - self._asked > ASK_SECONDS:
            self._ask()
        file = self._files.get(stream) or self._open(stream)
        with exhausted.named(self.run.stream(stream)):
            file.write(line_of(row))
            file.flush()
        self._counts[stream] += 1

    def _ask(self) -> None:
        """See that the run is still this process's.

        Raises:
            RunLostError: It is not.
        """
        self.run.check_owned()
        self._asked = time.monotonic()

    def counts(self) -> dict[str, int]:
        """Rows per stream, all of them on disk when this returns: what a checkpoint keeps for `truncate`."""
        for file in self._files.values():
            os.fsync(file.fileno())
        return {str(stream): count for stream, count in self._counts.items()}

    def lacks(self, counts: Mapping[str, int]) -> str:
        """Which rows are not there any more of those that were when `counts` was taken; empty where all are."""
        for stream in STREAMS:
            n, known = self._counts[stream], counts.get(stream, 0)
            if n < known:
                path, there = self.run.stream(stream), self._there.get(stream)
                damaged = f" is damaged ({there.damage}) and" if there and there.damage else ""
                return f"{path}{damaged} has {n} rows of {known}"
        return ""

    def truncate(self, counts: Mapping[str, int]) -> None:
        """Drop the rows written after `counts` was taken; `truncate({})` begins the run anew.

        Args:
            counts: Rows to keep per stream; none of a stream that it does not name.

        Raises:
            ValueError: When fewer rows are there than `counts` says; nothing has changed then.
        """
        if gone := self.lacks(counts):
            raise ValueError(gone)
        for stream in STREAMS:
            keep = counts.get(stream, 0)
            if stream in self._there:
                self._begin(stream, self._there.pop(stream).rows[:keep])
            elif keep < self._counts[stream]:
                self._files[stream].truncate(_offset(self.run.stream(stream), keep))
                self._counts[stream] = keep

    def seal(
        self,
        axes: Mapping[str, Any],
        config: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        ends: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Turn every stream that has rows into Parquet and remove its lines. Closes the recorder.

        Killed in the middle, either form of each stream is complete.

        Args:
            axes: Columns that are the same in every row (optimizer, ..., seed, run_id).
            config: The whole resolved configuration; it goes into the metadata as JSON (`batchlab.config`), with the
                content of `run.json` at this moment (`batchlab.run`).
            facts: Keys of `run.json` that are written with the sizes of the files, once those are there; they belong to
                its content.
            ends: Gives the same that do not: how the run ended. It has when this is written, and all is in place.
        """
        self._close(durable=False)  # what they become is, before they are removed
        facts = dict(facts or {})
        info = self.run.read_state().info | facts
        metadata = {
            CONFIG_KEY: json.dumps(config, default=plain).encode(),
            RUN_KEY: json.dumps({k: v for k, v in info.items() if v is not None}, default=plain).encode(),
            AXES_KEY: json.dumps(list(axes)).encode(),
        }
        streams = {stream: rows for stream in STREAMS if (rows := self._read(stream))}
        for stream, rows in streams.items():
            self._ask()
            replace(self.run.sealed(stream), partial(parquet.write, table=to_arrow(rows, axes, metadata)))
        sealed = [self.run.sealed(stream) for stream in streams]
        if self.run.config.exists():  # nobody writes it again from here on
            sync(self.run.config)
        sizes = {path.name: path.stat().st_size for path in sealed}
        self.run.write_state(**(facts | dict(ends()) | {SEALED: sizes}))
        for stream in STREAMS:
            self.run.stream(stream).unlink(missing_ok=True)

    def _read(self, stream: Stream) -> list[dict[str, Any]]:
        """The rows that were written, and they alone, in their order.

        Raises:
            ValueError: It is not what this recorder wrote, or another process wrote between.
        """
        rows = read_stream(self.run, stream)
        path = self.run.stream(stream)
        if len(rows) != self._counts[stream]:
            raise ValueError(
                f"{path} has {len(rows)} rows where {self._counts[stream]} were written: {_anew(self.run)}"
            )
        clock = [row["samples"] for row in rows if "samples" in row]
        for before, after in pairwise(clock):
            if before > after or (before == after and stream in ONCE):
                said = f"{path} goes back from {before} samples to {after}"
                raise ValueError(f"{said}, as if two processes wrote it: {_anew(self.run)}")
        return rows

    def close(self) -> None:
        """Put everything on disk and close the files. Rows stay as lines until `seal`."""
        self._close(durable=True)

    def _close(self, *, durable: bool) -> None:
        for file in self._files.values():
            file.flush()
            if durable:
                os.fsync(file.fileno())
            file.close()
        self._files.clear()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, stream: Stream) -> BinaryIO:
        """Go on with what there is of a stream, or begin it.

        Raises:
            ValueError: What there is is damaged, and nobody said which of it to keep.
        """
        there = self._there.pop(stream, None)
        if there is not None and there.damage:
            raise ValueError(f"{self.run.stream(stream)} is damaged ({there.damage}): {_anew(self.run)}")
        return self._begin(stream, there.rows if there else [])

    def _begin(self, stream: Stream, rows: Sequence[bytes]) -> BinaryIO:
        """A stream's file with these rows, in place of the one that is there.

        Whoever else still has that one open, as a process that lost this run and does not know it yet, writes where
        nobody reads.
        """
        self._ask()
        path = self.run.stream(stream)
        temporary = temporary_of(path)
        temporary.unlink(missing_ok=True)
        file = open(temporary, "ab")  # noqa: SIM115 (kept open; `close` ends it)
        if rows:
            file.writelines(map(checked, rows))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        self._files[stream] = file
        self._counts[stream] = len(rows)
        return file


def read_stream(run: Run, stream: str) -> list[dict[str, Any]]:
    """Rows of a stream that is not sealed.

    Returns:
        One mapping per row, without a torn last line; empty where nothing was written.

    Raises:
        ValueError: When a line is not what was written: the disk lost it, not batchlab.
    """
    path = run.stream(stream)
    try:
        lines = _lines(run, stream)
    except FileNotFoundError:
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines.rows) + b"]")
        if lines.damage or not all(isinstance(row, dict) for row in rows):
            raise ValueError(lines.damage or "not an object")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {_anew(run)}") from error
    return rows


def _lines(run: Run, stream: str) -> Lines:
    """Of a stream that is not sealed.

    Raises:
        FileNotFoundError: Nothing was written.
        ValueError: What is there cannot be read.
    """
    path = run.stream(stream)
    try:
        return read_lines(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} is damaged ({error.strerror}): {_anew(run)}") from error


def to_arrow(
    rows: list[dict[str, Any]], axes: Mapping[str, Any], metadata: Mapping[bytes, bytes] | None = None
) -> pa.Table:
    """Rows as an Arrow table, columns in order of first appearance after those of `axes`.

    Args:
        rows: What was recorded; a column that a row does not have is null there.
        axes: Columns that have one value in all rows.
        metadata: Of the table's schema.

    Returns:
        A table in which a column is int64, bool or string where all its values are, and float64 where numbers mix.

    Raises:
        ValueError: For a column that mixes numbers with texts or booleans.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for name, value in axes.items():
        one = pa.array([value], pa.int64() if isinstance(value, int) else pa.string())
        constant = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int32()), one)
        columns[name] = constant if pa.types.is_string(one.type) else constant.dictionary_decode()
    for name in dict.fromkeys(name for row in rows for name in row):
        columns[name] = _column(name, [row.get(name) for row in rows])
    return pa.table(columns).replace_schema_metadata(dict(metadata or {}))


def _column(name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    try:
        if kinds <= {int} and kinds:
            return pa.array(values, pa.int64())
        if kinds <= {int, float}:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
    except OverflowError:
        raise ValueError(f"the rows' column {name} has a whole number beyond 64 bits: write a float") from None
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {str}:
        return pa.array(values, pa.string()).dictionary_encode()
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(f"the rows' column {name} mixes {found}: write one type of value")


def _unseal(run: Run, stream: Stream) -> None:
    """Back to lines: the run was killed between sealing and saying `done`, or is trained again."""
    import pyarrow as pa

    sealed = run.sealed(stream)
    if not run.stream(stream).exists():
        try:
            table = parquet.read(sealed)
        except (pa.ArrowException, OSError, ValueError) as error:
            aside = sealed.with_name(f"{sealed.name}.damaged")
            os.replace(sealed, aside)
            warnings.warn(f"{sealed} cannot be read ({error}); kept as {aside.name}", stacklevel=4)
            return
        axes = json.loads((table.schema.metadata or {}).get(AXES_KEY, b"[]"))
        rows = table.drop_columns(axes).to_pylist()
        replace_bytes(run.stream(stream), b"".join(map(line_of, rows)))
    sealed.unlink()


def _offset(path: Path, lines: int) -> int:
    """Where the first `lines` lines of a file end, in bytes."""
    with open(path, "rb") as file:
        return sum(len(file.readline()) for _ in range(lines))


def _anew(run: Run) -> str:
    return f"delete {run.folder} to train the run again"
