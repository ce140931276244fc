"""Results: status over 1,000 runs, a table over 1,000 runs x 200 rows, against pandas file by file.

    python benchmarks/bench_results.py [--runs N] [--rows N] [--repeat N]

Every timing is a fresh process, so that imports count; medians of interleaved repetitions.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml

from batchlab.results.store.atomic import replace_text
from batchlab.results.store.record import AXES_KEY, CONFIG_KEY, RUN_KEY, to_arrow
from batchlab.results.store.runs import RunStore, SweepEntry

OPTIMIZERS = ["sgd", "shb", "nshb", "adam", "adamw"]
SCHEDULES = ["constant", "cosine", "linear", "diminishing", "polynomial"]
BATCHES = ["constant", "exponential"]

STATUS = """
import sys; from pathlib import Path
from batchlab.results.store.runs import RunStore
from batchlab.results.show.status import read_status
summary = read_status(RunStore(Path(sys.argv[1])))
assert summary.total == int(sys.argv[2])
"""
TABLE = """
import sys; from pathlib import Path
from batchlab.results.store.runs import RunStore
from batchlab.results.compare.table import load_table
from batchlab.results.show.render import render
from batchlab.results.show.table_sheet import table_sheet
made = load_table(RunStore(Path(sys.argv[1])), rows=["optimizer", "lr_schedule"], cols=["batch_schedule"],
                  metrics=["test_accuracy", "min:train_loss"], baseline="optimizer=shb")
render(table_sheet(made), "rich")
"""
PANDAS = """
import sys; from pathlib import Path
import pandas as pd
frames = [pd.read_parquet(path) for path in sorted(Path(sys.argv[1]).glob("*/metrics.parquet"))]
every = pd.concat(frames, ignore_index=True)
axes = ["optimizer", "lr_schedule", "batch_schedule"]
last = every.groupby([*axes, "run_id"], observed=True)[["test_accuracy"]].last()
best = every.groupby([*axes, "run_id"], observed=True)[["train_loss"]].min()
print(last.join(best).groupby(axes, observed=True).agg(["count", "mean", "std"]).to_string())
"""


def make_store(root: Path, runs: int, rows: int) -> RunStore:
    """A store as `runs` finished runs leave it, `rows` evaluations each."""
    store = RunStore(root).prepare()
    generator = np.random.default_rng(0)
    entries = []
    for i in range(runs):
        optimizer, schedule = OPTIMIZERS[i % 5], SCHEDULES[i // 5 % 5]
        batch, seed = BATCHES[i // 25 % 2], i // 50
        run = store.run(f"{i:08x}").create()
        config = {
            "optimizer": {"name": optimizer, "lr": 0.1, "momentum": 0.9},
            "lr_schedule": {"name": schedule, "clock": "steps", "every": None},
            "batch_schedule": {"name": batch, "initial": 128},
            "model": {"name": "resnet8", "norm": "batch"},
            "dataset": {"name": "digits", "root": None},
            "train": {"epochs": 200, "micro_batch": 512, "precision": "float32"},
            "seed": seed,
        }
        axes = {k: config[k]["name"] for k in ("optimizer", "lr_schedule", "batch_schedule", "model", "dataset")}
        axes |= {"seed": seed, "run_id": run.run_id}
        noise = generator.normal(size=(rows, 4)).tolist()
        content = [
            {
                "samples": 1437 * k, "steps": 12 * k, "epoch": float(k), "gradients": 1437 * k,
                "lr": 0.1, "batch_size": 128, "train_loss": 2.3 / (k + 1) + 0.01 * abs(noise[k][0]),
                "train_seconds": 0.2 * k, "eval_seconds": 0.05 * k,
                "test_loss": 2.3 / (k + 1) + 0.02 * abs(noise[k][1]),
                "test_accuracy": 1 - 0.9 / (k + 1) - 0.005 * abs(noise[k][2]),
                "full_gradient_norm": 1.0 / (k + 1) * math.exp(0.1 * noise[k][3]),
            }
            for k in range(rows)
        ]  # fmt: skip
        metadata = {
            CONFIG_KEY: json.dumps(config).encode(),
            RUN_KEY: b"{}",
            AXES_KEY: json.dumps(list(axes)).encode(),
        }
        pq.write_table(to_arrow(content, axes, metadata), run.metrics, compression="zstd")
        replace_text(run.config, yaml.safe_dump(config))
        run.write_state(state="done", started="2026-01-01T00:00:00+00:00", versions={"torch": "2.15"})
        entries.append(SweepEntry(run.run_id, {}, [f"optimizer={optimizer}", f"seed={seed}"]))
    store.write_sweep("bench", entries)
    return store


def seconds(code: str, root: Path, runs: int) -> tuple[float, float]:
    """How long a fresh Python takes to run `code`: by the clock, and in processor time."""
    used, started = cpu_seconds(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(root), str(runs)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, cpu_seconds() - used


def cpu_seconds() -> float:
    """Processor time of the processes started so far; a loaded machine stretches the clock, not this."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print one line a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        make_store(root, arguments.runs, arguments.rows)
        codes = {"start of Python": "", "status": STATUS, "table": TABLE, "pandas file by file": PANDAS}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
        for _ in range(arguments.repeat):
            for name, code in codes.items():
                times[name].append(seconds(code, root, arguments.runs))
    print(f"{arguments.runs} runs x {arguments.rows} rows, whole processes, median of {arguments.repeat}")
    for name, pairs in times.items():
        clock, used = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"  {name:20} {clock:6.2f} s, {used:6.2f} s of processor time")
    pandas, ours = times["pandas file by file"], times["table"]
    ratio = statistics.median(theirs[0] / own[0] for theirs, own in zip(pandas, ours, strict=True))
    print(f"  the table is {ratio:.1f} times faster than pandas file by file")


if __name__ == "__main__":
    main()
