"""Runs of archives into a store: what is over counts there as if it had been trained there.

All is read and checked before anything is written. A run appears by one rename, whole; sweeps name it after that, so
that who is killed in between has lost nothing and does the rest by the same command. One merge at a time writes; a run
that a process trains is its own, by the lock that training takes.

Of a run that is here and there the one that is further is kept: over, then failed, then anything else. What it takes
the place of is set aside if there is something in it (`aside.py`). Where both are over and differ nothing is merged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchlab.results.store.aside import set_aside
from batchlab.results.store.atomic import sync, temporary_of, writing
from batchlab.results.store.differ import check_whole, config_of, difference
from batchlab.results.store.kept import Kept
from batchlab.results.store.locks import ELSEWHERE
from batchlab.results.store.run import FINISHED, STREAMS, Run, RunBusyError, State
from batchlab.results.store.runs import RunStore
from batchlab.results.store.travel import mended

LOCK = ".merge"
NOT_OVER = "not over where it was packed, and an archive has nothing to go on from"
NAMED = 3
"""So many differences are named."""
Identity = Callable[[Mapping[str, Any]], str]
Stores = Sequence[tuple[Path, RunStore]]


OVER, LOST, OPEN, NONE = 3, 2, 1, 0
"""How far a run is: it has ended, it has failed, it goes on, it is damaged or not there."""


@dataclass
class Merged:
    """What became of the runs of archives.

    Attributes:
        new: Those that are in the store now.
        there: Those that it had already.
        unfinished: Those that are not over, and have no checkpoint to go on from: left out.
        busy: Those that a process trains here: left alone.
        damaged: Those that are damaged in their archive; why, by identity.
        aside: Those of the store that others took the place of, and where they are.
        sweeps: Those that have runs they did not have, or miss other ones.
        notes: What else to know.
    """

    new: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    sweeps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def merge(store: RunStore, stores: Stores, identity: Identity) -> Merged:
    """Put the runs of archives into a store.

    Args:
        store: Where to; it is made ready for writing.
        stores: Archives, and what was unpacked of them.
        identity: The identity of a configuration, which its run must have.

    Raises:
        ValueError: Runs, labels or plans differ, both sides named, or an archive holds what cannot be; nothing was
            written then. Or the store cannot be written.
    """
    if not store.root.is_dir():  # nothing is to be there if it is refused
        _choose(store, stores, identity, Merged())
        Kept.of(store, stores)
    store.prepare()
    with _alone(store):
        merged = Merged()
        chosen = _choose(store, stores, identity, merged)
        kept = Kept.of(store, stores)
        for run_id, (path, run) in chosen.items():
            _place(store, run, f"run {run_id} of {path.name} took its place", merged)
        kept.leave_out(store, stores, dict.fromkeys(merged.unfinished, NOT_OVER) | merged.damaged)
        merged.sweeps = kept.write(store)
        merged.notes += kept.notes
    known = {*merged.new, *merged.there, *merged.busy}
    merged.unfinished = [run_id for run_id in dict.fromkeys(merged.unfinished) if run_id not in known]
    return merged


def put_together(whole: RunStore, stores: Stores) -> dict[str, Path]:
    """Put what was unpacked of several archives into one folder, in whatever state runs are.

    Returns:
        Which archive each run is from.

    Raises:
        ValueError: As `merge`.
    """
    best: dict[str, tuple[Path, Run]] = {}
    clashes: list[str] = []
    for path, store in stores:
        for run in store.runs():
            own = path, run
            best[run.run_id] = _further(best[run.run_id], own, clashes) if run.run_id in best else own
    _refuse(clashes)
    kept = Kept.of(whole, stores)
    for run_id, (_, run) in best.items():
        os.rename(run.folder, whole.root / run_id)
    kept.write(whole)
    return {run_id: path for run_id, (path, _) in best.items()}


def _rank(run: Run) -> int:
    state = run.read_state().state
    if state in FINISHED:
        return OVER
    if state is State.DAMAGED or not run.begun:
        return NONE
    return LOST if state is State.FAILED else OPEN


def _choose(store: RunStore, stores: Stores, identity: Identity, merged: Merged) -> dict[str, tuple[Path, Run]]:
    """The runs of archives that come into the store, by identity.

    Raises:
        ValueError: Runs that are over differ.
    """
    chosen: dict[str, tuple[Path, Run]] = {}
    clashes: list[str] = []
    for path, source in stores:
        for run in source.runs():
            run_id = run.run_id
            if wrong := check_whole(run) or _foreign(run, identity):
                merged.damaged[run_id] = mended(wrong).replace(str(source.root), str(path))
                continue
            here = store.run(run_id)
            if _rank(run) <= OPEN:
                begun = run.read_state().state is not State.PENDING
                merged.unfinished += [run_id] if begun and _rank(here) <= OPEN else []
            elif here.read_state().state is State.RUNNING:
                merged.busy.append(run_id)
            elif run_id in chosen:
                chosen[run_id] = _further(chosen[run_id], (path, run), clashes)
            elif _rank(here) == OVER and not check_whole(here):
                clashes += _clash(run_id, (store.root, here), (path, run)) if _rank(run) == OVER else []
                merged.there.append(run_id)
            elif _rank(here) == _rank(run) == LOST:
                merged.there.append(run_id)
            else:
                chosen[run_id] = path, run
    _refuse(clashes)
    return chosen


def _further(one: tuple[Path, Run], other: tuple[Path, Run], clashes: list[str]) -> tuple[Path, Run]:
    """The one of a run's two forms that is further; where both are over and differ, that is added to the clashes."""
    if _rank(one[1]) == _rank(other[1]) == OVER:
        if check_whole(one[1]) or check_whole(other[1]):
            return other if check_whole(one[1]) else one
        clashes += _clash(one[1].run_id, one, other)
    return other if _rank(other[1]) > _rank(one[1]) else one


