"""What is done, running, failed and left: the answer of `batchlab status`. Standard library only."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.store.parquet import looks_whole
from batchlab.results.store.record import STREAMS
from batchlab.results.store.run import Run, RunState, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.words import caption, count, listing

ORDER = (
    State.DONE,
    State.DIVERGED,
    State.RUNNING,
    State.INTERRUPTED,
    State.CRASHED,
    State.FAILED,
    State.DAMAGED,
    State.PENDING,
)
TONES = {State.DONE: "good", State.FAILED: "bad", State.DAMAGED: "bad", State.DIVERGED: "bad"}
LEFT = (State.PENDING, State.INTERRUPTED, State.CRASHED)


@dataclass(frozen=True)
class RunStatus:
    """How one run stands.

    Attributes:
        run_id: Its identity.
        state: What it is doing, or how it ended.
        reason: One line that says why, where there is something to say.
        labels: What its sweep calls it.
        overrides: What its sweep changed.
        progress: What a running run says of itself (`Run.write_progress`).
    """

    run_id: str
    state: State
    reason: str | None
    labels: dict[str, Any]
    overrides: list[str]
    progress: dict[str, Any]


@dataclass(frozen=True)
class Status:
    """How the runs of a store, or of one sweep, stand.

    Attributes:
        runs: The runs, in the sweep's order.
        sweep: Its name; None: all runs of the store.
        root: The store's folder.
    """

    runs: list[RunStatus]
    sweep: str | None
    root: str

    @property
    def total(self) -> int:
        """How many runs there are."""
        return len(self.runs)

    @property
    def counts(self) -> dict[State, int]:
        """Runs by state, only the states that occur."""
        found = Counter(run.state for run in self.runs)
        return {state: found[state] for state in ORDER if found[state]}

    @property
    def failed(self) -> bool:
        """Whether some run failed or is damaged: exit code 1."""
        return any(run.state in (State.FAILED, State.DAMAGED) for run in self.runs)

    def summary(self) -> str:
        """`1,000 runs: 998 done, 1 diverged and 1 failed`."""
        states = [f"{n:,} {state}" for state, n in self.counts.items()]
        return count(self.total, "run") + (f": {listing(states)}" if states else "")

    def sheets(self, every: bool = False) -> list[Sheet]:
        """The counts, and one row for each run that is neither done nor pending.

        Args:
            every: Whether every run has a row.
        """
        title = f"sweep {self.sweep}" if self.sweep else self.root
        shown = [run for run in self.runs if every or run.state not in (State.DONE, State.PENDING)]
        rows = [
            [
                Text(run.run_id),
                Text(run.state, tone="bad" if TONES.get(run.state) == "bad" else ""),
                Text(caption(run.labels, run.overrides), tone="dim"),
                Text(_detail(run)),
            ]
            for run in shown
        ]
        notes = []
        left = sum(n for state, n in self.counts.items() if state in LEFT)
        if left:
            notes.append(f"{count(left, 'run')} left: the same sweep command goes on where they stopped")
        if self.failed:
            notes.append("failed runs run again with --retry; their logs are in RUN/log")
        counts = Sheet(
            f"{title}: {self.summary()}",
            [Column((state,), "right") for state in self.counts],
            [[Text(f"{n:,}", tone=_tone(state)) for state, n in self.counts.items()]] if self.counts else [],
            [] if rows else notes,
            [{"state": state.value, "runs": n} for state, n in self.counts.items()],
            "no runs yet: start some with `batchlab sweep`",
        )
        if not rows:
            return [counts]
        columns = [Column((name,)) for name in ("run", "state", "what", "why")]
        records = [
            {"run_id": r.run_id, "state": r.state.value, "overrides": " ".join(r.overrides), "reason": r.reason}
            for r in shown
        ]
        return [counts, Sheet("runs" if every else "runs that are not done", columns, rows, notes, records)]


def read_status(store: RunStore, sweep: str | None = None) -> Status:
    """How every run of a store stands, or of one sweep.

    Args:
        store: Where the runs are. Those of its sweeps that never started are counted too.
        sweep: Only the runs of this sweep, in its order.

    Raises:
        ValueError: For a sweep that is not there.
    """
    entries = _entries(store, sweep)
    chosen = {} if sweep else {run.run_id: run for run in store.runs()}
    chosen |= {run_id: store.run(run_id) for run_id in entries if run_id not in chosen}
    runs = []
    for run_id, run in chosen.items():
        state = _looked_at(run, run.read_state())
        progress = run.read_progress() if state.state is State.RUNNING else {}
        entry = entries.get(run_id, SweepEntry(run_id))
        runs.append(RunStatus(run_id, state.state, state.reason, entry.labels, entry.overrides, progress))
    return Status(runs, sweep, str(store.root))


def _entries(store: RunStore, sweep: str | None) -> dict[str, SweepEntry]:
    """What sweeps say of their runs: those of one, or of all that can be read."""
    if sweep is not None:
        return {entry.run_id: entry for entry in store.sweep(sweep).entries}
    entries: dict[str, SweepEntry] = {}
    for name in store.sweeps():
        with contextlib.suppress(ValueError):  # a damaged manifest says so when it is asked for by name
            entries |= {entry.run_id: entry for entry in store.sweep(name).entries}
    return entries


def _looked_at(run: Run, state: RunState) -> RunState:
    """The state of a run, `damaged` where it has ended and its rows are visibly not what they were."""
    if state.state not in (State.DONE, State.DIVERGED):
        return state
    paths = [run.sealed(stream) for stream in STREAMS]
    broken = [path for path in paths if path.exists() and not looks_whole(path)]
    why = "is damaged"
    if not broken and state.state is State.DONE and not (run.metrics.exists() or run.stream("metrics").exists()):
        broken, why = [run.metrics], "is missing"
    if not broken:
        return state
    return RunState(State.DAMAGED, f"{broken[0]} {why}: delete {run.folder} to train the run again", state.info)


def _tone(state: State) -> Any:
    return TONES.get(state, "")


def _detail(run: RunStatus) -> str:
    if run.state is not State.RUNNING:
        return run.reason or ""
    total = run.progress.get("total")
    if not total:  # it has just begun
        return ""
    return f"{100 * run.progress['samples'] / total:.1f} % of {total:,.6g} {run.progress.get('unit', 'samples')}"
