"""Writing a run's rows: JSON lines while it trains, Parquet when it is over.

A row is with the operating system before `write` returns, so a killed run loses no finished row; at worst
its last line is torn, and a torn line is dropped. `seal` turns the lines into `metrics.parquet` and its
siblings, files that stand alone: the axes are columns and the configuration is in the metadata.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from batchlab.results.store import parquet
from batchlab.results.store.atomic import plain, replace, replace_text
from batchlab.results.store.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

Stream = Literal["metrics", "steps", "layers", "examples"]
STREAMS: tuple[Stream, ...] = ("examples", "layers", "steps", "metrics")  # metrics sealed: all sealed
CONFIG_KEY = b"batchlab.config"
RUN_KEY = b"batchlab.run"
AXES_KEY = b"batchlab.axes"


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
        for stream in STREAMS:
            if run.sealed(stream).exists():
                _unseal(run, stream)
            if run.stream(stream).exists():
                self._open(stream)

    def write(self, stream: Stream, row: Mapping[str, Any]) -> None:
        """Append one row and hand it to the operating system.

        Args:
            stream: `metrics`, `steps`, `layers` or `examples`.
            row: Column names with numbers, strings, booleans or None.
        """
        file = self._files.get(stream) or self._open(stream)
        file.write(json.dumps(row, default=plain, separators=(",", ":")).encode() + b"\n")
        file.flush()
        self._counts[stream] += 1

    def counts(self) -> dict[str, int]:
        """Rows per stream, all of them on disk when this returns: what a checkpoint keeps for `truncate`."""
        for file in self._files.values():
            os.fsync(file.fileno())
        return {str(stream): count for stream, count in self._counts.items()}

    def truncate(self, counts: Mapping[str, int]) -> None:
        """Drop the rows written after `counts` was taken; `truncate({})` begins the run anew.

        Args:
            counts: Rows to keep per stream; none of a stream that it does not name.

        Raises:
            ValueError: When fewer rows are there than `counts` says; nothing has changed then.
        """
        for stream in STREAMS:
            if self._counts[stream] < counts.get(stream, 0):
                raise ValueError(
                    f"{self.run.stream(stream)} has {self._counts[stream]} rows, the checkpoint knows of "
                    f"{counts[stream]}: delete {self.run.checkpoint} to train the run from its beginning"
                )
        for stream, file in self._files.items():
            keep = counts.get(stream, 0)
            if keep < self._counts[stream]:
                file.truncate(_offset(self.run.stream(stream), keep))
                self._counts[stream] = keep

    def seal(self, axes: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Turn every stream that has rows into Parquet and remove its lines. Closes the recorder.

        Killed in the middle, either form of each stream is complete.

        Args:
            axes: Columns that are the same in every row (optimizer, ..., seed, run_id).
            config: The whole resolved configuration; it goes into the metadata as JSON (`batchlab.config`), with the
                content of `run.json` at this moment (`batchlab.run`).
        """
        self.close()
        metadata = {
            CONFIG_KEY: json.dumps(config, default=plain).encode(),
            RUN_KEY: json.dumps(self.run.read_state().info, default=plain).encode(),
            AXES_KEY: json.dumps(list(axes)).encode(),
        }
        for stream in STREAMS:
            rows = read_stream(self.run, stream)
            if rows:
                table = to_arrow(rows, axes, metadata)
                replace(self.run.sealed(stream), partial(parquet.write, table=table))
            self.run.stream(stream).unlink(missing_ok=True)

    def close(self) -> None:
        """Put everything on disk and close the files. Rows stay as lines until `seal`."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._files.clear()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, stream: Stream) -> BinaryIO:
        path = self.run.stream(stream)
        file = open(path, "ab")  # noqa: SIM115 (kept open; `close` ends it)
        lines, end = _whole_lines(path)
        file.truncate(end)  # the torn last line of a killed run
        self._files[stream] = file
        self._counts[stream] = lines
        return file


def read_stream(run: Run, stream: str) -> list[dict[str, Any]]:
    """Rows of a stream that is not sealed.

    Returns:
        One mapping per row, without a torn last line; empty where nothing was written.

    Raises:
        ValueError: When a line in the middle is not JSON: the disk lost it, not batchlab.
    """
    path = run.stream(stream)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        rows: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines) + b"]")
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("not an object")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: delete {run.folder} to train the run again") from error
    return rows


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
    if kinds <= {int} and kinds:
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
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
        except (pa.ArrowException, OSError) as error:
            aside = sealed.with_name(f"{sealed.name}.damaged")
            os.replace(sealed, aside)
            warnings.warn(f"{sealed} cannot be read ({error}); kept as {aside.name}", stacklevel=4)
            return
        axes = json.loads((table.schema.metadata or {}).get(AXES_KEY, b"[]"))
        rows = table.drop_columns(axes).to_pylist()
        replace_text(run.stream(stream), "".join(json.dumps(row) + "\n" for row in rows))
    sealed.unlink()


def _whole_lines(path: Path) -> tuple[int, int]:
    """How many whole lines a file has, and where the last of them ends."""
    content = path.read_bytes()
    return content.count(b"\n"), content.rfind(b"\n") + 1


def _offset(path: Path, lines: int) -> int:
    """Where the first `lines` lines of a file end, in bytes."""
    with open(path, "rb") as file:
        return sum(len(file.readline()) for _ in range(lines))
