"""Schedule the runs of a sweep: skip what is done, resume what was cut off, start the rest as room becomes free."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from batchlab.results.store.run import FINISHED, Run, RunState, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner.before import look
from batchlab.runner.launch.executors.base import Executor
from batchlab.runner.launch.process import BUSY, STOP_GRACE
from batchlab.runner.plan.config import Planned
from batchlab.runner.stale import Staleness

POLL_SECONDS = 0.1
ENDED_WELL = FINISHED | {State.RUNNING}
"""States that do not make a sweep fail; a run that another process is training is left to that process."""


class Observer(Protocol):
    """Watches a sweep."""

    def begin(self, total: int, done: int, left: int) -> None:
        """The sweep begins: of `total` runs, `done` are done already and `left` will be started."""

    def started(self, planned: Planned, run: Run, resumed: bool) -> None:
        """A run starts."""

    def tick(self) -> None:
        """Some time has passed."""

    def ended(self, planned: Planned, run: Run, state: RunState) -> None:
        """A run has ended."""

    def note(self, text: str) -> None:
        """Something the user should know."""


@dataclass
class Report:
    """How a sweep went."""

    states: Counter[State] = field(default_factory=Counter)
    skipped: int = 0
    interrupted: bool = False
    expired: bool = False
    """The time that it was given is over; what was running then goes on when it is asked for again."""
    halted: bool = False
    """It ended before its end: interrupted, expired, or at the first failure, as asked."""

    @property
    def exit_code(self) -> int:
        """0 done, 1 some run failed or was cut off, 130 interrupted."""
        if self.interrupted:
            return 130
        well = ENDED_WELL | {State.INTERRUPTED} if self.expired else ENDED_WELL
        return 1 if any(count for state, count in self.states.items() if state not in well) else 0


def freeze(store: RunStore, name: str, plans: Sequence[Planned], among: Sequence[Planned] = ()) -> None:
    """Write the sweep's manifest, and the configuration of every run that has none.

    Args:
        store: where runs are kept.
        name: of the sweep.
        plans: what is to be trained.
        among: all runs of the sweep, where these are only some of them.
    """
    for planned in plans:
        run = store.run(planned.run_id)
        if run.read_state().state not in FINISHED | {State.RUNNING, State.DAMAGED}:
            run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
    store.write_sweep(name, [SweepEntry(p.run_id, p.labels, list(p.overrides)) for p in among or plans])


def run_sweep(
    plans: Sequence[Planned],
    store: RunStore,
    executor: Executor,
    observer: Observer,
    *,
    retry: bool = False,
    stop_on_error: bool = False,
    deadline: float = math.inf,
    staleness: Staleness | None = None,
) -> Report:
    """Train what is left to train; blocks until all has ended, or until Ctrl-C has stopped it.

    Args:
        plans: the runs, in the order in which they are started; each has its frozen config.yaml.
        store: where they are kept.
        executor: what starts them.
        observer: who is told what happens.
        retry: start failed runs again (from their checkpoint, where they have one).
        stop_on_error: after the first failure start nothing more and interrupt what runs.
        deadline: when `time.monotonic` is past it, do the same; runs write their checkpoints.
        staleness: which runs were made of other code or data, and are trained anew; None: nobody asks.

    Returns:
        How many runs are in which state.
    """
    before = look(plans, store, staleness, retry=retry)
    report = Report(before.states, skipped=len(before.done))
    left = before.left
    for line in before.notes:
        observer.note(line)
    observer.begin(len(plans), report.skipped, len(left))
    running: dict[str, Planned] = {}
    with _stop_signals() as asked:
        while running or (left and not report.halted):
            if time.monotonic() > deadline and not report.halted:  # before anything is begun only to be stopped
                report.expired = report.halted = True
                observer.note("the time is over: runs write their checkpoints, the same command goes on")
                executor.stop()
            while left and not report.halted and executor.room(int(left[0].tree["nproc"])):
                planned = left.pop(0)
                run = store.run(planned.run_id)
                running[planned.run_id] = planned
                if staleness is not None:
                    staleness.begin(planned, run)
                observer.started(planned, run, run.checkpoint.exists())
                executor.start(run, int(planned.tree["nproc"]))
            for end in executor.wait(POLL_SECONDS):
                planned = running.pop(end.run.run_id)
                state_now = _settle(end.run, end.code, stopped=report.halted)
                report.states[state_now.state] += 1
                observer.ended(planned, end.run, state_now)
                if stop_on_error and state_now.state in (State.FAILED, State.CRASHED) and not report.halted:
                    observer.note("stopping at the first failure, as asked")
                    report.halted = True
                    executor.stop()
            observer.tick()
            if asked and not report.interrupted:
                report.interrupted = report.halted = True
                observer.note("stopping: runs write their checkpoints (Ctrl-C again to kill them)")
                executor.stop()
            if len(asked) > 1:
                executor.close(kill=True)
                break
    return report


def _settle(run: Run, code: int, *, stopped: bool) -> RunState:
    """The state of a run whose process has ended; one that wrote no state itself, and was not stopped, has crashed."""
    if code == BUSY:
        return RunState(State.RUNNING, "another process is training it: left alone")
    deadline = time.monotonic() + STOP_GRACE
    while (state := run.read_state()).state is State.RUNNING and time.monotonic() < deadline:
        time.sleep(0.05)  # its ranks hold the lock for a little longer, where their parents were killed
    if state.state is State.PENDING:
        if stopped:
            return RunState(State.INTERRUPTED, "stopped before it began")
        return RunState(State.CRASHED, f"its process ended with code {code}; see {run.log / 'launch.log'}")
    return state


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of ending at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield asked
        return
    before = {s: signal.signal(s, lambda signum, _: asked.append(signum)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
