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

from batchlab.results.store.runs import Run
from batchlab.runner.launch.executors import Ended
from batchlab.runner.launch.process import STOP_GRACE
from batchlab.runner.plan.schema import ConfigError, Node


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


class LocalExecutor:
    """Runs on this machine's GPUs, or on its cores where there is none.

    Args:
        node: the `executor` block.
        jobs_per_device: runs that share a device.
        on_cpu: leave the GPUs alone: every run asks for train.device=cpu.
        preload: modules that the warm process imports beyond what every run needs.

    Raises:
        ConfigError: when `executor.devices` asks for more than there is.
    """

    def __init__(self, node: Node, jobs_per_device: int, on_cpu: bool, preload: Sequence[str] = ()) -> None:
        gpus = [] if on_cpu else visible_gpus()
        threads = int(node["threads"])
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = gpus or [f"core{i}" for i in range(max(1, cores // threads))]
        wanted = node["devices"]
        if wanted != "auto":
            if not isinstance(wanted, int) or not 1 <= wanted <= len(devices):
                kind = "GPUs" if gpus else f"cores at executor.threads={threads}"
                raise ConfigError(f"executor.devices={wanted}: there are {len(devices)} {kind} here")
            devices = devices[:wanted]
        self.preload = preload
        self.gpus = bool(gpus)
        self.slots = Slots(devices, jobs_per_device)
        self.launcher = str(node["launcher"])
        self.threads = threads
        self.running: dict[str, tuple[Run, list[str]]] = {}
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.server: subprocess.Popen[bytes] | None = None
        self.ready = False

    @property
    def devices(self) -> int:
        """How many devices runs are placed on."""
        return len(self.slots.load)

    def check(self, nproc: int) -> None:
        """Raise ConfigError when a run of `nproc` ranks could never start."""
        if nproc > self.devices:
            kind = "GPUs" if self.gpus else f"CPU slots (cores / executor.threads={self.threads})"
            raise ConfigError(f"nproc={nproc}: this machine has {self.devices} {kind}; lower nproc")

    def warm_up(self) -> None:
        """Start the warm process now, so that it imports torch while this one does other things."""
        if self.server is not None:
            return
        self.ready = False
        environment = os.environ | {
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
        }
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
        for line in server.stdout:
            self.events.put(json.loads(line))
        self.events.put({"gone": server.wait()})

    def _tell(self, command: dict[str, Any]) -> None:
        assert self.server is not None
        assert self.server.stdin is not None
        with suppress(BrokenPipeError):  # it is gone: `wait` will hear so and report its runs
            self.server.stdin.write(json.dumps(command).encode() + b"\n")
            self.server.stdin.flush()

    def room(self, nproc: int) -> bool:
        """Could a run of `nproc` ranks start now?"""
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
            OSError: the warm process could not even start; what it said stands on stderr.
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
        """SIGTERM to every run: checkpoint and end."""
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
