"""(f) As much of `sgdm_schedules` and of `vrgd` as still fits: three seeds, on a thin ResNet.

The grids are the recipes' own at scale `gpu`, with the model, the data and the epochs changed to what fits, as the
papers' modules are given them. First cases (i) to (iv) of `sgdm_schedules`. Evaluations are few: the exact gradient
norm takes a pass over the training set, and the paper's own, at the current batch size, up to 2,500 steps, so that it
is measured at the end alone. How many epochs fit is found by a few steps beforehand, as many runs at a time as later.
Then `vrgd`, see `pairs`. What is done is packed, whatever happens: DIR/runs.tar.xz has every run, for
`batchlab reproduce PAPER --scale gpu --from DIR/runs.tar.xz`. Tables and claims are printed last.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd
import yaml

from batchlab.results.papers.catalogue import reproduce as conclude
from batchlab.results.show.render import print_sheets
from batchlab.results.store.archive import SUFFIX
from batchlab.results.store.pack import pack
from batchlab.results.store.run import FINISHED
from batchlab.results.store.runs import RunStore
from batchlab.runner.console import OUT
from batchlab.runner.display import Display
from batchlab.runner.launch.executors.base import Executor, executor_for
from batchlab.runner.plan.conf.files import PACKAGED
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import merge, plans_of, whole
from batchlab.runner.plan.validate import validate
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze, run_sweep
from card import pairs
from card.part import Part, median

PAPER, SWEEP = "sgdm_schedules", "sgdm_schedules-gpu"
SCHEDULES = ["constant", "cosine", "growth to 0.2", "warm-up to 0.2, constant", "warm-up to 0.2, cosine"]
BOTH = "shb,nshb"
LADDER = [(BOTH, 10.0, 6), (BOTH, 6.0, 6), (BOTH, 4.0, 5), (BOTH, 3.0, 5), (BOTH, 2.0, 4)]
LADDER += [("shb", 4.0, 5), ("shb", 3.0, 5), ("shb", 2.0, 4), ("shb", 1.0, 4)]
"""Optimizers, epochs and evaluations, the dearest first."""
LAST = ("shb", 0.5, 3)
"""Taken where nothing fits, as far as it comes."""
SMOKE = ("shb", 1.0, 2)
FIRST = 16
"""Marks are geometric, the first at this part of the budget: there a batch of 8 has taken the steps that 128 takes in
all, so that the cases can be compared at equal steps."""
LARGEST = 4096
"""Batch that a growing one ends with."""
TOGETHER = 6
"""Runs at a time, at most: of 12 each evaluation took 16 s, and none was done in two minutes."""
RUN_GIB = 11
"""Of the card, at most, for a run: a batch of 4,096 in one piece takes a ResNet-20 about 8 GiB."""
SHARE = 0.6
"""Of the time, for this paper; the rest is for the pairs of `vrgd`."""
CLOSING = 30.0
"""Seconds kept for the end: runs to stop, the archive, the tables."""
GRACE = 5.0
"""Seconds from the order to stop to the end of those that did not: an evaluation is not interrupted."""


@dataclass
class Pace:
    """Seconds of what a run is made of, as many at a time as are run later."""

    start: float = math.inf
    step: float = math.inf
    evaluation: float = math.inf
    """With the exact norm; the paper's takes steps besides."""

    def of(self, plans: Sequence[Planned], n: int) -> float:
        """Seconds of all these runs one after the other."""
        steps = sum(steps_of(p, n) + passes_of(p, n) for p in plans)
        return self.step * steps + sum(self.start + self.evaluation * p.tree["log"]["evaluations"] for p in plans)


def steps_of(planned: Planned, n: int) -> float:
    """Steps of a run with a constant batch, or one that is doubled ten times from 8."""
    samples = planned.tree["train"]["epochs"] * n
    if "size" in planned.tree["batch_schedule"]:
        return float(samples / planned.tree["batch_schedule"]["size"])
    return float(sum(samples / 10 / (8 * 2**stair) for stair in range(10)))


def passes_of(planned: Planned, n: int) -> int:
    """Forward and backward passes of the paper's norm at a run's end."""
    return math.ceil(n / min(n, planned.tree["batch_schedule"].get("size", LARGEST)))


