"""Reading the rows of many runs: only the columns that are asked for, several files at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from batchlab.results.compare.agreed import agreed, told_apart
from batchlab.results.compare.frame import FLOPS, MISSING, Frame, RunRow
from batchlab.results.compare.nothing import nothing_meets
from batchlab.results.compare.reading import NOTHING, Read, Reader
from batchlab.results.compare.where import Where
from batchlab.results.store.index import Index, Mark, together
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.results.store.shared import Shared
from batchlab.results.words import meant, told

Item = TypeVar("Item")
HANDFUL = 64
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

    def read(item: tuple[Run, dict[str, Any]]) -> Read:
        run, labels = item
        state, said = run.read_state(), overrides.get(run.run_id, {})
        row = RunRow(run.run_id, state.state, state.reason, shared(state.info), {}, labels, said)
        return Reader(run, row, asked, chosen, stream, index, shared).read()

    def several(items: Sequence[tuple[Run, dict[str, Any]]]) -> list[Read]:
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
    results = told_apart([result for result in results if result.kept])
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

    def several(rows: Sequence[RunRow]) -> list[Read]:
        empty = [replace(row, rows=slice(0, 0)) for row in rows]
        return [Reader(store.run(row.run_id), row, Where.of(()), None, stream).read() for row in empty]

    return _together(store, _all(several, runs), ordered=False)


def _all(several: Callable[[Sequence[Item]], list[Read]], items: Sequence[Item]) -> list[Read]:
    """What is read of each. By the handful: threads that hand over one at a time wait for each other."""
    handfuls = [items[start : start + HANDFUL] for start in range(0, len(items), HANDFUL)]
    with ThreadPoolExecutor(THREADS) as pool:
        return [result for own in pool.map(several, handfuls) for result in own]


def _packed(results: list[Read], index: Index, columns: frozenset[str] | None) -> list[Read]:
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
            packed[i] = Read(read.run, True, table, names, rows)
    return packed


def _together(store: RunStore, results: list[Read], *, ordered: bool) -> Frame:
    results = agreed(results)
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


def _problems(store: RunStore, results: Sequence[Read]) -> list[str]:
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


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), meant(value)
