"""A Ray cluster: each run on one node of it, from a folder that all nodes share."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from batchlab.results.store.run import Run
from batchlab.runner.launch.environment import launched
from batchlab.runner.launch.executors.base import Began, Ended, EngineLostError, Executor
from batchlab.runner.launch.piped import Piped
from batchlab.runner.launch.process import STOP_GRACE
from batchlab.runner.plan.checks import ConfigError, check_kind, check_least
from batchlab.runner.plan.schema import Node, RunConfig

PATIENCE = 60.0
"""Seconds to join a cluster."""


class RayExecutor(Executor):
    """Gives runs to Ray, as many at a time as fit its nodes.

    Args:
        address: Of the cluster, as Ray reads it.
        threads: CPU threads per rank.
        max_parallel: Runs given to Ray at a time; None: as many as fit the nodes that there are. More make a cluster
            grow that can.
        retries: How often a run goes on elsewhere when its node dies.

    Raises:
        ConfigError: Ray is not installed, or a value makes no sense.
    """

    def __init__(
        self, *, address: str = "auto", threads: int = 1, max_parallel: int | None = None, retries: int = 3
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("executor=ray needs Ray: pip install 'batchlab[ray]'")
        self.address = str(check_kind("executor.address", address, str))
        self.threads = check_least("executor.threads", threads, 1)
        self.retries = check_least("executor.retries", retries, 0)
        self.max_parallel = None if max_parallel is None else check_least("executor.max_parallel", max_parallel, 1)
        self.gpus = False
        self.nodes: list[dict[str, float]] = []
        self.running: dict[str, tuple[Run, int]] = {}
        self.said: list[Began | str] = []
        self.driver: Piped | None = None

    def check(self, trees: Sequence[Node]) -> None:
        """Join the cluster, and see that a node of it has room for each run.

        Raises:
            ConfigError: there is no cluster at that address, or none of its nodes has what a run needs.
        """
        self._join()
        try:
            self._fit(trees)
        except ConfigError:
            self.close(kill=True)
            raise

    def _fit(self, trees: Sequence[Node]) -> None:
        """Refuse what no node has room for."""
        wanted = {RunConfig.of(tree).train.device for tree in trees}
        self.gpus = wanted != {"cpu"} and any(node["GPU"] for node in self.nodes)
        if "cuda" in wanted and not self.gpus:
            raise ConfigError("train.device=cuda: no node of the Ray cluster has a GPU; set train.device=cpu or auto")
        most = max((int(tree["nproc"]) for tree in trees), default=1)
        if most > (largest := max(map(self._ranks, self.nodes), default=0)):
            kind = "GPUs" if self.gpus else f"CPUs / executor.threads={self.threads}"
            raise ConfigError(f"nproc={most}: the largest node of the Ray cluster has {largest} {kind}; lower nproc")

    def _join(self) -> None:
        """Start the process that drives Ray, and wait until it has joined the cluster."""
        arguments = (self.address, str(self.retries))
        module = "batchlab.runner.launch.ray_cluster.driver"
        self.driver = Piped(module, *arguments, environment=launched(os.environ), quiet=True)
        deadline = time.monotonic() + PATIENCE
        while (event := self.driver.event(deadline - time.monotonic())) is not None and "ready" not in event:
            if "nodes" in event:
                self.nodes = event["nodes"]
            else:
                said = event.get("unable", "its driver ended without a word").rstrip(".")
                raise self._missing(f"{said}: start one with `ray start --head`, or set executor.address")
        if event is None:
            raise self._missing(f"it did not answer for {PATIENCE:.0f} s")

    def _missing(self, why: str) -> ConfigError:
        self.close(kill=True)
        return ConfigError(f"executor=ray: no Ray cluster at executor.address={self.address} ({why})")

    def _ranks(self, node: dict[str, float]) -> int:
        """How many ranks a node has room for."""
        ranks = int(node["CPU"] // self.threads)
        return min(ranks, int(node["GPU"])) if self.gpus else ranks

    @property
    @override
    def places(self) -> int:
        return self.max_parallel or max(1, sum(map(self._ranks, self.nodes)))

    @override
    def room(self, nproc: int) -> bool:
        if self.max_parallel is not None:
            return len(self.running) < self.max_parallel
        fit = sum(self._ranks(node) // nproc * nproc for node in self.nodes)
        used = sum(taken for _, taken in self.running.values())
        return used + nproc <= fit or not self.running  # the only one may wait for a node to come

    def start(self, run: Run, nproc: int) -> None:
        """Give the run to Ray, which starts it on a node with room.

        Raises:
            EngineLostError: the cluster is gone.
        """
        if self.driver is None:
            raise self._lost()
        threads = str(self.threads)
        environment = {key: value for key, value in os.environ.items() if key.startswith("BATCHLAB_")}
        environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        environment |= {} if self.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        folder = str(run.folder.resolve())
        self.running[folder] = (run, nproc)
        command: dict[str, Any] = {"start": folder, "cpus": nproc * self.threads, "gpus": nproc if self.gpus else 0}
        self.driver.tell(command | {"here": str(Path.cwd()), "env": environment})

    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds` at most.

        Raises:
            EngineLostError: the cluster is gone.
        """
        if self.driver is None:
            time.sleep(seconds)
            return []
        ended: list[Ended] = []
        deadline = time.monotonic() + seconds
        while (event := self.driver.event(0.0 if ended else deadline - time.monotonic())) is not None:
            if "nodes" in event:
                self.nodes = event["nodes"]
            elif "again" in event:
                run, _ = self.running[event["again"]]
                self.said.append(f"{run.run_id} goes on from its checkpoint on another node ({event['why']})")
            elif "ended" in event:
                run, _ = self.running.pop(event["ended"])
                ended.append(Ended(run, event["code"], event["why"]))
            elif "gone" in event:
                raise self._lost()
        return ended

    def news(self) -> list[Began | str]:
        """Runs whose node died."""
        said, self.said = self.said, []
        return said

    def _lost(self) -> EngineLostError:
        """Its nodes end their runs by themselves, as soon as they find out."""
        self.close(kill=True)
        return EngineLostError(f"executor=ray: the cluster at executor.address={self.address} does not answer any more")

    def stop(self, run: Run | None = None) -> None:
        """Tell a run, or every run, to write its checkpoint and end; one that waits for a node does not begin."""
        if self.driver is not None:
            for folder in self.running if run is None else [str(run.folder.resolve())]:
                self.driver.tell({"stop": folder})

    def close(self, *, kill: bool = False) -> None:
        """Leave the cluster; what still runs there is stopped in order, or killed."""
        if self.driver is not None:
            if kill:
                self.driver.tell({"kill": True})
            self.driver.end(5 if kill else 2 * STOP_GRACE + 5)
            self.driver = None
        self.running.clear()