def grids(part: Part, optimizers: str, epochs: float, evaluations: int, seeds: str, *also: str) -> list[Planned]:
    """The paper's runs, changed to what fits here; `also` are further overrides."""
    recipe: dict[str, Any] = yaml.safe_load((PACKAGED / "reproduce" / f"{PAPER}.yaml").read_text())
    chosen = whole(recipe, "gpu") | {"only": {"schedule": SCHEDULES}}
    own = [
        *part.overrides(model="mlp" if part.smoke else "resnet20", log__evaluate_every=epochs / FIRST),
        f"log.evaluations={evaluations}",
        f"train.epochs={epochs:g}",
        f"optimizer={optimizers}",
        f"seed={seeds}",
        "batch_schedule=exponential",
        "measure.full_gradient_norm_paper._target_=card.norms.PaperAtTheEnd",
        *also,
    ]
    own = [text for text in own if text != "batch_schedule=constant" and not text.startswith("batch_schedule.size=")]
    return plans_of(chosen | {"common": merge(chosen["common"], own)}, PAPER)


def train(plans: list[Planned], executor: Executor, store: RunStore, name: str, seconds: float) -> Report:
    """Train, and stop when the time is over: in order, and what has not stopped then is killed."""
    store.prepare()
    freeze(store, name, plans)
    display = Display(OUT, live=False, follow=False)
    timers = [threading.Timer(at, lambda: os.kill(os.getpid(), signal.SIGTERM)) for at in (seconds, seconds + GRACE)]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        return run_sweep(plans, store, executor, display)
    finally:
        for timer in timers:
            timer.cancel()
        display.close()


def pilot(part: Part, executor: Executor, jobs: int) -> tuple[Pace, bool]:
    """A few steps and one evaluation with norms, as many runs at a time as later: what a start and they take,
    and whether runs had to be stopped.

    What comes before the first of two marks is not counted, for a card is slow at first: there both norms are left out.
    """
    store, n = RunStore(part.work / "pilot"), int(part.images["n"])
    once = "measure.full_gradient_norm._target_=card.norms.ExactAtTheEnd"
    plans = grids(part, "shb", 3.0 if part.smoke else 0.1, 2, "range(0,3)", once)[:jobs]
    report = train(plans, executor, store, "pilot", max(10.0, part.left / 4))
    ended = [planned for planned in plans if store.run(planned.run_id).metrics.exists()]
    if not ended:
        part.add("pilot", note="no run ended: the least is tried")
        return Pace(), report.interrupted
    columns = ["steps", "train_seconds", "eval_seconds"]
    gained = {p.run_id: pd.read_parquet(store.run(p.run_id).metrics)[columns].diff().iloc[-1] for p in ended}
    step = sum(g["train_seconds"] for g in gained.values()) / sum(g["steps"] for g in gained.values())
    starts, evaluations = [], []
    for planned in ended:
        gain, info = gained[planned.run_id], store.run(planned.run_id).read_state().info
        took = (datetime.fromisoformat(info["ended"]) - datetime.fromisoformat(info["started"])).total_seconds()
        starts.append(max(1.0, took - gain["train_seconds"] - gain["eval_seconds"]))
        evaluations.append(max(0.3 * gain["eval_seconds"], gain["eval_seconds"] - step * passes_of(planned, n)))
    pace = Pace(median(starts), float(step), median(evaluations))
    note = f"{len(ended)} of {len(plans)} runs at a time; starting one takes {pace.start:.1f} s"
    note += f", an evaluation with the exact norm {pace.evaluation:.2f} s"
    part.add("pilot: a step beside the others", 1e3 * pace.step, "ms", note=note)
    return pace, report.interrupted


def choose(part: Part, pace: Pace, jobs: int, seconds: float) -> tuple[list[Planned], str]:
    """The dearest grids that fit into the time."""
    n = int(part.images["n"])
    ladder, seeds = ([SMOKE], "range(0,2)") if part.smoke else ([*LADDER, LAST], "range(0,3)")
    for optimizers, epochs, evaluations in ladder:
        plans = grids(part, optimizers, epochs, evaluations, seeds)
        needed = 1.15 * pace.of(plans, n) / jobs + pace.start
        if needed < seconds or (optimizers, epochs, evaluations) == LAST:
            break
    return plans, f"{len(plans)} runs of {epochs:g} epochs, {optimizers}; about {needed:.0f} s of {seconds:.0f}"


