"""What `status` says of runs that wait for workers: one call of squeue for all, and none where nothing waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from batchlab.results.store.queue import queues
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count
from batchlab.runner.launch.slurm import commands
from batchlab.runner.launch.slurm.shape import comment

WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING")
"""States of jobs that will run."""


@dataclass
class Queued:
    """The runs that are in queues.

    Attributes:
        runs: Their identities, with what there is to say of each.
        notes: Lines about the workers.
    """

    runs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def queued(store: RunStore, among: Collection[str]) -> Queued:
    """Ask how the workers are, where some of these runs wait for any.

    Args:
        store: Where runs are kept.
        among: The runs that are shown.
    """
    found = Queued()
    waiting = {queue: left for queue in queues(store) if (left := queue.entries() & set(among))}
    if not waiting:
        return found
    try:
        jobs = commands.jobs()
    except commands.SlurmError:  # status is read anywhere; whoever sweeps is told what is wrong
        jobs = None
    names = _differences([queue.described() for queue in waiting])
    for (queue, left), name in zip(waiting.items(), names, strict=True):
        runs = f"{count(len(left), 'run')} queued{name}"
        if jobs is None:
            found.notes.append(f"{runs} in Slurm, which cannot be asked from here")
            found.runs |= dict.fromkeys(left, "queued")
            continue
        mine = [job for job in jobs if job.comment == comment(queue) and not job.over]
        words = _workers(mine)
        if words:
            found.notes.append(f"{runs} in Slurm: {words}")
        else:
            found.notes.append(f"{runs}, no worker in Slurm: the same sweep command asks for some")
        found.runs |= dict.fromkeys(left, "queued" if mine else "no worker: sweep again")
    return found


def _differences(shapes: list[dict[str, Any]]) -> list[str]:
    """What shapes of workers differ by, of each.

    >>> _differences([{"nproc": 1, "nodes": 1}, {"nproc": 2, "nodes": 1}])
    [' (nproc=1)', ' (nproc=2)']
    >>> _differences([{"nproc": 1}])
    ['']
    """
    keys = [key for key in shapes[0] if any(shape.get(key) != shapes[0][key] for shape in shapes)]
    told = [", ".join(f"{key}={shape.get(key)}" for key in keys) for shape in shapes]
    return [f" ({words})" if words else "" for words in told]


def _workers(jobs: list[commands.Job]) -> str:
    """`3 workers run, 13 wait (Priority)`.

    >>> _workers([commands.Job("1_0", "RUNNING", "None", ""), commands.Job("1_1", "PENDING", "Priority", "")])
    '1 worker RUNNING, 1 worker PENDING (Priority)'
    """
    states = Counter((job.state, job.reason if job.state in WAITING else "") for job in jobs)
    return ", ".join(
        f"{count(n, 'worker')} {state}" + (f" ({reason})" if reason and reason != "None" else "")
        for (state, reason), n in states.most_common()
    )
