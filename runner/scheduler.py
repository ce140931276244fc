"""The loop of a sweep: starts runs as room becomes free, hears how they end, stops them in order."""

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

from batchlab.results.store import exhausted
from batchlab.results.store.run import FINISHED, Run, RunState, State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count
from batchlab.runner import exits
from batchlab.runner.before import Before
from batchlab.runner.held import Held
from batchlab.runner.launch.executors.base import Ended, EngineLostError, Executor
from batchlab.runner.launch.process import APART, BUSY, STOP_GRACE
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.fuse import key
from batchlab.runner.policies import Policies
from batchlab.runner.stale import Staleness
from batchlab.runner.timing import Timing
from batchlab.runner.waiting import Waiting

POLL_SECONDS = 0.1


class Observer(Protocol):
    """Watches a sweep."""

    def begin(self, total: int, done: int, left: int) -> None:
        """The sweep begins: of `total` runs, `done` are done already and `left` will be started."""

    def together(self, group: Sequence[Planned]) -> None:
        """These runs start next, in one process."""

    def started(self, planned: Planned, run: Run, resumed: bool) -> None:
        """A run starts."""

    def tick(self) -> None:
        """Some time has passed."""

    def ended(self, planned: Planned, run: Run, state: RunState) -> None:
        """A run has ended; one that is `pending` is started again."""

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
    detached: bool = False
    """Its runs are left to the queue of the engine."""
    lost: bool = False
    """The engine is gone: how its runs ended nobody said."""
    exhausted: str = ""
    """What has run out (room on the disk, open files): nothing more is started, what runs may get to its end."""
    halted: bool = False
    """It ended before its end: interrupted, expired, without its engine, or at the first failure, as asked."""

    @property
    def exit_code(self) -> int:
        """0 done, 1 some run failed or was cut off, 130 interrupted."""
        if self.interrupted:
            return exits.INTERRUPTED
        if self.lost or self.exhausted:
            return exits.FAILED
        well = FINISHED | {State.INTERRUPTED, State.RUNNING} if self.expired else FINISHED
        return exits.FAILED if any(count for state, count in self.states.items() if state not in well) else 0

    @property
    def closed(self) -> bool:
        """Nothing more is started."""
        return self.halted or bool(self.exhausted)

    def exhaust(self, why: str, observer: Observer) -> None:
        """Start nothing more, and say so once."""
        if not self.exhausted:
            self.exhausted = why
            observer.note(f"{why}; nothing more is started, what was recorded is kept, the same command goes on")


