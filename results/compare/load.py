"""Reading the rows of many runs: only the columns that are asked for, several files at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from batchlab.results.axes import COLUMNS
from batchlab.results.compare.frame import FLOPS, MISSING, Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS
from batchlab.results.compare.nothing import nothing_meets
from batchlab.results.compare.where import Where
from batchlab.results.legacy import upgraded
from batchlab.results.store import parquet
from batchlab.results.store.index import Index, Mark, mark_of, together
from batchlab.results.store.objects import DEPTH, shallow
from batchlab.results.store.record import CONFIG_KEY, read_stream, to_arrow
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.results.store.shapes import CONFIG, tree
from batchlab.results.store.shared import Shared
from batchlab.results.store.yaml_file import read_yaml
from batchlab.results.words import meant, told

if TYPE_CHECKING:
    import pyarrow.parquet as pq

NUMBERS = frozenset({*CLOCKS.values(), "eval_seconds", "train_loss", "test_loss", "test_accuracy", "lr", "batch_size"})
"""Columns that batchlab writes itself."""
Item = TypeVar("Item")
HANDFUL = 64
NOTHING = pa.table({})
THREADS = 2  # pyarrow lets go of the interpreter only while it decodes: more threads do not help


def load(
    store: RunStore,
    sweep: str | None = None,
    *,
    where: Where | Iterable[str] = (),
    columns: Iterable[str] | None = None,
    stream: str = "metrics",
) -> Frame:
    """Load the rows of a store's runs, or of one sweep's.

    A run whose files are damaged stays, in the state `damaged`; a line in `Frame.problems` names the file
    and the way out. Runs that are not over are read from their lines. Of many runs that are over the rows are kept
    together (`store/index.py`), and opened again only where they changed.

    Args:
        store: Where the runs are.
        sweep: Only the runs of this sweep, with their labels and in its order.
        where: Conditions `AXIS=VALUE` or `AXIS=VALUE,VALUE` on an axis, a label or a dotted configuration key,
            which must all hold; or a `Where` with alternatives.
        columns: The metrics to read; None: all.
        stream: `metrics`, `steps` or `layers`.

    Returns:
        The runs that fulfil the conditions, and their rows.

    Raises:
        ValueError: For a sweep that is not there, a condition that cannot be read or names an axis that no run has, or
            conditions that no run meets, all or those of an alternative; with what there is instead.
    """
    asked = Where.of(where)
    chosen = None if columns is None else frozenset(columns)
    counted = chosen is None or FLOPS in chosen
    if chosen is not None and counted:
        chosen |= {"gradients"}
    manifest = [] if sweep is None else store.sweep(sweep).entries
    overrides = {entry.run_id: dict(_split(told(text)) for text in entry.overrides) for entry in manifest}

    there = store.select(sweep)
    index = Index.of(store.root, len(there)) if stream == "metrics" and store.lasting else None
    shared = Shared()

    def read(item: tuple[Run, dict[str, Any]]) -> _Read:
        run, labels = item
        state, said = run.read_state(), overrides.get(run.run_id, {})
        row = RunRow(run.run_id, state.state, state.reason, shared(state.info), {}, labels, said)
        return _Reader(run, row, asked, chosen, stream, index, shared).read()

    def several(items: Sequence[tuple[Run, dict[str, Any]]]) -> list[_Read]:
        results = [*map(read, items)]
        return results if index is None else _packed(results, index, chosen)

    results = _all(several, there)
    if index is not None:
        index.write(every=sweep is None)
    every = Frame(
        [result.run for result in results], NOTHING, frozenset(), _problems(store, results), sweep is not None
    )
    for key in asked.keys:
        every.values(key)  # says so when no run has it
    results = _told_apart([result for result in results if result.kept])
    if every.runs and not results:
        raise ValueError(nothing_meets(every, asked.alternatives))
    for other in asked.alternatives if len(asked.alternatives) > 1 else ():
        if not any(run.matches(other) for run in every.runs):
            raise ValueError(nothing_meets(every, [other]))
    frame = _together(store, results, ordered=sweep is not None)
    return with_flops(frame) if counted and stream == "metrics" else frame


def with_flops(frame: Frame) -> Frame:
    """The same with the column of training FLOPs: component gradients times what each takes, where runs counted that.

    Args:
        frame: With the column `gradients`, where there is one.
    """
    said = {run.run_id: run.info.get("flops_per_sample") for run in frame.runs}
    each = {name: float(n) for name, n in said.items() if isinstance(n, (int, float)) and n > 0}
    if not each or "gradients" not in frame.table.column_names or FLOPS in frame.table.column_names:
        return frame
    flops = np.full(frame.table.num_rows, np.nan)
    gradients, valid = frame.column("gradients")
    for run in frame.runs:
        flops[run.rows] = gradients[run.rows] * each.get(run.run_id, np.nan)
    column = pa.array(flops, mask=~valid | np.isnan(flops))
    return replace(frame, table=frame.table.append_column(FLOPS, column), names=frame.names | {FLOPS})


def _again(store: RunStore, stream: str, runs: Sequence[RunRow]) -> Frame:
    """Another stream of runs that were loaded: neither their states nor their configurations are read again."""

    def several(rows: Sequence[RunRow]) -> list[_Read]:
        empty = [replace(row, rows=slice(0, 0)) for row in rows]
        return [_Reader(store.run(row.run_id), row, Where.of(()), None, stream).read() for row in empty]

    return _together(store, _all(several, runs), ordered=False)


def _all(several: Callable[[Sequence[Item]], list[_Read]], items: Sequence[Item]) -> list[_Read]:
    """What is read of each. By the handful: threads that hand over one at a time wait for each other."""
    handfuls = [items[start : start + HANDFUL] for start in range(0, len(items), HANDFUL)]
    with ThreadPoolExecutor(THREADS) as pool:
        return [result for own in pool.map(several, handfuls) for result in own]


def _packed(results: list[_Read], index: Index, columns: frozenset[str] | None) -> list[_Read]:
    """The same; rows that are to be kept are in one table for all whose columns are alike, with the wanted columns.

    A table for each run takes more memory than all its rows.
    """
    alike: dict[pa.Schema, list[tuple[int, Mark]]] = {}
    for i, result in enumerate(results):
        if result.mark is not None:
            alike.setdefault(result.table.schema, []).append((i, result.mark))
    packed = [*results]
    for places in alike.values():
        whole, start = together([results[i].table for i, _ in places]), 0
        for i, mark in places:
            read = results[i]
            rows = slice(start, start := start + read.table.num_rows)
            index.add(read.run.run_id, mark, read.config, whole, rows)
            table, names = index.columns(whole, columns)
            packed[i] = _Read(read.run, True, table, names, rows)
    return packed


def _together(store: RunStore, results: list[_Read], *, ordered: bool) -> Frame:
    results = _agreed(results)
    tables: dict[int, pa.Table] = {}
    starts: dict[int, int] = {}
    runs, end = [], 0
    for result in results:
        key = id(result.table)
        if key not in tables:
            tables[key], starts[key] = result.table, end
            end += result.table.num_rows
        first, last = result.own
        reason = result.run.reason and store.said(result.run.reason)
        runs.append(replace(result.run, reason=reason, rows=slice(starts[key] + first, starts[key] + last)))
    table = pa.concat_tables(tables.values(), promote_options="permissive") if tables else pa.table({})
    names = frozenset(name for some in {id(r.names): r.names for r in results}.values() for name in some)
    return Frame(runs, table, names, _problems(store, results), ordered, partial(_again, store))


def _problems(store: RunStore, results: Sequence[_Read]) -> list[str]:
    """A line for each damaged run."""
    return [store.said(result.run.reason or "") for result in results if result.run.state is State.DAMAGED]


def swept_keys(store: RunStore, frame: Frame, sweep: str | None = None) -> list[str]:
    """The dotted keys that sweeps gave values to, of which the runs of a frame have some.

    Args:
        store: Where the runs are.
        frame: Some of them.
        sweep: Only what this sweep gave values to; None: all that are recorded there.
    """
    mine = {run.run_id for run in frame.runs}
    sweeps = [store.sweep(sweep)] if sweep else store.manifests()[0]
    entries = [entry for one in sweeps for entry in one.entries]
    asked = (_split(text)[0] for entry in entries if entry.run_id in mine for text in entry.overrides)
    keys = (key.partition("@")[0] for key in asked)
    return [key for key in dict.fromkeys(keys) if any(run.value(key) != MISSING for run in frame.runs)]


@dataclass(frozen=True)
class _Read:
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
class _Reader:
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

    def read(self) -> _Read:
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
            return _Read(row, self.where.fits(row), pa.table({}))

    def _indexed(self, row: RunRow, mark: Mark) -> _Read | None:
        """As it was read before; None where it was not."""
        kept = self.index.find(self.run.run_id, mark) if self.index else None
        if self.index is None or kept is None:
            return None
        row = replace(row, config=upgraded(kept.config))
        if not self.where.fits(row):
            return _Read(row, kept=False, table=NOTHING)
        table, names = self.index.columns(kept.table, self.columns)
        return _Read(row, True, table, names, kept.rows)

    def _sealed(self, row: RunRow, mark: Mark) -> _Read:
        with parquet.opened(self.run.sealed(self.stream)) as file:
            schema = file.schema_arrow
            config = row.config or self.shared(_frozen(schema))
            row = replace(row, config=upgraded(config))
            _check_columns(schema)
            if not self.where.fits(row):
                return _Read(row, kept=False, table=pa.table({}))
            names = [name for name in schema.names if name not in COLUMNS]
            if self.index is None or not self.index.takes(mark):
                return _Read(row, True, _rows(file, self._wanted(names)), names)
            return _Read(row, True, _rows(file, names), names, mark=mark, config=config)

    def _lines(self, row: RunRow) -> _Read:
        if not self.where.fits(row):
            return _Read(row, kept=False, table=pa.table({}))
        rows = read_stream(self.run, self.stream)
        names = list(dict.fromkeys(name for line in rows for name in line))
        table = to_arrow(rows, {}) if rows else pa.table({})
        _check_columns(table.schema)
        return _Read(row, True, table.select(self._wanted(names)), names)

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


def _told_apart(results: list[_Read]) -> list[_Read]:
    """Values of a key that is a truth in one run and a number in another as what they are: for Python `True == 1`.

    The truths become text, `true` and `false`; a key with values of one kind stays as it is.
    """
    kinds: dict[str, set[bool]] = {}
    for keys, types in {result.run.of_flat(_types) for result in results}:
        for key, kind in zip(keys, types, strict=True):
            if kind in (bool, int, float):
                kinds.setdefault(key, set()).add(kind is bool)
    both = [key.split(".") for key, found in kinds.items() if len(found) > 1]
    if not both:
        return results

    def spelt_out(config: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
        first, *rest = path
        value = config.get(first)
        if rest:
            return config | {first: spelt_out(value, rest)} if isinstance(value, dict) else config
        return config | {first: str(value).lower()} if isinstance(value, bool) else config

    return [replace(r, run=replace(r.run, config=reduce(spelt_out, both, r.run.config))) for r in results]


def _types(flat: dict[str, Any]) -> tuple[tuple[str, ...], tuple[type, ...]]:
    """The dotted keys of a configuration, and of which kinds their values are: a sweep's have few such pairs."""
    return tuple(flat), tuple(map(type, flat.values()))


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
        kind = _kind(column.type)
        if kind == "" or (column.name in NUMBERS and kind not in ("numbers", "nothing")):
            raise ValueError(f"its column {column.name} holds {column.type}")


