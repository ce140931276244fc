"""A worker: a job of Slurm's that drains a queue of runs on its node, and goes back into Slurm's queue when it must.

python -m batchlab.runner.launch.slurm.worker RUNS SHAPE

It takes each run by the run's own lock, so that any number of workers and drivers agree. Runs are forked from one warm
process, as on one machine. It is told to end by SIGUSR2 (its time limit is near, or it is preempted) or by SIGTERM (all
else that ends a job): runs write their checkpoints then, and stay in the queue unless the job was cancelled.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batchlab.results.store.queue import AGAIN, LEFT, Queue
from batchlab.results.store.run import FINISHED, Run, RunBusyError, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.process import BUSY, INTERRUPTED
from batchlab.runner.launch.slurm import commands

if TYPE_CHECKING:
    from batchlab.runner.launch.executors.base import Ended, Executor

POLL = 0.2
"""Seconds from one look at ended runs to the next."""
LOOK = 1.0
"""Seconds from one look at the queue to the next."""
SOON = 2.0
"""Seconds within which what stopped a run reaches the worker too: Slurm signals all processes, in any order."""


class Worker:
    """Takes runs while there are any, until it is told to end or its time is nearly up.

    Args:
        queue: what it drains.
        store: where runs are kept.
        environment: Slurm's variables.
    """

    def __init__(self, queue: Queue, store: RunStore, environment: dict[str, str]) -> None:
        self.began = time.monotonic()
        self.told: list[int] = []
        for signum in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(signum, lambda number, _: self.told.append(number))
        self.queue, self.store = queue, store
        task = environment.get("SLURM_ARRAY_TASK_ID")
        job = environment.get("SLURM_ARRAY_JOB_ID") if task else environment.get("SLURM_JOB_ID")
        self.name = f"{job}_{task}" if task else str(job)  # the number alone may mean the whole array
        self.first = int(task or 0)
        self.restarts = int(environment.get("SLURM_RESTART_COUNT") or 0)
        self.node = environment.get("SLURMD_NODENAME", "")
        self.shape = queue.described()
        self.nproc = int(self.shape["nproc"])
        self.deadline = self.began + 60.0 * self.shape["timeout_min"] - self.shape["margin_s"]
        self.running: dict[str, Run] = {}
        self.unwanted: set[str] = set()
        self.places: dict[str, str] = {}
        self.why = ""
        """Of what it was told: the words before AGAIN, or the whole reason where the job was cancelled."""
        self.cancelled = False
        self.looked = 0.0

    def drain(self) -> int:
        """Take runs until it is over; returns the exit code."""
        from batchlab.runner.launch.slurm.engine import engine_for

        self.queue.tell(self.name, "here", node=self.node, restarts=self.restarts)
        engine = engine_for(self.shape, [self.store.run(run_id) for run_id in self.waiting()])
        try:
            while not self.why or self.running:
                if self.told or time.monotonic() > self.deadline:
                    self.told_to_end(engine)
                if time.monotonic() > self.looked + LOOK:
                    self.looked = time.monotonic()
                    for run in self.no_longer_wanted():
                        engine.stop(run)
                    if not self.why:
                        self.take(engine)
                        if not self.running and self.leave():
                            return 0
                for end in engine.wait(POLL):
                    self.hear_what_stopped(end)
                    if self.told:  # before a run is settled: whether it goes on depends on why
                        self.told_to_end(engine)
                    self.settle(end.run, end.code)
                    self.looked = 0.0
        finally:
            engine.close()
        return self.go_back()

    def waiting(self) -> list[str]:
        """Runs in the queue that are not trained here, in the order in which they were asked for."""
        entries = self.queue.entries()
        for run_id in entries - self.places.keys():
            self.places[run_id] = self.queue.place(run_id)
        return sorted(entries - self.running.keys(), key=lambda run_id: (self.places[run_id], run_id))

    def take(self, engine: Executor) -> None:
        """Start runs that nobody trains. Workers that begin at the same time begin at different ones."""
        waiting = self.waiting()
        offset = self.first * max(1, engine.places // self.nproc) % len(waiting) if waiting else 0
        for run_id in waiting[offset:] + waiting[:offset]:
            if self.told or not engine.room(self.nproc):
                return
            run = self.store.run(run_id)
            state = run.read_state().state
            if state in FINISHED | {State.FAILED, State.DAMAGED}:  # by somebody who has not said so yet, or could not
                self.queue.tell(self.name, "found", run_id)
                self.queue.remove(run_id)
            elif state is not State.RUNNING and not run.held() and self.queue.wanted(run_id):
                self.running[run_id] = run
                self.queue.tell(self.name, "began", run_id)
                engine.start(run, self.nproc)

    def no_longer_wanted(self) -> list[Run]:
        """Runs that are trained here and that somebody took out of the queue; each once."""
        entries = self.queue.entries() if self.running else set()
        gone = self.running.keys() - entries - self.unwanted
        self.unwanted |= gone
        return [self.running[run_id] for run_id in gone]

    def told_to_end(self, engine: Executor) -> None:
        """Stop the runs and ask Slurm why, the first time."""
        if not self.why:
            engine.stop()
            self.find_out_why()

    def hear_what_stopped(self, end: Ended) -> None:
        """Where a run was stopped, and not from here, wait a little for the signal that it had before the worker."""
        until = time.monotonic() + SOON
        while self.stopped_elsewhere(end.run, end.code) and not self.told and time.monotonic() < until:
            time.sleep(POLL / 4)

    def stopped_elsewhere(self, run: Run, code: int) -> bool:
        """Whether a run that is wanted was stopped though nobody here told it to stop."""
        mine = self.why or run.run_id in self.unwanted
        return code == INTERRUPTED and not mine and self.queue.wanted(run.run_id)

    def settle(self, run: Run, code: int) -> None:
        """A run has ended: it leaves the queue, unless it goes on another time or elsewhere."""
        del self.running[run.run_id]
        if code == BUSY:  # whoever trains it takes it out of the queue
            self.queue.tell(self.name, "busy", run.run_id)
            return
        if self.stopped_elsewhere(run, code):  # by a signal to this run alone: it is wanted, and goes on here
            self.queue.tell(self.name, "back", run.run_id, why="stopped by a signal")
            return
        interrupted = run.read_state().state in (State.INTERRUPTED, State.PENDING, State.CRASHED)
        if self.why and interrupted and self.queue.wanted(run.run_id):
            if not self.cancelled:
                self._say(run, State.INTERRUPTED, f"{self.why}: {AGAIN}")
                self.queue.tell(self.name, "back", run.run_id, why=self.why)
                return
            self._say(run, State.CANCELLED, self.why)
        self.queue.tell(self.name, "ended", run.run_id, code=code)
        self.queue.remove(run.run_id)
        self.unwanted.discard(run.run_id)

    def _say(self, run: Run, state: State, reason: str) -> None:
        """Write why a run was stopped; one that has not begun stays as it is where it will."""
        try:
            with run.hold():
                if run.read_state().state is not State.PENDING or state is State.CANCELLED:
                    run.write_state(state=state, reason=reason)
        except RunBusyError:  # another worker goes on with it already
            return

    def find_out_why(self) -> None:
        """Ask Slurm, once, what it was told for."""
        late = time.monotonic() > self.deadline
        if late or not self.told:
            self.why = "its time limit is near"
            return
        found = commands.details(self.name)
        if found.get("PreemptTime", "None") not in ("None", ""):
            self.why = "preempted"
        elif self.told[0] == signal.SIGUSR2:  # as `--signal` says, but for the minute that Slurm may be early
            near = _seconds_to(found.get("EndTime", "")) < self.shape["margin_s"] + 90
            self.why = "its time limit is near" if near else "preempted"
        elif not found or found.get("JobState") == "RUNNING" or int(found.get("Restarts", 0)) > self.restarts:
            self.why = "requeued"
        else:
            self.why, self.cancelled = f"its Slurm job {self.name} was cancelled", True

    def leave(self) -> bool:
        """Whether there is nothing to do here any more; from then on nobody counts on this worker."""
        with self.queue.lock():
            if any(not self.store.run(run_id).held() for run_id in self.waiting()):
                return False
            self.queue.tell(self.name, LEFT)
        return True

    def go_back(self) -> int:
        """Go back into Slurm's queue, unless that was done by who ended the job; what is left waits for it there."""
        if not self.cancelled and self.queue.entries():
            self.queue.tell(self.name, "back", why=self.why)
            try:
                commands.requeue(self.name)
            except commands.SlurmError as error:
                print(error, flush=True)  # it is there already, or must not: whoever drives the sweep sees to it
        else:
            self.queue.tell(self.name, LEFT)
        return 0


def _seconds_to(time_of_day: str) -> float:
    """Seconds from now to a time as Slurm writes it; infinite where it says none."""
    try:
        return (datetime.fromisoformat(time_of_day) - datetime.now()).total_seconds()
    except ValueError:
        return math.inf


def main() -> None:
    """Drain the queue that the command line names."""
    root, shape = sys.argv[1:]
    store = RunStore(Path(root))
    sys.exit(Worker(Queue.of(store, shape), store, dict(os.environ)).drain())


if __name__ == "__main__":
    main()
