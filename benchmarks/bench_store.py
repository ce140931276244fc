"""Stores of 500 and of 5,000 runs that are over (or `--sizes 5000 50000`): what each command that reads them takes.

    python benchmarks/bench_store.py [--sizes 500 5000] [--store FOLDER] [--only QUESTION]

One run of each optimizer is trained, and the others are copies of it with seeds and learning rates of their own; those
at the largest rate have diverged. Every figure is a whole process: seconds by the clock, and the most memory that it
held. The last columns say how much the larger store takes beside the smaller one: where work grows with the runs and
nothing else, ten times of what is beyond the start of a process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from batchlab.results.store import parquet
from batchlab.results.store.objects import formatted
from batchlab.results.store.record import CONFIG_KEY, RUN_KEY, to_arrow
from batchlab.results.store.run import SEALED, Run
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner.plan.blocks import OfBlocks
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import axes_of

WORK = ("dataset=digits", "model=mlp", "model.hidden=[16]", "train.epochs=3", "train.device=cpu")
OPTIMIZERS = "optimizer=shb,adamw"
WHOLE = """
import atexit, os, re, sys
def measured():
    peak = re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())
    used = os.times()
    print("\\n.", used.user + used.system, int(peak[1]) / 1024, file=sys.stderr)
atexit.register(measured)
from batchlab.runner.cli import main
main()
"""
METHODS = 20
"""Two optimizers at ten learning rates."""
LARGEST = 0.1
SWEEP = "many"
Question = tuple[str, Sequence[str]]
"""What it is called, and its command."""


def grid(runs: int) -> list[str]:
    """The overrides of so many runs."""
    return [
        *WORK,
        OPTIMIZERS,
        f"optimizer.lr=logspace(1e-4,{LARGEST},{METHODS // 2})",
        f"seed=range(0,{runs // METHODS})",
    ]


class Copies:
    """Writes runs as sweeps leave them, without waiting for the disk.

    Args:
        trained: The store with one real run for each optimizer.
    """

    def __init__(self, trained: RunStore) -> None:
        self.real = {}
        for planned in compose([*WORK, OPTIMIZERS, "optimizer.lr=0.5"]):
            run = trained.run(planned.run_id)
            table = parquet.read(run.metrics)
            rows = table.drop_columns([*axes_of(planned.tree), "run_id"]).to_pylist()
            self.real[planned.tree["optimizer"]["name"]] = rows, run.read_state().info
        self.lines = OfBlocks(lambda key, block: yaml.safe_dump({key: block}, sort_keys=False))

    def write(self, root: Path, planned: Planned) -> None:
        """One run."""
        tree, run = planned.tree, Run(root / planned.run_id)
        rows, info = self.real[tree["optimizer"]["name"]]
        run.log.mkdir(parents=True)
        run.config.write_text("".join(self.lines(key, block) for key, block in tree.items()))
        metadata = {CONFIG_KEY: json.dumps(tree).encode(), RUN_KEY: json.dumps(info).encode()}
        parquet.write(run.metrics, to_arrow(rows, axes_of(tree) | {"run_id": run.run_id}, metadata))
        ended = {"state": "done"}
        if tree["optimizer"]["lr"] == LARGEST:
            ended = {"state": "diverged", "reason": "train_loss is nan at 4312 samples"}
        sizes = {SEALED: {run.metrics.name: run.metrics.stat().st_size}}
        run.state_file.write_bytes(formatted(ended | info | sizes))


def make_store(root: Path, trained: RunStore, runs: int) -> None:
    """A store of so many runs, by all cores."""
    plans = compose(grid(runs))
    RunStore(root).write_sweep(SWEEP, [SweepEntry(p.run_id, p.labels, list(p.overrides)) for p in plans])
    copies, cores = Copies(trained), os.cpu_count() or 1

    def write(first: int) -> None:
        for planned in plans[first::cores]:
            copies.write(root, planned)

    writers = [multiprocessing.get_context("fork").Process(target=write, args=(i,)) for i in range(cores)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert not writer.exitcode, "a store could not be made"


def measured(*arguments: str) -> tuple[float, float, float]:
    """The command to its end: seconds by the clock, seconds of processor time, MB at most."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", WHOLE, *arguments], stdout=subprocess.DEVNULL, stderr=-1)
    said = process.communicate()[1].decode()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"batchlab {' '.join(arguments)}: {said}")
    _, used, most = said.splitlines()[-1].split()
    return seconds, float(used), float(most)


def questions(store: Path, runs: int, scratch: Path) -> list[Question]:
    """What is measured of a store, in this order: the first one that reads rows has no index yet."""
    there = ("--runs", str(store))
    rows = ("--rows", "optimizer", "--rows", "optimizer.lr")
    return [
        ("status", ("status", *there)),
        ("table, the first", ("table", *rows, *there)),
        ("table", ("table", *rows, *there)),
        ("report", ("report", "-o", str(scratch / "report.html"), *there)),
        ("runs list", ("runs", "list", *there)),
        ("runs list --metric", ("runs", "list", "--metric", "test_accuracy", *there)),
        ("sweep, all done", ("sweep", *grid(runs), *there)),
        ("dry run, all done", ("sweep", "--dry-run", *grid(runs), *there)),
        ("dry run, none there", ("sweep", "--dry-run", *grid(runs), "--runs", str(scratch / "none"))),
    ]


def main() -> None:
    """Print a line per command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--store", type=Path, help="keep the stores here, or take those that are there")
    parser.add_argument("--only", default="", help="the questions that begin so")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.store or Path(temporary)
        trained = RunStore(root / "trained")
        if not trained.root.is_dir():
            measured("sweep", *WORK, OPTIMIZERS, "optimizer.lr=0.5", "--runs", str(trained.root))
        stores = {runs: root / f"{runs}" for runs in asked.sizes}
        for runs, store in stores.items():
            if not store.is_dir():
                make_store(store, trained, runs)
            (store / ".index" / "metrics").unlink(missing_ok=True)
        print(f"{'':20}" + "".join(f"{f'{runs:,} runs':>28}" for runs in stores) + "    times as much")
        every = [questions(store, runs, root) for runs, store in stores.items()]
        for same in zip(*every, strict=True):
            if (name := same[0][0]).startswith(asked.only):
                compared(name, [command for _, command in same])


def compared(name: str, commands: Sequence[Sequence[str]]) -> None:
    """One command for each size: seconds by the clock, of processor time, MB."""
    print(f"{name:20}", end="", flush=True)
    found = []
    for command in commands:
        found.append(measured(*command))
        print("{:9.2f} s {:6.2f} s {:6.0f} MB".format(*found[-1]), end="", flush=True)
    ratios = [last / first for first, last in zip(found[0], found[-1], strict=True)]
    print("   {:6.1f}{:6.1f}{:6.1f}".format(*ratios), flush=True)


if __name__ == "__main__":
    main()