def reproduce(part: Part) -> None:
    """Pilot, both papers' grids, archive, tables."""
    cores = len(os.sched_getaffinity(0))
    jobs = max(1, min(cores - 2, memory() // RUN_GIB, TOGETHER)) if part.device.type == "cuda" else cores
    first = grids(part, "shb", 1.0, 2, "0")
    engine = partial(executor_for, [p.tree for p in first], jobs if part.device.type == "cuda" else None)
    executor = engine()
    executor.warm_up()
    for warning in validate(first[:2]):
        print(f"    warning: {warning}", flush=True)
    store = RunStore(part.work / "sweep")
    trained: dict[str, list[Planned]] = {}

    def comparison(sweep: str, choice: Callable[[float], tuple[list[Planned], str]], share: float) -> None:
        nonlocal executor, stopped
        if stopped:  # places may be taken for ever by runs that were killed
            executor.close(kill=True)
            executor = engine()
        seconds = share * (part.left - CLOSING)
        plans, said = choice(seconds)
        print(f"    {sweep}: {said}", flush=True)
        trained[sweep] = plans
        began = time.monotonic()
        stopped = train(plans, executor, store, sweep, max(5.0, seconds)).interrupted
        report(part, store, sweep, plans, time.monotonic() - began, f"{jobs} runs at a time; {said}")

    try:
        pace, stopped = pilot(part, executor, jobs)
        own = partial(choose, part, pace, jobs)
        part.attempt(PAPER, partial(comparison, SWEEP, own, SHARE), -math.inf)
        part.attempt(pairs.PAPER, partial(comparison, pairs.SWEEP, lambda _: pairs.choose(part), 1.0), -math.inf)
    finally:
        executor.close(kill=True)  # all have ended, or ought to have
        part.attempt("archive", partial(archive, part, store), -math.inf)
    for sweep, plans in trained.items():
        part.attempt(f"accuracies, {sweep}", partial(accuracies, part, store, plans), -math.inf)
        part.attempt(f"tables and claims, {sweep}", partial(tables, part, store, sweep), -math.inf)


def report(part: Part, store: RunStore, sweep: str, plans: Sequence[Planned], took: float, said: str) -> None:
    """How many runs ended, and the last words of those that did not."""
    states = [store.run(p.run_id).read_state().state for p in plans]
    done = sum(state in FINISHED for state in states)
    what = f"{plans[0].tree['model']['name']}, {part.images['said']}, {said}"
    part.add(f"{sweep}: runs done, of {len(plans)}", float(done), "runs", note=what)
    part.add(f"{sweep}: runs a minute", 60 * done / took, "1/min", note=f"{took:.0f} s")
    for planned, state in zip(plans, states, strict=True):
        if state not in FINISHED:
            print(f"    {planned.run_id} {planned.labels} {state}", flush=True)
            for log in store.run(planned.run_id).log.glob("*.log"):
                print(
                    "".join(f"        {line}\n" for line in log.read_text(errors="replace").splitlines()[-5:]), end=""
                )


def memory() -> int:
    """Of the card, in GiB, without touching it."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        return int(said[0]) // 1024
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 4 * RUN_GIB


def accuracies(part: Part, store: RunStore, plans: Sequence[Planned]) -> None:
    """Test accuracy at the end, by labels and optimizer, over seeds."""
    found: dict[str, list[float]] = {}
    for planned in plans:
        run = store.run(planned.run_id)
        if run.metrics.exists():
            said = [str(value) for key, value in planned.labels.items() if key != "tuning"]
            name = ", ".join([*said, pairs.method(planned)])
            found.setdefault(name, []).append(100 * float(pd.read_parquet(run.metrics)["test_accuracy"].iloc[-1]))
    for name, values in found.items():
        part.add(f"test accuracy, {name}", unit="%", samples=values)


def tables(part: Part, store: RunStore, sweep: str) -> None:
    """The paper's tables and claims on these runs, into a file and onto the screen."""
    paper = sweep.removesuffix("-gpu")
    sheets = list(conclude(store, paper, sweep).sheets())
    with (part.rows.out / f"{paper}.txt").open("w") as file, redirect_stdout(file):
        print_sheets(sheets)
    print((part.rows.out / f"{paper}.txt").read_text()[-6000:], flush=True)


def archive(part: Part, store: RunStore) -> None:
    """All runs of both papers, as `batchlab runs pack` packs them."""
    path = part.rows.out / f"runs{SUFFIX}"
    path.unlink(missing_ok=True)  # of an earlier call: what it had in it is not asked for
    packed = pack(store, path)
    part.add("archive of runs", packed.bytes / 2**20, "MiB", note=f"{len(packed.states)} runs: {path.name}")


def measure(part: Part) -> None:
    """Only where there are real images: on random ones there is nothing to compare."""
    if not part.smoke and not part.images["real"]:
        part.add("left out: sgdm_schedules and vrgd", note="no real images at hand")
        return
    with suppress(KeyboardInterrupt):
        reproduce(part)