class Scheduler:
    """The runs of a sweep on their way.

    Args:
        before: what there is of them.
        store: where they are kept.
        executor: what starts them.
        observer: who is told what happens.
        policies: which may start, for how long and how often, and after which failures nothing more is started.
        staleness: which runs were made of other code or data, and are trained anew; None: nobody asks.
        detach: leave them to the queue of the engine, and do not wait for them.
        timing: counts the places that have nothing to do.
    """

    def __init__(
        self,
        before: Before,
        store: RunStore,
        executor: Executor,
        observer: Observer,
        policies: Policies,
        staleness: Staleness | None,
        *,
        detach: bool,
        timing: Timing,
    ) -> None:
        self.timing = timing
        self.store, self.executor, self.observer = store, executor, observer
        self.policies, self.staleness, self.detach = policies, staleness, detach
        self.report = Report(before.states, skipped=len(before.done))
        self.left = Waiting(executor, policies)
        self.left.add(before)
        self.held = Held(store, staleness, policies.options)
        self.held.add([] if detach else before.held)
        self.running: dict[str, Planned] = {}
        self.together: dict[str, Planned] = {}
        """Those of the running ones that train together with others."""
        self.reasons: set[tuple[str, str]] = set()
        """Which runs could not be trained together and why, as far as that was said."""
        self.known: dict[str, int] = {}
        """How many warnings a run had before it went on from a checkpoint."""

    def __len__(self) -> int:
        """How many runs are to be trained, now or later."""
        return len(self.left) + len(self.held)

    def work(self, deadline: float = math.inf) -> Report:
        """Train them; blocks until all has ended, or until Ctrl-C has stopped it.

        Args:
            deadline: when `time.monotonic` is past it, start nothing more; runs write their checkpoints.
        """
        self.policies.begin(len(self))
        with _stop_signals() as asked, self._losing():
            while self.running or (self._more() and not self.report.closed):
                if time.monotonic() > deadline and not self.report.halted:  # before anything is begun to be stopped
                    self.report.expired = True
                    self._halt("the time is over: runs write their checkpoints, the same command goes on")
                self._take_back()
                self._start()
                if self._detached():
                    break
                for run_id in self.policies.overdue(self.store):
                    self.executor.stop(self.store.run(run_id))
                self._hear()
                self.observer.tick()
                if asked and not self.report.interrupted:
                    self.report.interrupted = True
                    self._halt("stopping: runs write their checkpoints (Ctrl-C again to kill them)")
                if len(asked) > 1:
                    self.executor.close(kill=True)
                    break
        return self._reported()

    def _more(self) -> bool:
        """Whether there is something to start, now or later, that may be started."""
        if self.left:
            return self.policies.pausing or bool(self.left.allowed)
        return self.policies.pausing or bool(self.held)

    def _halt(self, why: str) -> None:
        """Start nothing more, and interrupt what runs."""
        self.report.halted = True
        self.observer.note(why)
        self.executor.stop()

    def _take_back(self) -> None:
        """Runs that are tried again, and those that another process left unfinished, are to be started."""
        self.left.first(self.policies.due())
        free, found = self.held.look()
        for line in found.notes:
            self.observer.note(line)
        unfinished = {planned.run_id for planned in found.left}
        for planned in free:
            if planned.run_id not in unfinished:
                run = self.store.run(planned.run_id)
                state = run.read_state()
                self.report.states[state.state] += 1
                self.observer.ended(planned, run, state)
        self.left.add(found)
        idle = not (self.running or self.left or self.policies.pausing or self.report.closed)
        if idle and (said := self.held.waiting()):
            self.observer.note(said)

    def _start(self) -> None:
        """Start what may start, and for which there is room."""
        while not self.report.closed and (group := self.left.take()):
            runs = [self.store.run(planned.run_id) for planned in group]
            for planned, run in zip(group, runs, strict=True):
                if why := self._unready(planned, run):
                    self.report.exhaust(why, self.observer)
                    return
            if len(group) > 1:
                self.observer.together(group)
            for planned, run in zip(group, runs, strict=True):
                self.running[planned.run_id] = planned
                if run.checkpoints:
                    self.known[planned.run_id] = len(run.read_state().info.get("warnings", []))
                if not self.executor.queues:
                    self.observer.started(planned, run, bool(run.checkpoints))
            self.timing.mark()
            if len(group) > 1:
                self.together |= {planned.run_id: planned for planned in group}
                self.executor.start_together(runs)
            else:
                self.executor.start(runs[0], int(group[0].tree["nproc"]))
            self.timing.started([planned.run_id for planned in group])
            for planned in group:
                if self.executor.queues:
                    self.policies.begun.setdefault(planned.run_id, 0)  # one of those that may start; `news` tells when
                else:
                    self.policies.started(planned.run_id)

    def _unready(self, planned: Planned, run: Run) -> str:
        """Make a run's folder ready; why that was not possible, where the disk is full or the like."""
        try:
            if self.staleness is not None:
                self.staleness.begin(planned, run)
            self.policies.lessen(run)
        except (OSError, ValueError) as error:
            if why := exhausted.line(error):
                return why
            raise
        return ""

    def _detached(self) -> bool:
        """Leave the runs to the engine's queue, where that was asked for."""
        if self.detach and self.running and not self.report.closed and (line := self.executor.detach()):
            self.observer.note(line)
            self.report.detached = True
        return self.report.detached

    def _hear(self) -> None:
        """What the engine has to tell: of runs that began, and of those that ended."""
        self.timing.mark()
        ends = self.executor.wait(POLL_SECONDS)
        self.timing.mark()
        for item in self.executor.news():
            if isinstance(item, str):
                self.observer.note(item)
            else:
                self.observer.started(self.running[item.run.run_id], item.run, bool(item.run.checkpoints))
                self.policies.started(item.run.run_id)
        back = [end for end in ends if end.code == APART and not self.report.closed]
        for end in ends:
            if end not in back:
                self._ended(end)
        if back:
            self._part(back)

    def _part(self, ends: Sequence[Ended]) -> None:
        """Runs that could not be trained together are started again, each alone; of which and why is said once."""
        by_kind: dict[tuple[str, str], list[Planned]] = {}
        for end in ends:
            planned = self.running.pop(end.run.run_id)
            self.known.pop(end.run.run_id, None)
            self.timing.parted(planned.run_id)
            self.observer.ended(planned, end.run, RunState(State.PENDING))
            kind = " ".join(f"{axis}={planned.tree[axis]['name']}" for axis in ("model", "dataset"))
            by_kind.setdefault((kind, end.run.read_state().info.get("apart", "")), []).append(planned)
        for (kind, why), plans in by_kind.items():
            keys = {key(planned.tree) for planned in plans}
            alike = [run_id for run_id, planned in self.together.items() if key(planned.tree) in keys]
            n = len(alike) + self.left.part(plans)  # what of them still runs is about to come back
            for planned in plans:
                del self.together[planned.run_id]
            if (kind, why) not in self.reasons:
                self.reasons.add((kind, why))
                runs = count(n, "run")
                self.observer.note(f"{runs} of {kind} that were to train together train each alone: {why}")

    def _ended(self, end: Ended) -> None:
        planned, known = self.running.pop(end.run.run_id), self.known.pop(end.run.run_id, None)
        self.together.pop(end.run.run_id, None)
        self.timing.ended(planned.run_id)
        exits.begun.append(planned.run_id)
        found = settled(end, stopped=self.report.halted or planned.run_id in self.policies.told)
        found = self.policies.ended(planned, end.run, found, halted=self.report.closed)
        self.held.add([planned] if found.state is State.RUNNING else [])
        if found.state not in (State.PENDING, State.RUNNING):  # it ends another time
            self.report.states[found.state] += 1
        for line in found.info.get("warnings", [])[known:] if known is not None else []:
            self.observer.note(line)
        self.observer.ended(planned, end.run, found)
        if kind := exhausted.of_code(end.code):
            self.report.exhaust(exhausted.said(kind, end.run.folder), self.observer)
        if not self.report.halted and (why := self.policies.enough()):
            self._halt(why)

    def _reported(self) -> Report:
        """The report, with what was not trained."""
        for planned, state in self.policies.given_up() if self.report.closed else []:
            if planned.run_id in self.running:  # in a queue, or where the engine was lost
                continue
            self.report.states[state.state] += 1
            self.observer.ended(planned, self.store.run(planned.run_id), state)
        self.report.states.update([State.RUNNING] * len(self.held) if self.report.closed else [])
        if self.left and not self.report.closed:
            self.observer.note(f"--max-runs: {count(len(self.left), 'run')} left, the same command goes on")
        return self.report

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """End a sweep whose engine is lost in order: its runs are in the states that the store says."""
        try:
            yield
        except EngineLostError as error:
            self.report.lost = self.report.halted = True
            self.report.states.update(self.store.run(run_id).read_state().state for run_id in self.running)
            self.observer.note(f"{error}; the same command goes on from the checkpoints")


def settled(end: Ended, *, stopped: bool) -> RunState:
    """The state of a run whose process has ended; one that wrote no state itself, and was not stopped, has crashed."""
    run = end.run
    if end.code == BUSY:
        begun = not end.reason or run.read_state().state is State.RUNNING  # who gives a reason leaves it to others
        return RunState(State.RUNNING if begun else State.PENDING, end.reason or "another process is training it")
    if kind := exhausted.of_code(end.code):  # which it may not have been able to write
        return RunState(State.INTERRUPTED, exhausted.said(kind, run.folder))
    deadline = time.monotonic() + STOP_GRACE
    while (state := run.read_state()).state is State.RUNNING and time.monotonic() < deadline:
        time.sleep(0.05)  # its ranks hold the lock for a little longer, where their parents were killed
    if state.state is State.PENDING:
        if stopped:
            return RunState(State.INTERRUPTED, "stopped before it began")
        return RunState(
            State.CRASHED, end.reason or f"its process ended with code {end.code}; see {run.log / 'launch.log'}"
        )
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
