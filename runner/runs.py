"""`batchlab runs`: which runs there are, with a metric where one is asked for, and the removal of some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text as Line

from batchlab.results.axes import AXES
from batchlab.results.compare.apart import settings, telling_keys
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.where import Where
from batchlab.results.show.render import print_sheets
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number
from batchlab.results.store.aside import remove, stale_store
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import caption, count
from batchlab.runner.console import OUT
from batchlab.runner.options import listed_store
from batchlab.runner.plan.schema import ConfigError


@dataclass(frozen=True)
class Chosen:
    """Which runs a command is about.

    Attributes:
        runs: The folder that holds all runs.
        where: Conditions; all must hold.
        sweep: Only the runs of this sweep.
        stale: Of those that were set aside, instead of those that count.
        others: Each an alternative to all of `where` together.
    """

    runs: Path
    where: Sequence[str]
    sweep: str | None
    stale: bool
    others: Sequence[str] = ()

    @property
    def store(self) -> RunStore:
        """Where they are."""
        store = listed_store(self.runs)
        return stale_store(store) if self.stale else store

    def frame(self, metric: Metric | None) -> Frame:
        """The runs, and the rows that a metric needs.

        Raises:
            ValueError: A sweep that is not there, or a condition on what no run has.
        """
        columns = () if metric is None else metric.columns
        where = Where.parse(self.where, self.others)
        if not self.stale:
            return load(self.store, self.sweep, where=where, columns=columns)
        frame = load(self.store, where=where, columns=columns)
        if self.sweep is None:
            return frame
        entries = {entry.run_id for entry in RunStore(self.runs).sweep(self.sweep).entries}
        return frame.select(lambda run: run.run_id.rpartition("-")[0] in entries)


def show(chosen: Chosen, metric: str | None, format: str, *, wide: bool = False) -> int:
    """List runs, best first where a metric says which that is."""
    asked = None if metric is None else Metric.parse(metric)
    print_sheets([sheet(chosen.frame(asked), asked)], format, wide=wide)
    return 0


def sheet(frame: Frame, metric: Metric | None) -> Sheet:
    """A row for each run.

    Args:
        frame: The runs.
        metric: A column of this one; None: none.

    Raises:
        ValueError: For a column that no run has.
    """
    values = [math.nan] * len(frame.runs)
    missed = [False] * len(frame.runs)
    columns = [Column((name,)) for name in ("run", "state", "what", "why")]
    order = [*range(len(frame.runs))]
    if metric is not None and frame.runs:
        metric = metric.of(frame)
        measured = metric.measure(frame)
        values, missed = measured.values.tolist(), measured.missed.tolist()
        columns.insert(2, Column((metric.title,), "right"))
        sign = {"up": -1, "down": 1}.get(metric.quantity.better or "", 0)
        order.sort(key=lambda i: (math.isnan(values[i]), sign * values[i] if values[i] == values[i] else 0))
    rows, records, keys = [], [], telling_keys(frame.runs)
    for i in order:
        run = frame.runs[i]
        bad = run.state in (State.FAILED, State.DAMAGED, State.DIVERGED)
        said = (_what(run, keys), _why(run))
        cells = [Text(run.run_id), Text(run.state, tone="bad" if bad else ""), Text(said[0], tone="dim"), Text(said[1])]
        record: dict[str, object] = {"run_id": run.run_id, "state": run.state.value, "what": said[0], "why": said[1]}
        if metric is not None:
            shown = values[i] * metric.quantity.scale
            text = "not reached" if missed[i] else number(shown, decimals(math.nan, shown))
            cells.insert(2, Text(text))
            record |= {str(metric): values[i]}
        rows.append(cells)
        records.append(record)
    return Sheet(count(len(rows), "run"), columns, rows, [*frame.problems], records, "no runs match")


def delete(chosen: Chosen, *, yes: bool) -> int:
    """Remove runs, or show which would be removed.

    Args:
        chosen: Which.
        yes: Whether it is meant.

    Raises:
        ConfigError: Nothing says which, or one of them is being trained; nothing was removed then.
    """
    if not (chosen.where or chosen.others or chosen.sweep or chosen.stale):
        raise ConfigError("which runs? say so with --where AXIS=VALUE, --sweep NAME or --stale")
    frame = chosen.frame(None)
    store = chosen.store
    there = [row for row in frame.runs if store.run(row.run_id).begun]
    print_sheets([sheet(replace(frame, runs=there), None)])
    if not there:
        return 0
    size = sum(file.stat().st_size for row in there for file in store.run(row.run_id).folder.rglob("*"))
    what = f"{count(len(there), 'run')}, {size / 1e6:,.1f} MB"
    busy = [row.run_id for row in there if store.run(row.run_id).held()]
    if busy:
        raise ConfigError(f"being trained: {' '.join(busy)}; stop them first, or leave them out")
    shared = [] if chosen.stale else _shared(store, {row.run_id for row in there}, chosen.sweep)
    if not yes:
        OUT.print(f"{what}: nothing was removed, --yes does it", style="bold")
        _say(shared)
        return 0
    for row in there:
        remove(store.run(row.run_id))
    if not chosen.stale:
        store.forget({row.run_id for row in there})
    OUT.print(f"removed: {what}", style="bold")
    _say(shared)
    return 0


def _shared(store: RunStore, run_ids: AbstractSet[str], sweep: str | None) -> list[str]:
    """`2 of them are in sweep x2 too`, for each sweep but the one that was named; damaged manifests name none."""
    lines = []
    for name in store.sweeps():
        with suppress(ValueError):
            n = len({entry.run_id for entry in store.sweep(name).entries} & run_ids) if name != sweep else 0
            if n:
                verb, too = "is" if n == 1 else "are", " too" if sweep else ""
                lines.append(f"{n:,} of them {verb} in sweep {name}{too}")
    return lines


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        OUT.print(Line(line, style="yellow"), soft_wrap=True)


def _why(run: RunRow) -> str:
    """Why it was set aside, or how it came to end as it did; empty where there is nothing to say."""
    aside = run.info.get("set_aside")
    return str(aside.get("why", "")) if isinstance(aside, dict) else run.reason or ""


def _what(run: RunRow, keys: Sequence[str]) -> str:
    """What sets it apart in its sweep, where one was named; else its choices, and the keys that tell it from others."""
    overrides = [f"{key}={value}" for key, value in run.overrides.items()]
    axes = [str(run.value(axis)) for axis in AXES]
    return caption(run.labels, overrides) or " ".join([*axes, *settings(run, keys)])
