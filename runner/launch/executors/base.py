"""`Executor`: starts frozen runs and tells which have ended; and the one that a sweep's runs name."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchlab.results.store.run import Run
from batchlab.runner.plan.blocks import different
from batchlab.runner.plan.build import build, checked
from batchlab.runner.plan.schema import ConfigError, Node, RunConfig

ASK_SECONDS = 10.0
"""A cluster's queue is asked no more often: its administrators forbid it."""


class EngineLostError(OSError):
    """The engine itself is gone, and nobody can say any more how its runs are; the store can."""


@dataclass(frozen=True)
class Ended:
    """A run whose process is gone; its state in run.json says how it went, unless it was killed.

    Attributes:
        run: The run.
        code: The exit code of its process.
        reason: What there is to say of one that ended before it could write its state, or that is left to others.
    """

    run: Run
    code: int
    reason: str | None = None


@dataclass(frozen=True)
class Began:
    """A run that left the queue and is being trained; again, where it was preempted."""

    run: Run


class Executor(ABC):
    """Starts frozen runs as room becomes free and tells which have ended.

    Its constructor takes the keys of its YAML file in `conf/executor/` by keyword, and checks them.
    """

    queues = False
    """Whether runs wait in a queue of the engine's own: `start` puts them there, `news` tells which began, and
    `detach` leaves them to it."""
    command = ""
    """What tells this command's runs from those of others, where runs are told (`train.launched.COMMAND`)."""
    together: int | None = 1
    """How many runs it trains in one process at most (`start_together`); None: as many as `plan.fuse` thinks right."""

    def check(self, trees: Sequence[Node]) -> None:  # noqa: B027 - not every engine can tell beforehand
        """See that these runs could be placed; called once, before anything else.

        Args:
            trees: the whole configuration of each run; of those that differ in their seed alone, of one.

        Raises:
            ConfigError: one of them could never start.
        """

    def at(self, folder: Path) -> None:  # noqa: B027
        """Told the folder that holds all runs, before the first is started.

        Args:
            folder: it is there.
        """

    def warm_up(self) -> None:  # noqa: B027
        """Runs will be started soon: begin what takes time and can be done while they are checked."""

    @property
    def places(self) -> int:
        """How many runs of one rank can be trained at a time, where that is known; else 1."""
        return 1

    @property
    def free(self) -> int | None:
        """How many of the `places` have nothing to do, where that is known."""
        return None

    @abstractmethod
    def room(self, nproc: int) -> bool:
        """Could a run of `nproc` ranks start now?"""

    @abstractmethod
    def start(self, run: Run, nproc: int) -> None:
        """Start a run whose config.yaml is written.

        Args:
            run: its folder.
            nproc: how many ranks it has.
        """

    def start_together(self, runs: Sequence[Run]) -> None:
        """Start several runs of one rank in one process, in the place of one; each ends by itself.

        Only an engine that has more than one `together` is asked.

        Args:
            runs: that differ in nothing that `plan.fusable` minds.
        """
        raise NotImplementedError

    @abstractmethod
    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds` at most."""

    def news(self) -> list[Began | str]:
        """What happened in the queue since this was asked last: runs that began, and lines for the user."""
        return []

    def detach(self) -> str:
        """Leave all that was started to the engine's queue, once that has taken it, and wait for nothing.

        Only an engine that `queues` is asked.

        Returns:
            One line that says where the runs are now; empty as long as the queue takes no more: it is asked again.

        Raises:
            ConfigError: the queue does not take them.
        """
        raise NotImplementedError

    @abstractmethod
    def stop(self, run: Run | None = None) -> None:
        """Tell a run, or every run, to write its checkpoint and end; `wait` then reports it.

        What trains together with a run ends with it.
        """

    @abstractmethod
    def close(self, *, kill: bool = False) -> None:
        """Leave nothing behind; with `kill`, without waiting for checkpoints. Also of an engine that is lost."""


class AskedExecutor(Executor):
    """An engine whose queue has to be asked how runs are: for all of them at once, every `ASK_SECONDS` at most."""

    _asked = float("-inf")

    @abstractmethod
    def ask(self) -> list[Ended]:
        """Runs that have ended since it was asked before.

        Raises:
            EngineLostError: there is no engine any more.
        """

    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds`; none where it is too early to ask."""
        self.sleep(seconds)
        if self.now() < self._asked + ASK_SECONDS:
            return []
        self._asked = self.now()
        return self.ask()

    def now(self) -> float:
        """Seconds, of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


def executor_for(trees: Sequence[Node], jobs_per_device: int | None = None, fuse: str | None = None) -> Executor:
    """The executor that a sweep's runs name, which can place them.

    Args:
        trees: the whole configuration of each run.
        jobs_per_device: in place of what the configuration says.
        fuse: the same.

    Raises:
        ConfigError: when they name several, one that cannot be used here, or one with keys that make no sense; a run
            whose options make none.
    """
    trees = different(trees)
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
    if fuse is not None:
        if "fuse" not in node:
            raise ConfigError(f"--fuse: executor={node['name']} trains every run in a process of its own")
        node = node | {"fuse": fuse}
    kind: Any = Executor  # abstract
    executor: Executor = checked(kind, build(node, "executor"), node, "executor")
    executor.check(trees)
    return executor
