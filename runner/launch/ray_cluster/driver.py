"""The process that drives Ray for a sweep: Ray ends the process that uses it where the cluster's head is gone.

It reads one JSON command per line on stdin and writes one JSON event per line on stdout:

    {"start": "runs/ab12", "cpus": 2, "gpus": 0, "here": .., "env": {..}}   {"began": "runs/ab12", "host": "node-3"}
                                                                           {"again": "runs/ab12", "why": ..}
                                                                           {"ended": "runs/ab12", "code": 0}
    {"stop": "runs/ab12"}   {"kill": true}

First it tells {"ready": pid} or {"unable": why}, and then {"nodes": [..]}, the resources of each, whenever they change.
The end of the input stops every run.

python -m batchlab.runner.launch.ray_cluster.driver ADDRESS RETRIES
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from batchlab.runner import streams
from batchlab.runner.launch.executors.base import ASK_SECONDS
from batchlab.runner.launch.process import INTERRUPTED, STOP_GRACE, die_with_parent
from batchlab.runner.launch.ray_cluster.place import Place


@dataclass
class Job:
    """A run that was given to Ray.

    Attributes:
        command: What started it.
        actor: Ray's handle of its place.
        began: It has devices.
        stopped: It was told to stop.
        tries: How often its node died.
    """

    command: dict[str, Any]
    actor: Any = None
    began: bool = False
    stopped: bool = False
    tries: int = 0


class Driver:
    """The loop over commands and what becomes of runs."""

    def __init__(self, ray: Any, events: int, retries: int) -> None:
        self.ray, self.events, self.retries = ray, events, retries
        self.jobs: dict[str, Job] = {}
        self.inbox: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.nodes: list[dict[str, float]] = []
        self.place = ray.remote(Place)
        self.ending = False

    def serve(self) -> None:
        """Obey until the input ends and the runs have."""
        threading.Thread(target=self._read, daemon=True).start()
        deadline, look = float("inf"), 0.0
        while not (self.ending and not self.jobs) and time.monotonic() < deadline:
            if time.monotonic() >= look:
                self.look()
                look = time.monotonic() + ASK_SECONDS
            try:
                what, *rest = self.inbox.get(timeout=1)
            except queue.Empty:
                continue
            getattr(self, what)(*rest)
            if what == "end":
                deadline = time.monotonic() + 2 * STOP_GRACE

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            command = json.loads(line)
            if "kill" in command:
                os._exit(0)  # Ray kills what a driver that is gone has left
            self.inbox.put(("stop", command["stop"]) if "stop" in command else ("start", command))
        self.inbox.put(("end",))

    def look(self) -> None:
        """Tell of nodes that came or went."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        found = [{kind: node.get(kind, 0.0) for kind in ("CPU", "GPU")} for node in nodes]
        if found != self.nodes:
            self.nodes = found
            self.tell({"nodes": found})

    def start(self, command: dict[str, Any]) -> None:
        """Ask Ray for devices, and train the run there as soon as there are some."""
        self.jobs[command["start"]] = job = Job(command)
        self._begin(job)

    def _begin(self, job: Job) -> None:
        command = job.command
        job.began = False
        needs = {"num_cpus": command["cpus"], "num_gpus": command["gpus"]}
        job.actor = self.place.options(**needs, max_concurrency=2, max_restarts=0).remote()
        again = job.tries > 0
        there = job.actor.host.remote()
        code = job.actor.train.remote(command["start"], command["here"], command["env"], again)
        there.future().add_done_callback(lambda future: self.inbox.put(("began", job, job.tries, future)))
        code.future().add_done_callback(lambda future: self.inbox.put(("ended", job, job.tries, future)))

    def began(self, job: Job, tries: int, future: Future[str]) -> None:
        """It has devices, or will never have any, which `ended` finds."""
        if tries == job.tries and future.exception() is None:
            job.began = True
            self.tell({"began": job.command["start"], "host": future.result()})

    def ended(self, job: Job, tries: int, future: Future[int]) -> None:
        """It ended by itself, by its node's death or by ours."""
        folder, error = job.command["start"], future.exception()
        if tries != job.tries or self.jobs.get(folder) is not job:
            return
        lost = isinstance(error, self.ray.exceptions.RayActorError)
        why = _line(error) if error is not None else None
        if lost and not job.stopped and not self.ending and job.tries < self.retries:
            job.tries += 1
            self.tell({"again": folder, "why": why})
            self._begin(job)
            return
        del self.jobs[folder]
        self.ray.kill(job.actor)
        code = future.result() if error is None else INTERRUPTED if lost and job.stopped else 1
        self.tell({"ended": folder, "code": code, "why": why})

    def stop(self, folder: str) -> None:
        """Let a run write its checkpoint and end; one that has no devices yet does not begin."""
        job = self.jobs.get(folder)
        if job is None or job.stopped:
            return
        job.stopped = True
        if job.began:
            job.actor.stop.remote()
        else:
            self.ray.kill(job.actor)

    def end(self) -> None:
        """Stop them all."""
        self.ending = True
        for folder in list(self.jobs):
            self.stop(folder)

    def tell(self, event: dict[str, Any]) -> None:
        """Write one event to the parent; that it is gone shows where the input ends."""
        try:
            os.write(self.events, json.dumps(event).encode() + b"\n")
        except BrokenPipeError:
            return


def _line(error: BaseException) -> str:
    """The last line of what Ray says, where the error itself is; the first where it died."""
    cause = getattr(error, "cause", None) or error
    said = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return said[0] if said else type(cause).__name__


def main() -> None:
    """Join the cluster, then serve on the standard streams."""
    die_with_parent(parent=os.getppid())
    streams.prepare()
    events = os.dup(1)
    os.dup2(2, 1)  # what Ray prints must not look like an event
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    address, retries = sys.argv[1:]
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    try:
        import ray
        import ray.exceptions

        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except Exception as error:
        os.write(events, json.dumps({"unable": _line(error)}).encode() + b"\n")
        os._exit(1)
    die_with_parent(0, parent=os.getppid())  # from now on the end of the input stops the runs in order
    driver = Driver(ray, events, int(retries))
    driver.look()
    driver.tell({"ready": os.getpid()})
    driver.serve()
    os._exit(0)


if __name__ == "__main__":
    main()