def _kind(column: pa.DataType) -> str:
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


def _agreed(results: list[_Read]) -> list[_Read]:
    """The runs, those damaged whose column holds texts where that of most others holds numbers, or the other way."""
    shared = Counter(id(result.table) for result in results)
    votes: dict[str, Counter[str]] = {}
    for key, table in {id(result.table): result.table for result in results}.items():
        for column in table.schema:
            if (kind := _kind(column.type)) != "nothing":
                votes.setdefault(column.name, Counter())[kind] += shared[key]
    split = {
        name: max(kinds, key=lambda kind: (kinds[kind], kind == "numbers"))
        for name, kinds in votes.items()
        if len(kinds) > 1
    }
    if not split:
        return results
    return [_odd(result, split) for result in results]


def _odd(result: _Read, split: Mapping[str, str]) -> _Read:
    for column in result.table.schema:
        kind, wanted = _kind(column.type), split.get(column.name, "")
        if wanted and kind not in ("nothing", wanted):
            reason = f"{result.run.run_id}: its column {column.name} holds {kind} where other runs have {wanted}"
            said = f"{reason}: leave it out with --where, or delete its folder to train it again"
            return _Read(replace(result.run, state=State.DAMAGED, reason=said), result.kept, pa.table({}))
    return result


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), meant(value)
