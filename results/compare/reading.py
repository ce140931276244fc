"""Reading one run: its rows, and the configuration beside them. What is damaged is said, and raises nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchlab.results.axes import COLUMNS
from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.metrics import CLOCKS
from batchlab.results.compare.where import Where
from batchlab.results.legacy import upgraded
from batchlab.results.store import parquet
from batchlab.results.store.index import Index, Mark, mark_of
from batchlab.results.store.objects import DEPTH, shallow
from batchlab.results.store.record import CONFIG_KEY, read_stream, to_arrow
from batchlab.results.store.run import Run, State
from batchlab.results.store.shapes import CONFIG, tree
from batchlab.results.store.shared import Shared
from batchlab.results.store.yaml_file import read_yaml

if TYPE_CHECKING:
    import pyarrow.parquet as pq

NUMBERS = frozenset({*CLOCKS.values(), "eval_seconds", "train_loss", "test_loss", "test_accuracy", "lr", "batch_size"})
"""Columns that batchlab writes itself."""
NOTHING = pa.table({})


@dataclass(frozen=True)
class Read:
    """What became of one run.

    Attributes:
        run: What is known of it.
        kept: Whether it is wanted.
        table: Its rows, among others' where they are kept together.
        names: The columns that it has, loaded or not.
        rows: Which of the rows are its own; None: all.
        mark: Of the file that was read, if it is to be kept in the index: then the table has all columns.
        config: What that says of its configuration.
    """

    run: RunRow
    kept: bool
    table: pa.Table
    names: Sequence[str] = ()
    rows: slice | None = None
    mark: Mark | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> tuple[int, int]:
        """From which to before which row of the table the run's own are."""
        return (0, self.table.num_rows) if self.rows is None else (self.rows.start, self.rows.stop)


@dataclass(frozen=True)
class Reader:
    """Reads one run.

    Attributes:
        run: Its folder.
        row: What is known of it; its configuration is read where it is not.
        where: Whether it is wanted.
        columns: Which columns are; None: all.
        stream: Of these rows.
        index: Where rows may be that were read before.
        shared: Makes one of equal parts of configurations.
    """

    run: Run
    row: RunRow
    where: Where
    columns: frozenset[str] | None
    stream: str
    index: Index | None = None
    shared: Shared = field(default_factory=Shared)

    def read(self) -> Read:
        """The run's rows, none where it is damaged or not wanted. Never raises."""
        row = self.row
        try:
            mark = mark_of(f"{self.run.folder}/{self.stream}.parquet")
            if mark is not None:
                return self._indexed(row, mark) or self._sealed(row, mark)
            if not row.config:
                row = replace(row, config=_configuration(self.run))
            return self._lines(row)
        except (pa.ArrowException, OSError, ValueError) as error:
            row = replace(row, state=State.DAMAGED, reason=self._reason(error))
            if not row.config:
                row = replace(row, config=_configuration(self.run, strict=False))
            return Read(row, self.where.fits(row), pa.table({}))

    def _indexed(self, row: RunRow, mark: Mark) -> Read | None:
        """As it was read before; None where it was not."""
        kept = self.index.find(self.run.run_id, mark) if self.index else None
        if self.index is None or kept is None:
            return None
        row = replace(row, config=upgraded(kept.config))
        if not self.where.fits(row):
            return Read(row, kept=False, table=NOTHING)
        table, names = self.index.columns(kept.table, self.columns)
        return Read(row, True, table, names, kept.rows)

    def _sealed(self, row: RunRow, mark: Mark) -> Read:
        with parquet.opened(self.run.sealed(self.stream)) as file:
            schema = file.schema_arrow
            config = row.config or self.shared(_frozen(schema))
            row = replace(row, config=upgraded(config))
            _check_columns(schema)
            if not self.where.fits(row):
                return Read(row, kept=False, table=pa.table({}))
            names = [name for name in schema.names if name not in COLUMNS]
            if self.index is None or not self.index.takes(mark):
                return Read(row, True, _rows(file, self._wanted(names)), names)
            return Read(row, True, _rows(file, names), names, mark=mark, config=config)

    def _lines(self, row: RunRow) -> Read:
        if not self.where.fits(row):
            return Read(row, kept=False, table=pa.table({}))
        rows = read_stream(self.run, self.stream)
        names = list(dict.fromkeys(name for line in rows for name in line))
        table = to_arrow(rows, {}) if rows else pa.table({})
        _check_columns(table.schema)
        return Read(row, True, table.select(self._wanted(names)), names)

    def _wanted(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self.columns is None or name in self.columns]

    def _reason(self, error: Exception) -> str:
        path = self.run.sealed(self.stream)
        if not path.exists():
            return " ".join(str(error).split())
        why = " ".join(str(error).removeprefix(f"{path} ").split()).partition(". ")[0][:80]
        return f"{path} is damaged ({why}): delete {self.run.folder} to train the run again"


def _rows(file: pq.ParquetFile, names: list[str]) -> pa.Table:
    """Columns of a file without what its metadata say, which is as long as they are."""
    table = file.read(names, use_threads=False)
    return table.replace_schema_metadata(None) if names else table  # of no columns it would forget how many rows


def _configuration(run: Run, *, strict: bool = True) -> dict[str, Any]:
    """The frozen configuration of a run that is not sealed; empty where there is none."""
    try:
        config = read_yaml(run.config)
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        if not strict:
            return {}
        raise ValueError(f"{run.config} is damaged: delete {run.folder} to train the run again") from error
    try:
        return upgraded(_plain(config)) if config is not None else {}
    except ValueError:
        if not strict:
            return {}
        raise ValueError(f"{run.config} is damaged: delete {run.folder} to train the run again") from None


def _frozen(schema: pa.Schema) -> dict[str, Any]:
    """The configuration in a file's metadata, in the terms of its time."""
    try:
        text = (schema.metadata or {})[CONFIG_KEY]
        config = json.loads(text)  # is a tree, whatever it says, and no deeper than it has brackets
        if not (isinstance(config, dict) and (text.count(b"{") + text.count(b"[") <= DEPTH or shallow(config))):
            raise ValueError("its configuration is none")
        return _known(config)
    except KeyError:
        raise ValueError("it has no configuration: batchlab did not write it") from None
    except RecursionError:
        raise ValueError("its configuration is nested without end") from None


def _plain(config: Any) -> dict[str, Any]:
    """A frozen configuration that holds what readers rely on, in the terms of its time.

    Raises:
        ValueError: It is none.
    """
    if not (isinstance(config, dict) and shallow(config) and tree(config)):
        raise ValueError("its configuration is none")
    return _known(config)


def _known(config: dict[str, Any]) -> dict[str, Any]:
    if not CONFIG(config):
        raise ValueError("its configuration is none")
    return config


def _check_columns(schema: pa.Schema) -> None:
    """See that the columns are such as are written, and those that everything is read by are numbers.

    Raises:
        ValueError: For the column that is not.
    """
    for column in schema:
        kind = kind_of(column.type)
        if kind == "" or (column.name in NUMBERS and kind not in ("numbers", "nothing")):
            raise ValueError(f"its column {column.name} holds {column.type}")


def kind_of(column: pa.DataType) -> str:
    """What a column holds: numbers, texts, truths, nothing; empty for what batchlab writes none of."""
    if pa.types.is_dictionary(column):
        column = column.value_type
    if pa.types.is_integer(column) or pa.types.is_floating(column):
        return "numbers"
    if pa.types.is_string(column):
        return "texts"
    if pa.types.is_boolean(column):
        return "truths"
    return "nothing" if pa.types.is_null(column) else ""
