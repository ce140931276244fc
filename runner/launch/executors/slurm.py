"""A Slurm cluster through submitit: one job a run, torchrun across its nodes. The work is the frozen config.yaml, as on
one machine.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from batchlab.results.store.runs import Run
from batchlab.runner.launch.executors import Ended
from batchlab.runner.launch.launch import Launch, run_job, torchrun
from batchlab.runner.plan.schema import ConfigError, Node, RunConfig


class Job:
    """What submitit pickles: train this run, and put it back into the queue when Slurm preempts it."""

    def __call__(self, folder: str) -> int:
        """On every node of the job: the first one settles the run's state, the others only lend their devices."""
        run = Run(Path(folder))
        launch, node = self.launcher()
        if node == 0:
            return run_job(run, launch)
        launch(run, RunConfig.load(run.config))
        return 0

    @staticmethod
    def launcher() -> tuple[Launch, int]:
        """torchrun as this node must call it, and this node's number. Nodes meet at the first of them."""
        from submitit import JobEnvironment

        place = JobEnvironment()
        if place.num_nodes == 1:
            return torchrun, 0
        port = 20_000 + int(os.environ["SLURM_JOB_ID"]) % 20_000  # jobs that share a node have different numbers
        meet = (
            *("--nnodes", str(place.num_nodes), "--node-rank", str(place.node)),
            *("--master-addr", place.hostnames[0], "--master-port", str(port)),
        )
        return partial(torchrun, meet=meet, nodes=place.num_nodes, node=place.node), place.node

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
