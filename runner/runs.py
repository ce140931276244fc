"""`batchlab runs`: which runs there are, with a metric where one is asked for, and the removal of some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text as Line

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CANDIDATES, Metric
from batchlab.results.compare.where import Where
from batchlab.results.show.render import print_sheets
from batchlab.results.show.runs_sheet import METRIC, main_metric, runs_sheet
from batchlab.results.store.aside import remove, stale_store
from batchlab.results.store.runs import RunStore, places
from batchlab.results.words import count
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

    def frame(self, columns: Iterable[str]) -> Frame:
        """The runs, and these columns of their rows.

        Raises:
            ValueError: A sweep that is not there, or a condition on what no run has.
        """
        where = Where.parse(self.where, self.others)
        if not self.stale:
            return self._as_asked(load(self.store, self.sweep, where=where, columns=columns))
        frame = self._as_asked(load(self.store, where=where, columns=columns))
        if self.sweep is None:
            return frame
        entries = {entry.run_id for entry in RunStore(self.runs).sweep(self.sweep).entries}
        return frame.select(lambda run: run.run_id.rpartition("-")[0] in entries)

    def _as_asked(self, frame: Frame) -> Frame:
        """In the order in which they were asked for, the latest sweep first, as in the report."""
        if frame.ordered:
            return frame
        order = places(RunStore(self.runs).manifests()[0])

        def place(run: RunRow) -> int:
            return order.get(run.run_id.rpartition("-")[0] if self.stale else run.run_id, len(order))

        return replace(frame, runs=sorted(frame.runs, key=place))


def show(chosen: Chosen, metric: str | None, sort: str | None, format: str, *, wide: bool = False) -> int:
    """List runs, by default with what says most of them; best first where a metric is asked for.

    Args:
        chosen: Which.
        metric: A column of this one; None: the main one of those that they recorded.
        sort: In order of this, see `runs_sheet`; None: best first where a metric is asked for, else as they are.
        format: To print.
        wide: Nothing is wrapped.

    Raises:
        ValueError: A metric, or a key to sort by, that no run has.
    """
    asked = None if metric is None else Metric.parse(metric)
    frame = chosen.frame(CANDIDATES if asked is None else asked.columns)
    listed = runs_sheet(frame, asked or main_metric(frame), sort or (METRIC if asked else None))
    print_sheets([listed], format, wide=wide)
    return 0


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
    frame = chosen.frame(())
    store = chosen.store
    there = [row for row in frame.runs if store.run(row.run_id).begun]
    print_sheets([runs_sheet(replace(frame, runs=there))])
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
        OUT.print(Line(line, style="yellow"))
