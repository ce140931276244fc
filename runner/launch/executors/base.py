"""`Executor`: starts frozen runs and tells which have ended; and the one that a sweep's runs name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchlab.results.store.run import Run
from batchlab.runner.plan.build import build, checked
from batchlab.runner.plan.schema import ConfigError, Node, RunConfig


@dataclass(frozen=True)
class Ended:
    """A run whose process is gone; its state in run.json says how it went, unless it was killed."""

    run: Run
    code: int


class Executor(ABC):
    """Starts frozen runs as room becomes free and tells which have ended.

    Its constructor takes the keys of its YAML file in `conf/executor/` by keyword, and checks them.
    """

    def check(self, trees: Sequence[Node]) -> None:  # noqa: B027 - not every engine can tell beforehand
        """See that these runs could be placed; called once, before anything else.

        Args:
            trees: the whole configuration of each run.

        Raises:
            ConfigError: one of them could never start.
        """

    def warm_up(self) -> None:  # noqa: B027
        """Runs will be started soon: begin what takes time and can be done while they are checked."""

    @property
    def places(self) -> int:
        """How many runs of one rank can be trained at a time, where that is known; else 1."""
        return 1

    @abstractmethod
    def room(self, nproc: int) -> bool:
        """Could a run of `nproc` ranks start now?"""

    @abstractmethod
    def start(self, run: Run, nproc: int) -> None:
        """Start a run whose config.yaml is written."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds` at most."""

    @abstractmethod
    def stop(self) -> None:
        """Tell every run to write its checkpoint and end; `wait` then reports them."""

    @abstractmethod
    def close(self, *, kill: bool = False) -> None:
        """Leave nothing behind; with `kill`, without waiting for checkpoints."""


def executor_for(trees: Sequence[Node], jobs_per_device: int | None = None) -> Executor:
    """The executor that a sweep's runs name, which can place them.

    Args:
        trees: the whole configuration of each run.
        jobs_per_device: in place of what the configuration says.

    Raises:
        ConfigError: when they name several, one that cannot be used here, or one with keys that make no sense; a run
            whose options make none.
    """
    for tree in trees:
        RunConfig.of(tree)  # executors read nproc and train.device
    nodes = {str(tree["executor"]): tree["executor"] for tree in trees}
    if len(nodes) != 1:
        raise ConfigError("a sweep has one executor: do not sweep over executor or its keys")
    (node,) = nodes.values()
    if jobs_per_device is not None:
        if "jobs_per_device" not in node:
            raise ConfigError(f"--jobs-per-device: executor={node['name']} has no devices to share")
        node = node | {"jobs_per_device": jobs_per_device}
    kind: Any = Executor  # abstract
    executor: Executor = checked(kind, build(node, "executor"), node, "executor")
    executor.check(trees)
    return executor
