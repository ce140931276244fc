"""A Slurm that only answers, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batchlab.results.store.queue import Queue, queues
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.slurm import SlurmExecutor
from batchlab.runner.launch.slurm.commands import SlurmError

ON_SLURM = ("executor=slurm", "executor.cpus_per_task=1")


@dataclass
class Slurm:
    """Its commands: what they were called with, and what they say. Time passes only where somebody sleeps."""

    calls: list[tuple[str, ...]] = field(default_factory=list)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    """id -> state, reason and comment."""
    room: int = 10_000
    refusal: str = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    gpus: bool = False
    job: str = ""
    """What scontrol tells of any job."""
    clock: float = 1000.0
    on_sleep: Callable[[], object] = lambda: None

    def __call__(self, *command: str, **how: object) -> str:
        self.calls.append(command)
        name, *rest = command
        if name == "sinfo":
            return "gpu:a100:4\n" if self.gpus else "(null)\n"
        if name == "sbatch":
            given = dict(word[2:].split("=", 1) for word in rest if word.startswith("--") and "=" in word)
            width = int(given["array"].partition("-")[2]) + 1
            if width > self.room:
                raise SlurmError(self.refusal)
            number = 1 + max((int(job.partition("_")[0]) for job in self.jobs), default=0)
            self.jobs |= {f"{number}_{i}": ["PENDING", "Priority", given["comment"]] for i in range(width)}
            return f"{number}\n"
        if name == "scontrol":
            return self.job if rest[0] == "show" else ""
        if name == "squeue":
            return "".join(f"{job}|{'|'.join(words)}\n" for job, words in self.jobs.items())
        if name == "scancel":
            for job in rest:
                if job in self.jobs:
                    self.jobs[job][0] = "CANCELLED"
        return ""

    def count(self, name: str) -> int:
        return sum(call[0] == name for call in self.calls)

    def monotonic(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.on_sleep()


def submitted(slurm: Slurm) -> tuple[str, ...]:
    (call,) = [call for call in slurm.calls if call[0] == "sbatch"]
    return call


def asked(store: RunStore, count: int, executor: SlurmExecutor | None = None, *, first: int = 0) -> SlurmExecutor:
    """An executor that was given so many runs."""
    store.prepare()
    executor = executor or SlurmExecutor(cpus_per_task=1, workers=4)
    for i in range(first, first + count):
        executor.start(store.run(f"run{i:04}"), 1)
    return executor


def only(store: RunStore) -> Queue:
    (queue,) = queues(store)
    return queue
