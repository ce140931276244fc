"""The engines that storms go over: what must run beside the command, and who can be killed."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import beside
from rays import nodes

MARK = "BATCHLAB_CHAOS"
"""A variable in the environment of all processes of a storm, by which each of them is found, whoever its parent is."""
Levels = list[list[int]]


@dataclass(frozen=True)
class Engine:
    """A way to start runs.

    Attributes:
        around: Keeps what it needs for runs of so many ranks, as long as a storm lasts; gives the overrides that choose
            it. It skips the test where that cannot be.
        victims: Who can be killed, in the order of `levels`; the last one stands for all levels below too.
        levels: Processes of a storm, given its commands and its mark.
        commands: How many are given at the same time.
        lasting: What a command has started outlives it, and the next one finds it there.
        tolerance: How far rows may be from those that nobody disturbed, relatively: groups that are killed between the
            checkpoints of their runs go on in other groups, which round differently.
    """

    around: Callable[[int], AbstractContextManager[tuple[str, ...]]]
    victims: tuple[str, ...]
    levels: Callable[[Sequence[int], str], Levels]
    commands: int = 1
    lasting: bool = False
    tolerance: float = 0.0

    def find(self, commands: Sequence[int], mark: str) -> dict[str, list[int]]:
        """Those that can be killed now, by what they are."""
        levels = self.levels(commands, mark)
        last = len(self.victims) - 1
        levels[last:] = [[pid for level in levels[last:] for pid in level]]
        return {victim: level for victim, level in zip(self.victims, levels, strict=False) if level}


def below(*processes: int) -> Levels:
    """The processes below some, by level."""
    levels, here = [], list(processes)
    while here := [child for parent in here for child in _children(parent)]:
        levels.append(here)
    return levels


def _children(process: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # gone
        return []


def marked(mark: str, word: str = "") -> list[int]:
    """The processes whose mark begins so, and that have this word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                    found += [int(entry.name)] if word.encode() in (entry / "cmdline").read_bytes() else []
    return found


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/status").read_text().partition("\nPPid:")[2].split()[0])
    except (OSError, IndexError):
        return 0


def _of_commands(commands: Sequence[int], mark: str) -> Levels:
    return [list(commands), *below(*commands)]


def _of_workers(commands: Sequence[int], mark: str) -> Levels:
    """Slurm starts them: they are nobody's children here."""
    workers = marked(mark, "launch.slurm.worker")
    return [list(commands), workers, *below(*workers)]


def _of_places(commands: Sequence[int], mark: str) -> Levels:
    """Ray starts what starts the runs' processes."""
    jobs = [pid for pid in marked(mark, "launch.job") if _parent(pid) > 1]
    jobs = [pid for pid in jobs if _parent(pid) not in jobs]
    return [
        list(commands),
        marked(mark, "ray_cluster.driver"),
        sorted({_parent(pid) for pid in jobs}),
        jobs,
        *below(*jobs),
    ]


@contextmanager
def _here(*overrides: str) -> Iterator[tuple[str, ...]]:
    yield overrides


@contextmanager
def _slurm(nproc: int) -> Iterator[tuple[str, ...]]:
    """Two nodes of two cores, on each a worker."""
    with beside():
        yield ("executor=slurm", "executor.workers=2", f"executor.cpus_per_task={nproc}", "executor.timeout_min=60")


@contextmanager
def _ray(nproc: int) -> Iterator[tuple[str, ...]]:
    """Two nodes with room for a run each."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    with nodes(nproc, nproc) as cluster:
        yield ("executor=ray", f"executor.address='{cluster.address}'")


@contextmanager
def _machines(nproc: int) -> Iterator[tuple[str, ...]]:
    """Two machines, both of which are this one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "GLOO_SOCKET_IFNAME", "lo")
        yield ("executor=torchrun", f"executor.rdzv_endpoint=127.0.0.1:{port}", "executor.local_addr=127.0.0.1")


ENGINES = {
    "local, fork": Engine(
        lambda _: _here("executor=local", "executor.fuse=off"),
        ("driver", "warm process", "agent", "rank"),
        _of_commands,
    ),
    "local, together": Engine(
        lambda _: _here("executor=local", "executor.fuse=3"),
        ("driver", "warm process", "agent", "rank"),
        _of_commands,
        tolerance=1e-4,
    ),
    "local, torchrun": Engine(
        lambda _: _here("executor=local", "executor.launcher=torchrun"),
        ("driver", "warm process", "job", "agent", "rank"),
        _of_commands,
    ),
    "slurm": Engine(_slurm, ("driver", "worker", "warm process", "agent", "rank"), _of_workers, lasting=True),
    "ray": Engine(_ray, ("driver", "link", "place", "agent", "rank"), _of_places),
    "torchrun": Engine(_machines, ("driver", "share", "agent", "rank"), _of_commands, commands=2),
}
ROWS = [
    (name, nproc)
    for name in ENGINES
    for nproc in (1, 2)
    if (name, nproc) not in (("torchrun", 1), ("local, together", 2))
]
"""Engines and ranks of a run; two machines have a rank each at least, and runs that train together no more."""
