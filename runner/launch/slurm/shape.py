"""The shape of workers: what they ask Slurm for. Runs of one shape share a queue, whoever asked for them."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from batchlab.results.store.queue import Queue
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.slurm.commands import NAME, NAMED

PASSED = ("partition", "account", "qos", "constraint", "gres")
"""Keys that are options of sbatch by the same name."""

LISTS = {"account": "sacctmgr show assoc user=$USER", "qos": "sacctmgr show assoc user=$USER", "partition": "sinfo -s"}
"""What tells the values of a key that one may use."""


def queue_for(store: RunStore, shape: dict[str, Any]) -> Queue:
    """The queue of a shape, made where it is not there."""
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()
    queue = Queue.of(store, digest[:8])
    if not queue.described():
        queue.declare(shape)
    return queue


def places(shape: dict[str, Any]) -> int:
    """How many runs a worker trains at a time."""
    if shape["nodes"] > 1:
        return 1
    devices = shape["gpus"] or shape["cpus_per_task"] // shape["threads"]
    return max(1, int(devices // shape["nproc"] * shape["jobs_per_device"]))


def gpus_in(gres: str) -> int:
    """How many GPUs of a node a `gres` asks for.

    >>> gpus_in("gpu:a100:4"), gpus_in("gpu"), gpus_in("license:2,gpu:2"), gpus_in("shard:1")
    (4, 1, 2, 0)
    """
    found = re.search(r"(?:^|,)\s*(?:gres/)?gpu(?::[A-Za-z][^:,]*)?(?::(\d+))?(?=,|$)", gres)
    return int(found[1] or 1) if found else 0


def comment(queue: Queue) -> str:
    """What a worker's job is known by in Slurm's queue: shape and store."""
    return f"{queue.shape}@{queue.folder.parent.parent.resolve()}"


def options(shape: dict[str, Any], queue: Queue, workers: int) -> list[str]:
    """sbatch's options for an array of workers."""
    asked = {
        "job-name": NAME,
        "comment": comment(queue),
        "array": f"0-{workers - 1}",
        "nodes": shape["nodes"],
        "ntasks-per-node": 1,
        "cpus-per-task": shape["cpus_per_task"],
        "time": shape["timeout_min"],
        "signal": f"B:USR2@{shape['margin_s']}",
        "open-mode": "append",
        "output": queue.log.resolve() / "%A_%a.txt",
    }
    asked |= {key: shape[key] for key in PASSED if shape[key] is not None}
    if shape["mem_gb"] is not None:
        asked["mem"] = f"{round(1024 * shape['mem_gb'])}M"
    if shape["gpus"] and shape["gres"] is None:
        asked["gpus-per-node"] = shape["gpus"]
    return ["--requeue", *(f"--{key}={value}" for key, value in asked.items()), *shape["extra"]]


def way_out(shape: dict[str, Any], said: str) -> str:
    """What to do about a refusal that is about keys of the executor; empty where it names none.

    >>> way_out({"account": None, "partition": None, "qos": "long"}, "Invalid qos specification")
    'see executor.qos=long: `sacctmgr show assoc user=$USER` lists what is yours'
    """
    if limits := NAMED.findall(said):
        return f"{limits[0]}: ask for less by executor.timeout_min, cpus_per_task, nodes or mem_gb"
    about = [key for key in LISTS if key in said.lower()]
    given = [f"executor.{key}={shape[key]}" for key in about if shape[key] is not None]
    if not about:
        return ""
    what = f"see {', '.join(given)}" if given else f"set executor.{about[0]}"
    return f"{what}: `{LISTS[about[0]]}` lists what is yours"


def command(queue: Queue) -> str:
    """What a worker's shell becomes."""
    root: Path = queue.folder.parent.parent.resolve()
    words = [sys.executable, "-m", "batchlab.runner.launch.slurm.worker", str(root), queue.shape]
    return f"exec {shlex.join(words)}"
