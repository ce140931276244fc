"""What a worker trains runs with: the warm process of one node, or srun over several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from batchlab.results.store.run import Run
from batchlab.results.store.yaml_file import read_yaml
from batchlab.runner.launch.executors.base import Ended, Executor
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.launch.process import STOP_GRACE
from batchlab.runner.plan.schema import Node


def engine_for(shape: dict[str, Any], runs: Sequence[Run]) -> Executor:
    """The engine of a worker.

    Args:
        shape: what the worker asked Slurm for.
        runs: the first ones: what they are made of is imported once.
    """
    if shape["nodes"] > 1:
        return OverNodes(shape)
    if not shape["gpus"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Slurm lent none, whatever this node has
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(int(os.environ.get("SLURM_CPUS_PER_TASK") or shape["cpus_per_task"]), here)
    devices = "auto" if shape["gpus"] else max(1, cores // shape["threads"])
    engine = LocalExecutor(
        devices=devices, jobs_per_device=shape["jobs_per_device"], threads=shape["threads"], launcher=shape["launcher"]
    )
    engine.check([tree for run in runs if (tree := _tree(run))])
    engine.warm_up()
    return engine


def _tree(run: Run) -> Node | None:
    try:
        tree = read_yaml(run.config)
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) else None


class OverNodes(Executor):
    """Trains one run at a time on all nodes of the job: a process here holds its lock, and srun starts its agents.

    Args:
        shape: what the worker asked Slurm for.
    """

    def __init__(self, shape: dict[str, Any]) -> None:
        self.shape = shape
        self.job: tuple[Run, subprocess.Popen[bytes]] | None = None

    @override
    def room(self, nproc: int) -> bool:
        return self.job is None

    @override
    def start(self, run: Run, nproc: int) -> None:
        run.log.mkdir(parents=True, exist_ok=True)
        nodes, cores = str(self.shape["nodes"]), str(self.shape["cpus_per_task"])
        with (run.log / "launch.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "batchlab.runner.launch.slurm.nodes", str(run.folder), nodes, cores],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.job = run, process

    @override
    def wait(self, seconds: float) -> list[Ended]:
        if self.job is None:
            time.sleep(seconds)
            return []
        run, process = self.job
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return []
        self.job = None
        return [Ended(run, code)]

    @override
    def stop(self, run: Run | None = None) -> None:
        if self.job is not None and (run is None or run == self.job[0]):
            self.job[1].send_signal(signal.SIGTERM)

    @override
    def close(self, *, kill: bool = False) -> None:
        if self.job is None:
            return
        _, process = self.job
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(2 * STOP_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        self.job = None
