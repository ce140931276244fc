"""This machine: device slots, filled as they free up, and a warm process that runs are forked from."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from typing_extensions import override

from batchlab.results.axes import CHOICES, SEVERAL
from batchlab.results.store.run import Run
from batchlab.runner.launch.environment import launched
from batchlab.runner.launch.executors.base import Ended, Executor
from batchlab.runner.launch.launch import LAUNCHERS
from batchlab.runner.launch.process import STOP_GRACE
from batchlab.runner.plan.checks import ConfigError, as_kind, check_choice, check_least
from batchlab.runner.plan.schema import Node, RunConfig


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


class LocalExecutor(Executor):
    """Runs on this machine's GPUs, or on its cores where there is none.

    Args:
        devices: how many to use; "auto" is every GPU, or every core where there is none.
        jobs_per_device: runs that share a device.
        threads: CPU threads per rank.
        launcher: "fork", torchrun's elastic agent in the warm process, or "torchrun", the command itself.

    Raises:
        ConfigError: a value that makes no sense.
    """

    def __init__(
        self, *, devices: int | str = "auto", jobs_per_device: int = 1, threads: int = 1, launcher: str = "fork"
    ) -> None:
        check_choice("executor.launcher", launcher, list(LAUNCHERS))
        threads = check_least("executor.threads", threads, 1)
        jobs_per_device = check_least("executor.jobs_per_device", jobs_per_device, 1)
        if devices != "auto":
            if as_kind(devices, int) is None:
                raise ConfigError(f"executor.devices={devices}: auto, or how many")
            devices = check_least("executor.devices", devices, 1)
        self.wanted, self.jobs_per_device, self.threads, self.launcher = devices, jobs_per_device, threads, launcher
        self.gpus = False
        self.preload: list[str] = []
        self.slots = Slots([], jobs_per_device)
        self.running: dict[str, tuple[Run, list[str]]] = {}
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.server: subprocess.Popen[bytes] | None = None
        self.ready = False

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
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = gpus or [f"core{i}" for i in range(max(1, cores // self.threads))]
        if isinstance(self.wanted, int):
            if self.wanted > len(devices):
                raise ConfigError(f"executor.devices={self.wanted}: there are {len(devices)} {self.kind} here")
            devices = devices[: self.wanted]
        self.slots = Slots(devices, self.jobs_per_device)
        several = [node for tree in trees for axis in SEVERAL for node in tree.get(axis, {}).values()]
        nodes = [*(tree[axis] for tree in trees for axis in CHOICES), *several]
        targets = {str(node.get("_target_", "")) for node in nodes}
        self.preload = sorted({target.rpartition(".")[0] for target in targets} - {""})
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
        self.server = subprocess.Popen(
            [sys.executable, "-m", "batchlab.runner.launch.server", *self.preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a terminal's Ctrl-C comes to this process alone, which stops the runs in order
        )
        threading.Thread(target=self._listen, args=(self.server,), daemon=True).start()

    def _listen(self, server: subprocess.Popen[bytes]) -> None:
        assert server.stdout is not None
        with server.stdout as lines:
            for line in lines:
                self.events.put(json.loads(line))
        self.events.put({"gone": server.wait()})

    def _tell(self, command: dict[str, Any]) -> None:
        assert self.server is not None
        assert self.server.stdin is not None
        with suppress(BrokenPipeError):  # it is gone: `wait` finds that out and reports its runs
            self.server.stdin.write(json.dumps(command).encode() + b"\n")
            self.server.stdin.flush()

    @property
    @override
    def places(self) -> int:
        return self.devices * self.jobs_per_device

    @override
    def room(self, nproc: int) -> bool:
        return len(self.slots.free()) >= nproc

    def start(self, run: Run, nproc: int) -> None:
        """Fork the run from the warm process, on devices of its own."""
        self.warm_up()
        devices = self.slots.take(nproc)
        self.running[str(run.folder)] = (run, devices)
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(devices) if self.gpus else ""}
        self._tell({"start": str(run.folder), "launcher": self.launcher, "env": environment})

    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have ended, after `seconds` at most.

        Raises:
            OSError: the warm process could not even start.
        """
        ended: list[Ended] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self.events.get(timeout=max(0.0, deadline - time.monotonic()) if not ended else 0.0)
            except queue.Empty:
                return ended
            if "ready" in event:
                self.ready = True
            elif "ended" in event:
                run, devices = self.running.pop(event["ended"])
                self.slots.give(devices)
                ended.append(Ended(run, event["code"]))
            elif "unable" in event:
                raise OSError(event["unable"])
            elif "gone" in event:  # killed from outside: its runs went with it
                if not self.ready:
                    raise OSError(f"the process that starts runs ended with code {event['gone']} while it started")
                ended += [Ended(run, event["gone"]) for run, _ in self.running.values()]
                for _, devices in self.running.values():
                    self.slots.give(devices)
                self.running.clear()
                self._forget()
                return ended

    def stop(self) -> None:
        """Send SIGTERM to every run, which then writes its checkpoint and ends."""
        for folder in self.running:
            self._tell({"stop": folder})

    def close(self, *, kill: bool = False) -> None:
        """End the warm process and with it whatever still runs: in order, or at once."""
        if self.server is None:
            return
        assert self.server.stdin is not None
        with suppress(BrokenPipeError):
            self.server.stdin.close()
        try:
            self.server.wait(0 if kill else STOP_GRACE + 5)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
        self._forget()

    def _forget(self) -> None:
        assert self.server is not None
        assert self.server.stdin is not None
        with suppress(BrokenPipeError):
            self.server.stdin.close()
        self.server = None
