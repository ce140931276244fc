"""Sweeps: skip what is done, resume what was cut off, train the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import yaml

from batchlab.results.store.run import FINISHED, State
from batchlab.results.store.runs import UNASKED, Asked, RunStore, SweepEntry
from batchlab.runner.before import look
from batchlab.runner.launch.executors.base import Executor
from batchlab.runner.plan.config import Planned
from batchlab.runner.policies import Policies
from batchlab.runner.scheduler import Observer, Report, Scheduler
from batchlab.runner.stale import Staleness
from batchlab.runner.timing import Timing


def freeze(
    store: RunStore,
    name: str,
    plans: Sequence[Planned],
    among: Sequence[Planned] = (),
    staleness: Staleness | None = None,
    notes: Sequence[str] = (),
    asked: Asked = UNASKED,
) -> None:
    """Write the sweep's manifest, and the configuration of every run that has none.

    Args:
        store: where runs are kept.
        name: of the sweep.
        plans: what is to be trained.
        among: all runs of the sweep, where these are only some of them.
        staleness: knows which are over.
        notes: what is said of the sweep.
        asked: the command that asks for it.
    """
    for planned in plans:
        run = store.run(planned.run_id)
        found = staleness.state(planned.run_id) if staleness is not None else run.read_state()
        if found.state not in FINISHED | {State.RUNNING, State.DAMAGED}:
            run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
    store.write_sweep(name, _entries(among or plans), notes, asked)


def recorded(store: RunStore, name: str, among: Sequence[Planned]) -> bool:
    """Whether the sweep's manifest has these runs already, as `freeze` would write them."""
    return name in store.sweeps() and store.sweep(name).entries == _entries(among)


def _entries(plans: Sequence[Planned]) -> list[SweepEntry]:
    return [SweepEntry(p.run_id, p.labels, list(p.overrides)) for p in plans]


def run_sweep(
    plans: Sequence[Planned],
    store: RunStore,
    executor: Executor,
    observer: Observer,
    *,
    policies: Policies | None = None,
    deadline: float = math.inf,
    staleness: Staleness | None = None,
    detach: bool = False,
    timing: Timing | None = None,
) -> Report:
    """Train what is left to train; blocks until all has ended, or until Ctrl-C has stopped it.

    Args:
        plans: the runs, in the order in which they are started; each has its frozen config.yaml.
        store: where they are kept.
        executor: what starts them.
        observer: who is told what happens.
        policies: how long a run may take, what is tried again, after which failures nothing more is started and what
            runs is interrupted; None: the usual ones.
        deadline: when `time.monotonic` is past it, start nothing more either; runs write their checkpoints.
        staleness: which runs were made of other code or data, and are trained anew; None: nobody asks.
        detach: leave them to the queue of the engine, and do not wait for them.
        timing: what the command's time is counted by; None: nobody asks.

    Returns:
        How many runs are in which state.
    """
    policies = policies or Policies()
    executor.at(store.root)
    before = look(plans, store, staleness, policies.options)
    timing = timing or Timing(executor)
    scheduler = Scheduler(before, store, executor, observer, policies, staleness, detach=detach, timing=timing)
    timing.begin()  # runs are in their groups
    for line in before.notes:
        observer.note(line)
    observer.begin(len(plans), len(before.done), len(scheduler))
    return scheduler.work(deadline)
