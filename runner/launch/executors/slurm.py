"""A Slurm cluster through submitit: one job per run, torchrun across its nodes.

The work is the frozen config.yaml, as on one machine.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

from batchlab.results.store.run import Run
from batchlab.runner.launch.executors.base import Ended, Executor
from batchlab.runner.launch.launch import Launch, run_job, torchrun
from batchlab.runner.plan.checks import ConfigError, check_choice, check_kind, check_least, check_positive
from batchlab.runner.plan.schema import Node, RunConfig

ELSEWHERE = "run it where jobs can be submitted, or with executor=local"


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


class SlurmExecutor(Executor):
    """Submits runs, at most `max_parallel` at a time, and asks the queue how they are.

    Args:
        partition: of the cluster; None leaves it to Slurm.
        nodes: of a run; its ranks are split over them.
        timeout_min: minutes that a job may take.
        cpus_per_task: cores that a node lends to a run.
        mem_gb: memory per node; None leaves it to Slurm.
        threads: CPU threads per rank.
        max_parallel: jobs in the queue at a time.
        cluster: "slurm", or "local": submitit's subprocesses on this machine.

    Raises:
        ConfigError: when submitit is not installed, or a value makes no sense.
    """

    def __init__(
        self,
        *,
        partition: str | None = None,
        nodes: int = 1,
        timeout_min: int = 240,
        cpus_per_task: int = 8,
        mem_gb: float | None = None,
        threads: int = 1,
        max_parallel: int = 64,
        cluster: str = "slurm",
    ) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError("executor=slurm needs submitit: pip install 'batchlab[slurm]'") from error
        job: dict[str, Any] = {"nodes": nodes, "timeout_min": timeout_min, "cpus_per_task": cpus_per_task}
        job = {key: check_least(f"executor.{key}", value, 1) for key, value in job.items()}
        check_least("executor.threads", threads, 1)
        check_choice("executor.cluster", cluster, ("slurm", "local"))
        check_kind("executor.partition", partition, str, optional=True)
        if mem_gb is not None:
            check_positive("executor.mem_gb", check_kind("executor.mem_gb", mem_gb, float))
        self.submitit = submitit
        self.nodes, self.cluster = job["nodes"], cluster
        self.max_parallel = check_least("executor.max_parallel", max_parallel, 1)
        self.options = job | {"tasks_per_node": 1}
        if mem_gb is not None:
            self.options["mem_gb"] = mem_gb
        if cluster == "slurm" and partition is not None:
            self.options["slurm_partition"] = partition
        self.jobs: dict[str, tuple[Run, Any]] = {}

    def check(self, trees: Sequence[Node]) -> None:
        """See that every run's ranks divide over the nodes, and that there is something to submit to.

        Raises:
            ConfigError: they do not, or there is not.
        """
        for nproc in {int(tree["nproc"]) for tree in trees}:
            if nproc % self.nodes:
                raise ConfigError(f"nproc={nproc} ranks do not divide over executor.nodes={self.nodes}")
        missing = [command for command in ("sbatch", "srun") if shutil.which(command) is None]
        if self.cluster == "slurm" and missing:
            raise ConfigError(f"executor=slurm: there is no {' and no '.join(missing)} here; {ELSEWHERE}")

    def room(self, nproc: int) -> bool:
        """Are fewer than `max_parallel` jobs in the queue?"""
        return len(self.jobs) < self.max_parallel

    def start(self, run: Run, nproc: int) -> None:
        """Submit the run as one job.

        Raises:
            ConfigError: the cluster does not take it. What was submitted before is cancelled: nobody would wait for it.
        """
        gpus = {"gpus_per_node": -(-nproc // self.nodes)} if self.cluster == "slurm" else {}
        try:
            executor = self.submitit.AutoExecutor(folder=run.log / "slurm", cluster=self.cluster)
            executor.update_parameters(name=f"batchlab-{run.run_id}", **self.options, **gpus)
            with redirect_stderr(io.StringIO()) as said:  # submitit passes on there what its error says once more
                job = executor.submit(Job(), str(run.folder))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # submitit's own are RuntimeErrors
            self.stop()
            text = " ".join(str(error).split())
            raise ConfigError(f"executor=slurm: the cluster did not take the run ({text}); {ELSEWHERE}") from error
        sys.stderr.write(said.getvalue())
        self.jobs[run.run_id] = (run, job)

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
