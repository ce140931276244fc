"""Runs that train together beside the same runs each alone: whole commands, one after the other on an idle machine.

    python benchmarks/bench_fuse.py [PART]... [--repeats 1]

numerical_sgd  `batchlab reproduce numerical_sgd --scale laptop`
vrgd           `batchlab reproduce vrgd --scale laptop`
adadagrad      the logistic part of adadagrad at scale laptop
mlp            8 learning rates x 16 seeds of the MLP on digits, at batch 32

and what should at least not be slower:

cnn            16 of a convolutional network on digits, at batch 128
resnet         12 of a ResNet-8 on digits, at batch 128
growing        12 of a ResNet-8 on digits whose batch grows from 16 to 1,024
large          16 of the MLP at batch 1,024
two            two runs of the MLP: nothing to put together on two places

Without arguments all of it runs, in about three quarters of an hour on two cores. Each command is a process of its own
in a runs folder of its own, once with `--fuse off` and once with `--fuse auto`, in turns where there are repeats; the
ratio is of the least seconds of each. Beside it is that of processor time, which hangs less on what else the machine
does. What was measured of a model the first time, to decide whether training together pays, is remembered beside the
data: the first figure of a part has that in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

COMMAND = "from batchlab.runner.cli import main; main()"
LOGISTIC = """
import sys
from pathlib import Path
from batchlab.runner.execute import execute
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.reproduce import plan
plans = [one for one in plan("adadagrad", "laptop").plans if one.labels.get("experiment") == "logistic"]
sys.exit(execute(plans, Path(sys.argv[2]), SweepOptions(fuse=sys.argv[4]), "logistic"))
"""
MLP = (
    *("sweep", "dataset=digits", "model=mlp", "batch_schedule.size=32", "optimizer=shb", "train.device=cpu"),
    *("optimizer.lr=logspace(0.003,0.3,8)", "seed=range(0,16)"),
)
DIGITS = ("-c", COMMAND, "sweep", "dataset=digits", "optimizer=shb", "train.device=cpu")
PARTS = {
    "numerical_sgd": ("-c", COMMAND, "reproduce", "numerical_sgd", "--scale", "laptop"),
    "vrgd": ("-c", COMMAND, "reproduce", "vrgd", "--scale", "laptop"),
    "adadagrad": ("-c", LOGISTIC),
    "mlp": ("-c", COMMAND, *MLP),
    "cnn": (
        *DIGITS,
        "model=cnn_mnist",
        "batch_schedule.size=128",
        "train.epochs=8",
        "optimizer.lr=0.03,0.1",
        "seed=range(0,8)",
    ),
    "resnet": (
        *DIGITS,
        "model=resnet8",
        "batch_schedule.size=128",
        "train.epochs=8",
        "optimizer.lr=0.03,0.1",
        "seed=range(0,6)",
    ),
    "growing": (
        *(*DIGITS, "model=resnet8", "batch_schedule=exponential", "batch_schedule.initial=16"),
        *("batch_schedule.maximum=1024", "train.epochs=8", "optimizer.lr=0.03,0.1", "seed=range(0,6)"),
    ),
    "large": (
        *DIGITS,
        "model=mlp",
        "batch_schedule.size=1024",
        "train.epochs=40",
        "optimizer.lr=0.03,0.1",
        "seed=range(0,8)",
    ),
    "two": (*DIGITS, "model=mlp", "train.epochs=20", "seed=0,1"),
}
MODES = ("off", "auto")


def trained(part: str, fuse: str) -> tuple[float, float, Counter[str]]:
    """Seconds of a command, of a processor's too, and how its runs were trained."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *PARTS[part], "--runs", folder, "--fuse", fuse]
        began, spent = time.perf_counter(), _processor()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        seconds, spent = time.perf_counter() - began, _processor() - spent
        found: Counter[str] = Counter()
        for run in RunStore(Path(folder)).runs():
            state = run.read_state()
            found["together" if "fused" in state.info else "alone"] += 1
            found["lost"] += state.state not in (State.DONE, State.DIVERGED)
    if done.returncode or found["lost"]:
        sys.exit(f"{part}, --fuse {fuse}: {found['lost']} runs are not over\n{done.stdout.decode()[-2000:]}")
    return seconds, spent, found


def _processor() -> float:
    """Processor seconds of all processes that were started here and are over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a line per part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--repeats", type=int, default=1)
    asked = parser.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"{unknown[0]}: there are {', '.join(PARTS)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for part in asked.parts or PARTS:
        seconds: dict[str, list[tuple[float, ...]]] = {mode: [] for mode in MODES}
        for mode in MODES * asked.repeats:
            *taken, found = trained(part, mode)
            seconds[mode].append(tuple(taken))
        (off, off_spent), (auto, spent) = (map(min, zip(*seconds[mode], strict=True)) for mode in MODES)
        runs = f"{found.total() - found['lost']:5,} runs, {found['together']:5,} of them together"
        wall = f"--fuse off {off:7.1f} s, auto {auto:7.1f} s: {off / auto:5.2f}x"
        print(
            f"{part:14} {runs}: {wall}; processor {off_spent:.1f}, {spent:.1f} s: {off_spent / spent:.2f}x", flush=True
        )


if __name__ == "__main__":
    main()
