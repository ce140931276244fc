"""What is done, running, failed and left: the answer of `batchlab status`. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.store import exhausted
from batchlab.results.store.queue import AGAIN
from batchlab.results.store.run import RunState, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.store.shared import Shared
from batchlab.results.words import caption, count, listing

ORDER = (
    State.DONE,
    State.DIVERGED,
    State.RUNNING,
    State.INTERRUPTED,
    State.CANCELLED,
    State.CRASHED,
    State.FAILED,
    State.DAMAGED,
    State.PENDING,
)
TONES = {State.DONE: "good", State.FAILED: "bad", State.DAMAGED: "bad", State.DIVERGED: "bad"}
WARNINGS = 6
"""So many lines are shown."""
MERGED = "where they are merged (`batchlab runs merge`) the same sweep command"
LEFT = (State.PENDING, State.INTERRUPTED, State.CANCELLED, State.CRASHED)


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
    warnings: list[str] = field(default_factory=list)
    """What happened to it that its numbers do not show."""
    late: bool = False
    """Whether it was stopped at its timeout, and does not go on without being asked."""


@dataclass(frozen=True)
class Status:
    """How the runs of a store, or of one sweep, stand.

    Attributes:
        runs: The runs, in the sweep's order.
        sweep: Its name; None: all runs of the store.
        root: The store's folder.
        problems: One line per manifest that cannot be read, and one where runs crashed on a disk that is full now.
        queue: What there is to say of a cluster's queue.
        states: All that run.json says of the runs, by identity.
        left_out: Runs that have not begun here, and that an archive or a merge had to leave out; why, by identity.
        alone: Whether the sweep is a run that was trained by itself.
        packed: Whether they are in archives, where nothing goes on.
    """

    runs: list[RunStatus]
    sweep: str | None
    root: str
    problems: list[str] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    states: Mapping[str, RunState] = field(default_factory=dict, repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    packed: bool = False

    def with_queue(self, runs: Mapping[str, str], notes: Sequence[str]) -> Status:
        """With what a cluster's queue says.

        Args:
            runs: Of runs in it: what there is to say of one that has nothing to say itself.
            notes: Of all of them.
        """
        told = []
        for run in self.runs:
            reason = run.reason or runs.get(run.run_id)
            if run.run_id not in runs and reason:  # somebody took it out of there since
                reason = reason.removesuffix(f": {AGAIN}")
            told.append(replace(run, reason=reason))
        return replace(self, runs=told, queue=[*notes])

    @property
    def title(self) -> str:
        """What it is of."""
        return f"{'run' if self.alone else 'sweep'} {self.sweep}" if self.sweep else self.root

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
        notes = [*self.queue]
        late = sum(run.late for run in self.runs)
        left = sum(n for state, n in self.counts.items() if state in LEFT) - late
        if left and not self.queue:
            goes_on = f"{MERGED} trains them" if self.packed else "the same sweep command goes on where they stopped"
            notes.append(f"{count(left, 'run')} left: {goes_on}")
        if self.left_out:
            reasons = [*dict.fromkeys(self.left_out.values())]
            why = f"{reasons[0]}{', and so on' if len(reasons) > 1 else ''}"
            notes.append(f"{len(self.left_out):,} of these runs left out when packed or merged: {why}")
        if late and not self.packed:
            notes.append(f"{count(late, 'run')} stopped at a timeout: a longer --timeout, or --retry, goes on")
        if State.FAILED in self.counts and not self.packed:
            notes.append("failed runs run again with --retry; their logs are in RUN/log")
        warnings = [line for run in self.runs for line in run.warnings]
        more = [f"and {count(len(warnings) - WARNINGS, 'warning')} more"] if len(warnings) > WARNINGS else []
        notes += [*warnings[:WARNINGS], *more, *self.problems]
        counts = Sheet(
            f"{self.title}: {next(iter(self.counts)) if self.alone else self.summary()}",
            [Column((state,), "right") for state in self.counts],
            [[Text(f"{n:,}", tone=_tone(state)) for state, n in self.counts.items()]] if self.counts else [],
            [] if rows else notes,
            [{"state": state.value, "runs": n} for state, n in self.counts.items()],
            "no runs yet: start some with `batchlab sweep`",
        )
        if not rows:
            return [counts]
        names = ("run", "state", "what", "why")
        said = [i for i in range(len(names)) if any(row[i].text for row in rows)]
        columns, rows = [Column((names[i],)) for i in said], [[row[i] for i in said] for row in rows]
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
    sweeps, problems = ([store.sweep(sweep)], []) if sweep is not None else store.manifests()
    entries = {entry.run_id: entry for one in sweeps for entry in one.entries}
    missed = {run_id: why for one in sweeps for run_id, why in one.left_out.items()}
    chosen = {} if sweep else {run.run_id: run for run in store.runs()}
    chosen |= {run_id: store.run(run_id) for run_id in entries if run_id not in chosen}
    runs, states, shared = [], {}, Shared()
    left_out: dict[str, str] = {}
    for run_id, run in chosen.items():
        read = run.read_state()
        reason = read.reason and store.said(read.reason)
        state = states[run_id] = replace(read, reason=reason, info=shared(read.info))
        progress = run.read_progress() if state.state is State.RUNNING else {}
        entry = entries.get(run_id, SweepEntry(run_id))
        if state.state is State.PENDING and run_id in missed:
            left_out[run_id] = missed[run_id]
            state = replace(state, reason=f"left out: {missed[run_id]}")
        warnings = state.info.get("warnings", [])
        late = state.state is State.INTERRUPTED and isinstance(state.info.get("timeout"), (int, float))
        known = state.state, state.reason, entry.labels, entry.overrides, progress, warnings, late
        runs.append(RunStatus(run_id, *known))
    if any(run.state is State.CRASHED for run in runs) and (full := exhausted.now(store.root)):
        problems = [*problems, f"{full}: a run that has crashed may have had no room to say why"]
    alone = sweep is not None and sweeps[0].alone
    return Status(
        runs, sweep, store.name, problems, states=states, left_out=left_out, alone=alone, packed=not store.lasting
    )


def _tone(state: State) -> Any:
    return TONES.get(state, "")


def _detail(run: RunStatus) -> str:
    if run.state is not State.RUNNING:
        return run.reason or ""
    total = run.progress.get("total")
    if not total or "samples" not in run.progress:  # it has just begun
        return ""
    return f"{100 * run.progress['samples'] / total:.1f} % of {total:,.6g} {run.progress.get('unit', 'samples')}"
