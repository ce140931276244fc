"""Slurm's commands: one call for all jobs, never one for each. Standard library only, as `status` asks too."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

NAME = "batchlab"
"""Of every job."""
PATIENCE = 60.0
"""Seconds that a command may take."""
STOPPED = 1.0
"""Seconds that it may still take once this process was told to stop."""
POLL = 0.1
"""Seconds from one look at a command to the next."""
NAMED = re.compile(r"\b(?:QOS|Assoc)\w*Limit\b")
"""A limit by the name that Slurm has for it. Most are of a job alone, which is refused at any time."""
MANY = re.compile(r"Submit|MaxJobs|GrpJobs")
"""In the name of a limit on how many jobs there are."""
LIMIT = re.compile(r"MaxJobCount|job submit limit|temporarily|try again|Invalid job array", re.I)
"""What sbatch says, where it names no limit, if there are too many jobs and there will be room another time."""
REFUSED = re.compile(r"\b(?:invalid|violates|denied|association|unrecogni[sz]ed|not (?:permitted|available))\b", re.I)
"""What sbatch says of a job that is asked for wrongly: it would be refused another time too."""
OVER = (
    *("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED", "REVOKED"),
)
"""States of jobs that do not come back by themselves. One that Slurm requeues is pending at once."""


class SlurmError(Exception):
    """A command of Slurm's failed, or was not there; the text is what it said, in one line."""


class LimitError(SlurmError):
    """Slurm takes no more jobs now."""


class RefusedError(SlurmError):
    """Slurm does not take such a job, however often it is asked."""


class StoppedError(SlurmError):
    """This process was told to stop before Slurm had answered."""


@dataclass(frozen=True)
class Job:
    """A job as squeue tells.

    Attributes:
        id: `12_3`, of an array, or `12`.
        state: In Slurm's words, such as PENDING.
        reason: Why it waits, in Slurm's words, such as Priority or Resources.
        comment: What it was submitted with.
    """

    id: str
    state: str
    reason: str
    comment: str

    @property
    def over(self) -> bool:
        """Whether it has ended and does not come back by itself."""
        return self.state in OVER


def call(*command: str, patience: float | None = None, interruptible: bool = True) -> str:
    """What a command prints. It is in a session of its own: Ctrl-C in a terminal is for this process alone.

    Args:
        command: Its words.
        patience: Seconds that it may take; None: `PATIENCE`.
        interruptible: Whether it is given up once this process is told to stop; what else the signal does, it does.

    Raises:
        SlurmError: It failed, took too long or is not there.
        StoppedError: This process was told to stop.
    """
    patience = PATIENCE if patience is None else patience
    try:
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise SlurmError(f"there is no {command[0]} here") from error
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error.strerror}") from error
    until, late = time.monotonic() + patience, False
    with child, _heard() as heard:
        try:
            while True:
                if interruptible and heard:
                    until = min(until, heard[0] + STOPPED)
                try:
                    printed, said = child.communicate(timeout=min(POLL, patience))
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= until and not late:
                        late = True
                        os.killpg(child.pid, signal.SIGKILL)
        except BaseException:  # such as what a handler raised
            child.kill()
            raise
    said = " ".join(said.split())
    if (late or child.returncode) and interruptible and heard:
        raise StoppedError(f"{command[0]} was given up")
    if late:
        raise SlurmError(f"{command[0]} did not answer in {patience:g} s" + (f": {said}" if said else ""))
    if child.returncode:
        said = said or f"it ended with code {child.returncode}"
        raise SlurmError(said if command[0] in said else f"{command[0]}: {said}")
    return printed


@contextmanager
def _heard() -> Iterator[list[float]]:
    """When this process was told to stop within the block; its own handlers are called as ever."""
    heard: list[float] = []
    before: dict[int, Callable[[int, FrameType | None], object]] = {}

    def hear(signum: int, frame: FrameType | None) -> None:
        heard.append(time.monotonic())
        before[signum](signum, frame)

    if threading.current_thread() is threading.main_thread():  # only there can signals be caught
        for signum in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(signum)):
                before[signum] = handler
                signal.signal(signum, hear)
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def submit(options: Sequence[str], command: str) -> str:
    """Submit a batch job; returns its number.

    Args:
        options: Of sbatch.
        command: What the job's shell is to run.

    Raises:
        LimitError: There are too many jobs now.
        RefusedError: It is asked for wrongly.
        SlurmError: It is not taken, which may pass.
    """
    try:
        said = call("sbatch", "--parsable", *options, "--wrap", command)
    except SlurmError as error:
        if too_many(str(error)):
            raise LimitError(str(error)) from error
        if REFUSED.search(str(error)) or NAMED.search(str(error)):
            raise RefusedError(str(error)) from error
        raise
    return said.strip().splitlines()[-1].partition(";")[0]


def too_many(said: str) -> bool:
    """Whether sbatch was refused for now only.

    >>> too_many("QOSMaxSubmitJobPerUserLimit"), too_many("Invalid qos specification")
    (True, False)
    """
    named = NAMED.findall(said)
    return any(map(MANY.search, named)) if named else bool(LIMIT.search(said))


def jobs(patience: float | None = None) -> list[Job]:
    """This user's jobs of batchlab, with those that ended a short while ago: one call of squeue for all.

    Without accounting too: nothing but the controller is asked.

    Args:
        patience: Seconds that it may take; None: `PATIENCE`.

    Raises:
        SlurmError: It does not answer.
    """
    asked = ("squeue", "-h", "-r", "-t", "all", "-u", str(os.getuid()), "-n", NAME, "-o", "%i|%T|%r|%k")
    said = call(*asked, patience=patience)
    found = []
    for line in said.splitlines():
        fields = line.strip().split("|", 3)
        if len(fields) == 4:
            found.append(Job(*fields))
    return found


def details(job: str) -> dict[str, str]:
    """What the controller says of one job, word for word; empty where it says nothing.

    >>> _fields("JobId=7 JobState=COMPLETING Reason=None Restarts=1")["Restarts"]
    '1'
    """
    try:
        return _fields(call("scontrol", "show", "job", "-o", job, interruptible=False))
    except SlurmError:
        return {}


def _fields(line: str) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in line.split() if "=" in word)


def cancel(ids: Sequence[str], *, kill: bool = False, patience: float | None = None) -> None:
    """Cancel jobs in one call; `kill`: at once, without SIGTERM; `patience` as of `call`.

    Raises:
        SlurmError: It cannot be asked. That some of them are over already is no error.
    """
    if ids:
        call("scancel", "-Q", *(("-s", "KILL", "-f") if kill else ()), *ids, patience=patience)


def requeue(job: str) -> None:
    """Put a running job back into the queue.

    Raises:
        SlurmError: It is not allowed, or the job is there already.
    """
    call("scontrol", "requeue", job, interruptible=False)  # it signals the job that asks


def has_gpus(partition: str | None) -> bool:
    """Whether nodes of a partition, or any node, declare GPUs."""
    try:
        return "gpu" in call("sinfo", "-h", "-o", "%G", *(("-p", partition) if partition else ()))
    except SlurmError:
        return False
