"""Runs that others took the place of: out of the way of every reader, and whole.

    runs/.stale/<run_id>-1/    as it was; 2, 3, ... where there are several

A folder one level deeper than all runs: no table, no status and no `runs/*/metrics.parquet` counts it beside the run of
its name, and `--runs runs/.stale` reads it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from batchlab.results.store.atomic import temporary_of, writing
from batchlab.results.store.fingerprint import stale, stale_lines
from batchlab.results.store.locks import ELSEWHERE
from batchlab.results.store.run import Run, RunState, now
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count

FOLDER = ".stale"


def set_aside(store: RunStore, run: Run, why: str) -> Run:
    """Take a run out of the way of the one that is trained in its place.

    Args:
        store: Where it is.
        run: Which; the caller holds it.
        why: One line, kept with it.

    Returns:
        The run where it is now.

    Raises:
        ValueError: With the way out, when it cannot be written there.
    """
    folder = store.root / FOLDER
    with writing(folder, ELSEWHERE):
        folder.mkdir(exist_ok=True)
        numbers = [int(name.rpartition("-")[2]) for name in _names(folder, run.run_id)]
        aside = Run(folder / f"{run.run_id}-{max(numbers, default=0) + 1}")
        os.rename(run.folder, aside.folder)
    aside.write_state(set_aside={"why": why, "when": now()})
    return aside


def stale_store(store: RunStore) -> RunStore:
    """Those that were set aside, as a store of their own."""
    return RunStore(store.root / FOLDER)


def stale_notes(store: RunStore, states: Mapping[str, RunState]) -> list[str]:
    """What is stale among a store's runs, and which earlier ones are kept: lines for `batchlab status`.

    Args:
        store: Where the runs are.
        states: What was read of them, by identity.
    """
    lines = stale_lines(stale((state.state, state.info) for state in states.values()))
    if lines:
        lines.append("the same sweep command trains them anew, and with --trust-code takes them as they are")
    kept = [run for run in stale_store(store).runs() if run.run_id.rpartition("-")[0] in states]
    if kept:
        kept_there = (
            f"{count(len(kept), 'earlier run')} {'is' if len(kept) == 1 else 'are'} kept in {store.root / FOLDER}"
        )
        lines.append(f"{kept_there}: `batchlab runs list --stale`")
    return lines


def remove(run: Run) -> None:
    """Delete a run: gone at once for every reader, whatever happens while its files go.

    Raises:
        RunBusyError: When a process is training it.
        ValueError: With the way out, when it cannot be deleted.
    """
    with run.hold(), writing(run.folder, "see who may delete there"):
        doomed = temporary_of(run.folder)
        os.rename(run.folder, doomed)
        shutil.rmtree(doomed)


def _names(folder: Path, run_id: str) -> list[str]:
    found = [path.name for path in folder.glob(f"{run_id}-*")]
    return [name for name in found if name.removeprefix(f"{run_id}-").isdigit()]