def _clash(run_id: str, one: tuple[Path, Run], other: tuple[Path, Run]) -> list[str]:
    said = difference(one[1], other[1], str(one[0]), str(other[0]))
    return [f"run {run_id}: {said}"] if said else []


def _refuse(clashes: Sequence[str]) -> None:
    if clashes:
        more = f"; and {len(clashes) - NAMED:,} more" if len(clashes) > NAMED else ""
        raise ValueError(
            f"nothing was merged, as what should be the same differs: {'; '.join(clashes[:NAMED])}{more}: leave one of "
            "them out (`batchlab runs rm --where run_id=ID` removes a run here)"
        )


def _foreign(run: Run, identity: Identity) -> str:
    """What is wrong where a run's configuration is another's, or not there; empty where it is its own."""
    if not run.config.is_file():
        return f"{run.config} is missing"
    found = identity(config_of(run))
    return "" if found == run.run_id else f"{run.folder} has the configuration of another run, {found}"


def _place(store: RunStore, run: Run, why: str, merged: Merged) -> None:
    """Put a run into the store, whole or not at all, unless a process has begun to train it there or has ended it.

    Raises:
        ValueError: The store cannot be written.
    """
    target = store.run(run.run_id)
    made = temporary_of(target.folder)
    with writing(store.root, ELSEWHERE):
        try:
            shutil.copytree(run.folder, made)
            for file in sorted(made.iterdir()):
                sync(file)
            sync(made)
            while not _moved(made, target):
                try:
                    if not _made_room(store, target, run, why, merged):
                        return
                except RunBusyError:
                    merged.busy.append(run.run_id)
                    return
            merged.new.append(run.run_id)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _moved(made: Path, target: Run) -> bool:
    """Whether a folder has become the run's; not where there is one with anything in it."""
    try:
        os.rename(made, target.folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync(target.folder.parent)
    return True


def _made_room(store: RunStore, target: Run, run: Run, why: str, merged: Merged) -> bool:
    """Whether what there is of a run has given way to one that is further.

    Raises:
        RunBusyError: A process trains it.
    """
    with target.hold():
        if _rank(target) >= _rank(run) and not check_whole(target):
            merged.there.append(run.run_id)  # it has ended here meanwhile
            return False
        begun = target.read_state().state is not State.PENDING or target.checkpoints
        if begun or any(target.stream(stream).exists() or target.sealed(stream).exists() for stream in STREAMS):
            merged.aside[run.run_id] = str(set_aside(store, target, why).folder)
        else:
            doomed = temporary_of(store.root / f"removed.{run.run_id}")
            os.rename(target.folder, doomed)
            shutil.rmtree(doomed)
    return True


@contextlib.contextmanager
def _alone(store: RunStore) -> Iterator[None]:
    """Be the only merge that writes there; another one is waited for."""
    with writing(store.root, ELSEWHERE):
        descriptor = os.open(store.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with writing(store.root, ELSEWHERE):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
