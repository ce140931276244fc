"""Sweeps on a Slurm, as tests look at them."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cluster import Slurm
from runs import HANGS, Fleet, one, rows, wait_until
from shell import ENTRY

from batchlab.results.store.queue import queues
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore

WORKERS = ("executor=slurm", "executor.workers=2", "executor.cpus_per_task=1", "executor.timeout_min=10")
LONG = ("dataset=digits", "model=mlp", "model.hidden=[16]", "train.epochs=300", "train.device=cpu")
PATIENCE = 3600
"""Seconds of a test: each of its waits has a limit (`HANGS`), which says for what it waited."""
SAVES = "train.checkpoint_seconds=0"


def told(store: RunStore, event: str) -> Counter[str]:
    """How often workers told this of each run."""
    (queue,) = queues(store)
    return Counter(str(e["run"]) for _, e in queue.heard({}) if e["event"] == event)


def merged(*overrides: str) -> list[str]:
    """Overrides, of which a later one takes the place of an earlier one of its key."""
    return list({override.partition("=")[0]: override for override in overrides}.values())


def driver(*overrides: str, cwd: Path) -> subprocess.Popen[bytes]:
    """A sweep beside the test."""
    with (cwd / "driver.log").open("ab") as log:
        return subprocess.Popen([*ENTRY, "sweep", *merged(*overrides)], cwd=cwd, stdout=log, stderr=log)


def trains(run: Run, process: subprocess.Popen[bytes], rows: int = 2) -> None:
    """Wait until a run has come so far, under a driver that lives."""

    def begun() -> bool:
        assert process.poll() is None, "the driver has ended"
        return len(read_stream(run, "metrics")) >= rows

    wait_until(begun)


def same_as_here(store: RunStore, fleet: Fleet, root: Path, *overrides: str) -> None:
    """The run's rows are those of one that was trained at once on this machine."""
    planned = one(*overrides)
    assert rows(store.run(planned.run_id)) == rows(fleet.train(root, planned))


def states(store: RunStore) -> list[State]:
    return sorted(run.read_state().state for run in store.runs())


def goes_on(slurm: Slurm, fleet: Fleet, tmp_path: Path, interfere: Callable[[], object], *overrides: str) -> str:
    """A run whose job is interfered with goes on by itself to the same rows; what the driver said."""
    process = driver(*LONG, *WORKERS, *overrides, cwd=tmp_path)
    store = RunStore(tmp_path / "runs")
    here = [override for override in merged(*LONG, *overrides) if not override.startswith("executor.")]
    run = store.run(one(*here).run_id)
    trains(run, process)
    interfere()
    said = lambda: (tmp_path / "driver.log").read_text()  # noqa: E731
    assert process.wait(HANGS) == 0, said()
    assert run.read_state().state is State.DONE
    assert slurm.calls("sbatch") == 1, "Slurm put it back into the queue, nobody submitted again"
    same_as_here(store, fleet, tmp_path / "here", *here)
    return said()
