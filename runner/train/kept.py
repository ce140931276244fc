"""The files of a run's checkpoints: what a bit that flips, or a kill at any moment, cannot turn into other numbers.

    checkpoint.pt           the latest
    checkpoint.before.pt    the one before

Each is what `torch.save` writes, a ZIP, with a digest of the whole file in the ZIP's comment, which is checked before
anything of it is used: 0.2 s for 100 MB. Where the latest is not what was written, or rows that it knows of are gone,
the run goes on from the one before, and rows that only the latest knew are written again. Checkpoints of earlier
versions have no digest; of those the ZIP's own checksums are looked at.
"""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from batchlab.results.store.atomic import replace
from batchlab.results.store.digest import PLACE, sign, signed, whole
from batchlab.results.store.record import Recorder
from batchlab.results.store.regular import open_file
from batchlab.results.store.run import Run
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.train.rank import Context

LENGTH_OF_COMMENT = 2
"""Bytes at the end of a ZIP that has no comment that say so."""


def write(run: Run, state: dict[str, Any]) -> None:
    """Make `state` the latest checkpoint, and the latest the one before; where that fails, nothing has changed.

    Raises:
        RunLostError: another process has taken the run meanwhile.
    """
    run.check_owned()

    def fill(temporary: Path) -> None:
        torch.save(state, temporary)
        with temporary.open("r+b") as file:
            file.seek(-LENGTH_OF_COMMENT, 2)
            file.write(len(PLACE).to_bytes(LENGTH_OF_COMMENT, "little") + PLACE)
        sign(temporary)
        run.check_owned()

    replace(run.checkpoint, fill, keep=run.checkpoint_before)


def read(context: Context, recorder: Recorder | None = None) -> dict[str, Any] | None:
    """The latest checkpoint that is what was written, its tensors on the rank's device. Every rank must call it.

    Args:
        context: of the rank.
        recorder: on the rank that has it: the rows that a checkpoint knows of must be there.

    Returns:
        The state, the same file's on every rank; None where the run has no checkpoint.

    Raises:
        ConfigError: none of those that there are can be gone on from.
    """
    run, said = context.run, []
    paths = run.checkpoints
    for path in paths:
        state, why = _loaded(path, context.device)
        if state is not None and recorder is not None and (gone := _gone(state, recorder)):
            state, why = None, gone
        if not _agreed(state is not None, context):
            said.append(f"{path} {why or 'cannot be used by another rank'}")
            continue
        if said and context.rank == 0:
            run.checkpoint.unlink(missing_ok=True)  # or the next one would be written over the one that is whole
            run.warn(f"{said[0]}: went on from the one before it")
            print(f"{said[0]}: going on from {path.name}", flush=True)
        return state
    if not paths:
        return None
    raise ConfigError(f"{', '.join(said)}: {way_out(run)}")


def way_out(run: Run) -> str:
    """What to do about a run that cannot go on from any checkpoint: as long as one is there, it is tried."""
    names = " and ".join(path.name for path in run.checkpoints)
    return f"delete {names} in {run.folder} to train this run from its beginning"


def _gone(state: dict[str, Any], recorder: Recorder) -> str:
    """Which rows are missing that a checkpoint knows of; empty where none is."""
    counts = state.get("rows")
    if not isinstance(counts, dict):
        return "is damaged (it does not say which rows it knows of)"
    gone = recorder.lacks(counts)
    return gone and f"knows of rows that are gone ({gone})"


def _loaded(path: Path, device: torch.device) -> tuple[dict[str, Any] | None, str]:
    """A checkpoint, or why it cannot be used."""
    try:
        with open_file(path) as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if not whole(content):
                    return None, "is damaged (it is not what was written)"
                known = signed(content)
            if not known and (bad := zipfile.ZipFile(file).testzip()):
                return None, f"is damaged ({bad} is not what was written)"
            file.seek(0)
            state = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # a truncated zip, a wrong type: all mean one thing
        return None, f"is damaged ({type(error).__name__})"
    return (state, "") if isinstance(state, dict) else (None, f"is damaged ({type(state).__name__})")


def _agreed(here: bool, context: Context) -> bool:
    """Whether it is so on every rank."""
    if context.world_size == 1:
        return here
    flag = torch.tensor(float(here), device=context.device)
    dist.all_reduce(flag, dist.ReduceOp.MIN)
    return bool(flag)
