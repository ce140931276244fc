"""Runs of a store into an archive: all of them, or those of one sweep, with what was said and declared of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchlab.results.axes import within
from batchlab.results.store import archive
from batchlab.results.store.atomic import writing
from batchlab.results.store.objects import formatted
from batchlab.results.store.regular import open_file
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore, Sweep
from batchlab.results.store.travel import ChangedError, NotWholeError, belongings, placeless

PLACES = ("executor", "callback", "dataset.root")
"""Overrides that say where and for whom, and nothing of a result."""


DAMAGED = "damaged where it was packed"


@dataclass
class Packed:
    """What became of a store's runs.

    Attributes:
        path: The archive.
        states: Of the runs in it, by identity.
        training: Those that are being trained, and are not in it.
        damaged: Those that are damaged and are not in it; why, by identity.
        absent: How many runs of the sweeps have not begun.
        bytes: The archive's size.
    """

    path: Path
    states: dict[str, State] = field(default_factory=dict)
    training: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    absent: int = 0
    bytes: int = 0


def pack(store: RunStore, path: Path, sweep: str | None = None) -> Packed:
    """Pack runs. Nothing in the store is written, and nobody waits for it.

    Args:
        store: Where they are.
        path: The archive; an earlier one is replaced, any other file is not.
        sweep: Only the runs of this sweep; None: every run and sweep.

    Raises:
        ValueError: The name is no archive's, nothing is there to pack, or it cannot be written; it is as it was then.
    """
    _check_target(path)
    sweeps, problems = ([store.sweep(sweep)], []) if sweep is not None else store.manifests()
    if problems:
        raise ValueError(f"nothing was packed: {problems[0]}")
    asked = {entry.run_id: None for one in sweeps for entry in one.entries}
    runs = {run.run_id: run for run in (store.runs() if sweep is None else map(store.run, asked)) if run.begun}
    packed = Packed(path, absent=len(asked.keys() - runs.keys()))
    if not runs:
        raise ValueError(f"there is no run to pack in {store.name}" + (f", sweep {sweep}" if sweep else ""))

    def files() -> Iterator[tuple[str, bytes]]:
        yield from _files(runs, packed)
        if not packed.states:
            what = next(iter(packed.damaged.values()), "each run is being trained")
            raise ValueError(f"nothing was packed: {what}")
        yield from _said(store, sweeps, packed)  # it names what was damaged

    archive.write(path, files())
    packed.bytes = path.stat().st_size
    return packed


def _check_target(path: Path) -> None:
    if not path.name.endswith(archive.SUFFIX) or path.name == archive.SUFFIX:
        raise ValueError(f"{path}: an archive's name ends in {archive.SUFFIX}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}: make it, or name another")
    if path.exists():
        with writing(path, "name another file"), open_file(path) as file:
            if file.read(len(archive.MAGIC)) != archive.MAGIC:
                raise ValueError(f"{path} is there and is no archive: name another file")


def _said(store: RunStore, sweeps: list[Sweep], packed: Packed) -> Iterator[tuple[str, bytes]]:
    """What was said of sweeps, declared before their first look, and measured for their papers."""
    for sweep in sorted(sweeps, key=lambda sweep: sweep.name):
        entries = [replace(entry, overrides=_placeless(entry.overrides)) for entry in sweep.entries]
        lost = {run_id: why for run_id, why in placeless(sweep.left_out).items() if run_id not in packed.states}
        lost |= {entry.run_id: DAMAGED for entry in entries if entry.run_id in packed.damaged}
        yield f".sweeps/{sweep.name}.json", formatted(replace(sweep, entries=entries, left_out=lost).as_json())
    for sweep in sorted(sweeps, key=lambda sweep: sweep.name):
        if (plan := store.plan(sweep.name)) is not None:
            yield f".plans/{sweep.name}.json", formatted(plan)
    for paper in sorted({sweep.name.rpartition("-")[0] for sweep in sweeps} - {""}):
        measured: dict[str, Any] = store.measured(paper)
        if measured:
            yield f".measured/{paper}.json", formatted(measured)


def _placeless(overrides: list[str]) -> list[str]:
    return [text for text in overrides if not within(text.lstrip("+~").partition("=")[0], PLACES)]


def _files(runs: dict[str, Run], packed: Packed) -> Iterator[tuple[str, bytes]]:
    for run_id in sorted(runs):
        try:
            state, files = belongings(runs[run_id])
        except ChangedError:
            packed.training.append(run_id)
            continue
        except NotWholeError as error:
            packed.damaged[run_id] = str(error)
            continue
        except OSError as error:
            packed.damaged[run_id] = f"{error.filename or runs[run_id].folder} cannot be read ({error.strerror})"
            continue
        packed.states[run_id] = state.state
        yield from ((f"{run_id}/{name}", files[name]) for name in sorted(files))
