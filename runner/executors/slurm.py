"""A Slurm cluster through submitit: one job a run, torchrun across its nodes. The work is the frozen config.yaml, as on
one machine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from batchlab.results.store import Run

from ..launch import run_job
from ..schema import ConfigError, Node, RunConfig
from . import Ended


class Job:
    """What submitit pickles: train this run, and put it back into the queue when Slurm preempts it."""

    def __call__(self, folder: str) -> int:
        """On the first node of the job; torchrun starts on every node."""
        run = Run(Path(folder))
        if int(os.environ.get("SLURM_NODEID", "0")) == 0:
            return run_job(run, "torchrun")
        from ..launch import torchrun

        torchrun(run, RunConfig.load(run.config))
        return 0

    def checkpoint(self, folder: str) -> Any:
        """Preempted or out of time: the run goes on from its checkpoint in a new job."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Job(), folder)


class SlurmExecutor:
    """Submits runs, at most `max_parallel` at a time, and asks the queue how they are.

    Raises:
        ConfigError: when submitit is not installed, or `cluster` is unknown.
    """

    def __init__(self, node: Node) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError("executor=slurm needs submitit: pip install 'batchlab[slurm]'") from error
        self.node = node
        if node["cluster"] not in ("slurm", "local"):
            raise ConfigError(f"executor.cluster={node['cluster']}: choose slurm or local")
        self.submitit = submitit
        self.jobs: dict[str, tuple[Run, Any]] = {}

    def room(self, nproc: int) -> bool:
        """Is the queue's share not used up?"""
        return len(self.jobs) < int(self.node["max_parallel"])

    def start(self, run: Run, nproc: int) -> None:
        """Submit one job."""
        executor = self.submitit.AutoExecutor(folder=run.log / "slurm", cluster=self.node["cluster"])
        nodes = int(self.node["nodes"])
        options: dict[str, Any] = {
            "name": f"batchlab-{run.run_id}",
            "timeout_min": int(self.node["timeout_min"]),
            "nodes": nodes,
            "tasks_per_node": 1,
            "cpus_per_task": int(self.node["cpus_per_task"]),
        }
        if self.node["mem_gb"] is not None:
            options["mem_gb"] = float(self.node["mem_gb"])
        if self.node["cluster"] == "slurm":
            options["gpus_per_node"] = -(-nproc // nodes)
            if self.node["partition"] is not None:
                options["slurm_partition"] = self.node["partition"]
        executor.update_parameters(**options)
        self.jobs[run.run_id] = (run, executor.submit(Job(), str(run.folder)))

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that have left the queue."""
        time.sleep(seconds)
        ended = []
        for run_id, (run, job) in list(self.jobs.items()):
            if job.done():
                del self.jobs[run_id]
                ended.append(Ended(run, 0 if job.exception() is None else 1))
        return ended

    def stop(self) -> None:
        """Cancel what is queued or runs; a running job gets SIGTERM and writes its checkpoint."""
        for _, job in self.jobs.values():
            job.cancel()

    def close(self, *, kill: bool = False) -> None:
        """Nothing is left running here: jobs belong to the cluster."""
