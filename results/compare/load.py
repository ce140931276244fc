"""Reading the rows of many runs: only the columns that are asked for, several files at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import pyarrow as pa

from batchlab.results.axes import COLUMNS
from batchlab.results.compare.frame import MISSING, Frame, RunRow, flatten
from batchlab.results.compare.nothing import nothing_meets
from batchlab.results.compare.where import Where
from batchlab.results.legacy import upgraded
from batchlab.results.store import parquet
from batchlab.results.store.record import CONFIG_KEY, read_stream, to_arrow
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import meant

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
    and the way out. Runs that are not over are read from their lines.

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
    manifest = [] if sweep is None else store.sweep(sweep).entries
    overrides = {entry.run_id: dict(_split(text) for text in entry.overrides) for entry in manifest}

    def read(item: tuple[Run, dict[str, Any]]) -> _Read:
        run, labels = item
        return _Reader(run, labels, overrides.get(run.run_id, {}), asked, chosen, stream).read()

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(read, store.select(sweep)))
    every = Frame([result.run for result in results], pa.table({}), frozenset(), [], sweep is not None)
    for key in asked.keys:
        every.values(key)  # says so when no run has it
    results = _told_apart([result for result in results if result.kept])
    if every.runs and not results:
        raise ValueError(nothing_meets(every, asked.alternatives))
    for other in asked.alternatives if len(asked.alternatives) > 1 else ():
        if not any(run.matches(other) for run in every.runs):
            raise ValueError(nothing_meets(every, [other]))
    tables, runs, start = [], [], 0
    for result in results:
        stop = start + result.table.num_rows
        runs.append(replace(result.run, rows=slice(start, stop)))
        tables.append(result.table)
        start = stop
    table = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    names = frozenset(name for result in results for name in result.names)
    problems = [result.run.reason or "" for result in results if result.run.state is State.DAMAGED]
    again = partial(load, store, sweep, where=asked)
    return Frame(runs, table, names, problems, sweep is not None, lambda name: again(stream=name))


def swept_keys(store: RunStore, frame: Frame, sweep: str | None = None) -> list[str]:
    """The dotted keys that sweeps gave values to, of which the runs of a frame have some.

    Args:
        store: Where the runs are.
        frame: Some of them.
        sweep: Only what this sweep gave values to; None: all that are recorded there.
    """
    mine = {run.run_id for run in frame.runs}
    entries = [entry for name in ([sweep] if sweep else store.sweeps()) for entry in store.sweep(name).entries]
    asked = (_split(text)[0] for entry in entries if entry.run_id in mine for text in entry.overrides)
    keys = (key.partition("@")[0] for key in asked)
    return [key for key in dict.fromkeys(keys) if any(run.value(key) != MISSING for run in frame.runs)]


@dataclass(frozen=True)
class _Read:
    """What became of one run."""

    run: RunRow
    kept: bool
    table: pa.Table
    names: Sequence[str] = ()


@dataclass(frozen=True)
class _Reader:
    run: Run
    labels: dict[str, Any]
    overrides: dict[str, str]
    where: Where
    columns: frozenset[str] | None
    stream: str

    def read(self) -> _Read:
        """The run's rows, none where it is damaged or not wanted. Never raises."""
        state = self.run.read_state()
        row = RunRow(self.run.run_id, state.state, state.reason, state.info, {}, self.labels, self.overrides)
        try:
            if self.run.sealed(self.stream).exists():
                return self._sealed(row)
            row = replace(row, config=_configuration(self.run))
            return self._lines(row)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            row = replace(row, state=State.DAMAGED, reason=self._reason(error))
            if not row.config:
                row = replace(row, config=_configuration(self.run, strict=False))
            return _Read(row, self.where.fits(row), pa.table({}))

    def _sealed(self, row: RunRow) -> _Read:
        with parquet.opened(self.run.sealed(self.stream)) as file:
            row = replace(row, config=upgraded(json.loads(file.schema_arrow.metadata[CONFIG_KEY])))
            if not self.where.fits(row):
                return _Read(row, kept=False, table=pa.table({}))
            names = [name for name in file.schema_arrow.names if name not in COLUMNS]
            return _Read(row, True, file.read(self._wanted(names), use_threads=False), names)

    def _lines(self, row: RunRow) -> _Read:
        if not self.where.fits(row):
            return _Read(row, kept=False, table=pa.table({}))
        rows = read_stream(self.run, self.stream)
        names = list(dict.fromkeys(name for line in rows for name in line))
        table = to_arrow(rows, {}) if rows else pa.table({})
        return _Read(row, True, table.select(self._wanted(names)), names)

    def _wanted(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self.columns is None or name in self.columns]

    def _reason(self, error: Exception) -> str:
        path = self.run.sealed(self.stream)
        if not path.exists():
            return " ".join(str(error).split())
        why = " ".join(str(error).split()).partition(". ")[0][:80]
        return f"{path} is damaged ({why}): delete {self.run.folder} to train the run again"


def _told_apart(results: list[_Read]) -> list[_Read]:
    """Values of a key that is a truth in one run and a number in another as what they are: for Python `True == 1`.

    The truths become text, `true` and `false`; a key with values of one kind stays as it is.
    """
    kinds: dict[str, set[bool]] = {}
    for result in results:
        for key, value in flatten(result.run.config).items():
            if isinstance(value, (bool, int, float)):
                kinds.setdefault(key, set()).add(isinstance(value, bool))
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


def _configuration(run: Run, *, strict: bool = True) -> dict[str, Any]:
    """The frozen configuration of a run that is not sealed; empty where there is none."""
    import yaml

    try:
        config = yaml.load(run.config.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, OSError) as error:
        if not strict:
            return {}
        why = f"{run.config} is damaged: delete {run.folder} to train the run again"
        raise ValueError(why) from error
    return upgraded(config) if isinstance(config, dict) else {}


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), meant(value)
