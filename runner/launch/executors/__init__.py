"""Where runs are trained: this machine, or a Slurm cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from batchlab.results.axes import CHOICES
from batchlab.results.store.runs import Run
from batchlab.runner.plan.schema import ConfigError

COUNTS = ("threads", "jobs_per_device", "nodes", "max_parallel", "timeout_min", "cpus_per_task")
"""Keys of an executor that are whole numbers from 1."""


@dataclass(frozen=True)
class Ended:
    """A run whose process is gone; its state in run.json says how it went, unless it was killed."""

    run: Run
    code: int


class Executor(Protocol):
    """Starts frozen runs as room becomes free and tells which have ended."""

    def room(self, nproc: int) -> bool:
        """Could a run of `nproc` ranks start now?"""

    def start(self, run: Run, nproc: int) -> None:
        """Start a run whose config.yaml is written."""

    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds` at most."""

    def stop(self) -> None:
        """Tell every run to write its checkpoint and end; `wait` then reports them."""

    def close(self, *, kill: bool = False) -> None:
        """Leave nothing behind; with `kill`, without waiting for checkpoints."""


def executor_for(trees: Sequence[dict[str, Any]], jobs_per_device: int | None = None) -> Executor:
    """The executor that a sweep's runs name.

    Raises:
        ConfigError: when they name several, one that cannot be used here, or one with keys that make no sense.
    """
    nodes = {str(t["executor"]): t["executor"] for t in trees}
    if len(nodes) != 1:
        raise ConfigError("a sweep has one executor: do not sweep over executor or its keys")
    (node,) = nodes.values()
    for key in COUNTS:
        if node.get(key, 1) < 1:
            raise ConfigError(f"executor.{key}={node[key]} must be at least 1")
    if node["name"] == "slurm":
        from batchlab.runner.launch.executors.slurm import SlurmExecutor

        for tree in trees:
            if int(tree["nproc"]) % int(node["nodes"]):
                raise ConfigError(f"nproc={tree['nproc']} ranks do not divide over executor.nodes={node['nodes']}")
        return SlurmExecutor(node)
    if node["name"] != "local":
        raise ConfigError(f"executor={node['name']}: there are local and slurm")
    from batchlab.runner.launch.executors.local import LocalExecutor

    on_cpu = all(t["train"]["device"] == "cpu" for t in trees)
    targets = {str(t[axis].get("_target_", "")) for t in trees for axis in CHOICES}
    modules = sorted({target.rpartition(".")[0] for target in targets} - {""})
    return LocalExecutor(node, jobs_per_device or int(node["jobs_per_device"]), on_cpu, modules)
