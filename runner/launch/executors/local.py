"""This machine: device slots, filled as they free up, and a warm process that runs are forked from."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from batchlab.results.axes import CHOICES, SEVERAL
from batchlab.results.store.run import Run
from batchlab.runner.launch.environment import launched
from batchlab.runner.launch.executors.base import Ended, EngineLostError, Executor
from batchlab.runner.launch.launch import LAUNCHERS
from batchlab.runner.launch.piped import Piped
from batchlab.runner.launch.process import STOP_GRACE
from batchlab.runner.options import most_together
from batchlab.runner.plan.checks import ConfigError, as_kind, check_choice, check_least
from batchlab.runner.plan.schema import Node, RunConfig
from batchlab.runner.train.launched import BEGAN, COMMAND, TOGETHER

MOST_THREADS = 64
"""Of a rank, also on a machine of fewer cores: a run's numbers may depend on how many there were elsewhere."""
MOST_JOBS = 1024
"""Runs that share a device."""


def cores() -> int:
    """Of this machine, that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them. Does not initialise CUDA."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [g for g in named.split(",") if g.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, line in enumerate(listing.stdout.splitlines()) if line.startswith("GPU")]


class Slots:
    """Devices and how many runs use each. Places of a run lie on distinct devices."""

    def __init__(self, devices: list[str], each: int) -> None:
        self.load = dict.fromkeys(devices, 0)
        self.each = each

    def free(self) -> list[str]:
        """Devices with room, the emptiest first."""
        return sorted((d for d, used in self.load.items() if used < self.each), key=lambda d: self.load[d])

    def take(self, count: int) -> list[str]:
        """Occupy a place on each of `count` devices."""
        taken = self.free()[:count]
        assert len(taken) == count
        for device in taken:
            self.load[device] += 1
        return taken

    def give(self, devices: list[str]) -> None:
        """Free them again."""
        for device in devices:
            self.load[device] -= 1


@dataclass
class Job:
    """A process that trains one run, or several together.

    Attributes:
        devices: that it occupies.
        left: how many of its runs have not ended.
    """

    devices: list[str]
    left: int


class LocalExecutor(Executor):
    """Runs on this machine's GPUs, or on its cores where there is none.

    Args:
        devices: how many to use; "auto" is every GPU, or every core where there is none.
        jobs_per_device: runs that share a device.
        threads: CPU threads per rank.
        launcher: "fork", torchrun's elastic agent in the warm process, or "torchrun", the command itself.
        fuse: "auto", "off", or how many runs train together in one process at most; see `plan.fuse`.

    Raises:
        ConfigError: a value that makes no sense.
    """

    def __init__(
        self,
        *,
        devices: int | str = "auto",
        jobs_per_device: int = 1,
        threads: int = 1,
        launcher: str = "fork",
        fuse: int | str = "auto",
    ) -> None:
        check_choice("executor.launcher", launcher, list(LAUNCHERS))
        threads = check_least("executor.threads", threads, 1, most=max(MOST_THREADS, cores()))
        jobs_per_device = check_least("executor.jobs_per_device", jobs_per_device, 1, most=MOST_JOBS)
        if devices != "auto":
            if as_kind(devices, int) is None:
                raise ConfigError(f"executor.devices={devices}: auto, or how many")
            devices = check_least("executor.devices", devices, 1)
        self.wanted, self.jobs_per_device, self.threads, self.launcher = devices, jobs_per_device, threads, launcher
        try:
            self.together = most_together(fuse, "executor.fuse")
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.command = secrets.token_hex(4)
        self.gpus = False
        self.preload: list[str] = []
        self.slots = Slots([], jobs_per_device)
        self.running: dict[str, tuple[Run, Job]] = {}
        self.server: Piped | None = None
        self.ready = self.served = False

    @property
    def devices(self) -> int:
        """How many devices runs are placed on."""
        return len(self.slots.load)

    @property
    def kind(self) -> str:
        """What the devices are, for messages."""
        return "GPUs" if self.gpus else f"CPU slots (cores / executor.threads={self.threads})"

    def check(self, trees: Sequence[Node]) -> None:
        """Find the devices; the GPUs are left alone where every run asks for train.device=cpu.

        Raises:
            ConfigError: when `executor.devices` asks for more than there is, or a run for more ranks.
        """
        wanted = {RunConfig.of(tree).train.device for tree in trees}
        gpus = [] if wanted == {"cpu"} else visible_gpus()
        if "cuda" in wanted and not gpus:
            raise ConfigError("train.device=cuda: no GPU can be used here; set train.device=cpu or auto")
        self.gpus = bool(gpus)
        devices = gpus or [f"core{i}" for i in range(max(1, cores() // self.threads))]
        if isinstance(self.wanted, int):
            if self.wanted > len(devices):
                raise ConfigError(f"executor.devices={self.wanted}: there are {len(devices)} {self.kind} here")
            devices = devices[: self.wanted]
        self.slots = Slots(devices, self.jobs_per_device)
        several = [node for tree in trees for axis in SEVERAL for node in tree.get(axis, {}).values()]
        nodes = [*(tree[axis] for tree in trees for axis in CHOICES), *several]
        targets = {str(node.get("_target_", "")) for node in nodes}
        self.preload = sorted(target for target in targets if "." in target)
        most = max((int(tree["nproc"]) for tree in trees), default=1)
        if most > self.devices:
            raise ConfigError(f"nproc={most}: this machine has {self.devices} {self.kind}; lower nproc")

    def warm_up(self) -> None:
        """Start the warm process, which imports torch while this one does other things. Runs are forked from it."""
        if self.server is not None:
            return
        self.ready = False
        threads = str(self.threads)
        environment = launched(os.environ) | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        self.server = Piped("batchlab.runner.launch.server", *self.preload, environment=environment)

    @property
    @override
    def places(self) -> int:
        return self.devices * self.jobs_per_device

    @property
    @override
    def free(self) -> int | None:
        return self.places - sum(self.slots.load.values())

    @override
    def room(self, nproc: int) -> bool:
        return len(self.slots.free()) >= nproc

    def start(self, run: Run, nproc: int) -> None:
        """Fork the run from the warm process, on devices of its own."""
        self._fork([run], nproc)

    @override
    def start_together(self, runs: Sequence[Run]) -> None:
        self._fork(runs, 1)

    def _fork(self, runs: Sequence[Run], nproc: int) -> None:
        self.warm_up()
        job = Job(self.slots.take(nproc), len(runs))
        self.running |= {str(run.folder): (run, job) for run in runs}
        visible = ",".join(job.devices) if self.gpus else ""
        environment = {"CUDA_VISIBLE_DEVICES": visible, BEGAN: str(time.monotonic()), COMMAND: self.command}
        environment |= {} if self.together is None else {TOGETHER: str(self.together)}
        assert self.server is not None
        folders = [str(run.folder) for run in runs]
        self.server.tell({"start": folders, "launcher": self.launcher, "env": environment})

    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds` at most.

        Raises:
            OSError: the warm process could not even start.
            EngineLostError: nor could another in the place of one that was killed.
        """
        ended: list[Ended] = []
        deadline = time.monotonic() + seconds
        if self.server is None:
            time.sleep(seconds)
            return ended
        while (event := self.server.event(0.0 if ended else deadline - time.monotonic())) is not None:
            if "ready" in event:
                self.ready = self.served = True
            elif "ended" in event:
                ended.append(self._over(event["ended"], event["code"]))
            elif "unable" in event:
                raise self._lost(event["unable"])
            elif "gone" in event:  # killed from outside: its runs went with it
                if not self.ready:
                    raise self._lost(f"the process that starts runs ended with code {event['gone']} while it started")
                ended += [self._over(folder, event["gone"]) for folder in list(self.running)]
                self.close()
                return ended
        return ended

    def _over(self, folder: str, code: int) -> Ended:
        """A run has ended; its devices are free once all have that train together with it."""
        run, job = self.running.pop(folder)
        job.left -= 1
        if not job.left:
            self.slots.give(job.devices)
        return Ended(run, code)

    def _lost(self, why: str) -> OSError:
        """The error of a warm process that cannot start: in the place of one that did, it ends a sweep in order."""
        return EngineLostError(why) if self.served else OSError(why)

    def stop(self, run: Run | None = None) -> None:
        """Send SIGTERM to a run, or to every run, which then writes its checkpoint and ends."""
        if self.server is not None:
            for folder in self.running if run is None else [str(run.folder)]:
                self.server.tell({"stop": folder})

    def close(self, *, kill: bool = False) -> None:
        """End the warm process and with it whatever still runs: in order, or at once."""
        if self.server is not None:
            self.server.end(0 if kill else STOP_GRACE + 5)
            self.server = None
