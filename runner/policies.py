"""What the loop of a sweep asks: may a run start, has one taken too long, is a failed one tried again, is it enough."""

from __future__ import annotations

import heapq
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile

from batchlab.results.store.run import Run, RunBusyError, RunState, State, now
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count
from batchlab.runner.options import OnError, SweepOptions, failures_of
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.fuse import Group

BACKOFF = 5.0
"""Seconds until a run is tried again for the first time; each time after that it is twice as long."""
LONGEST = 600.0
"""But no longer than that."""
Mark = tuple[int, int] | None
LOST = (State.FAILED, State.CRASHED)
"""States that a run may be tried again after."""


def spelt(seconds: float) -> str:
    """A length of time as a timeout is read.

    >>> spelt(1800.0), spelt(7200.0), spelt(90.0), spelt(0.5)
    ('30 min', '2 h', '90 s', '0.5 s')
    """
    for unit, long in (("h", 3600), ("min", 60)):
        if seconds >= long and seconds % long == 0:
            return f"{seconds / long:g} {unit}"
    return f"{seconds:g} s"


def _mark(run: Run) -> Mark:
    """Tells a run's latest checkpoint from those before; None where there is none."""
    try:
        found = run.checkpoint.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@dataclass
class Policies:
    """How far a command goes with its runs, over all sweeps that it trains one after the other.

    Attributes:
        options: What was asked for.
        begun: How often each run was started.
        failures: Runs that failed or crashed for good.
        told: Runs that were told to stop, as their time was over, and the checkpoint that each had then.
        total: Runs of the sweep that are to be trained, of which `--stop-after 10%` is a share.
    """

    options: SweepOptions = field(default_factory=SweepOptions)
    begun: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    told: dict[str, Mark] = field(default_factory=dict)
    total: int = 0
    _starting: dict[str, None] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _paused: list[tuple[float, str, Planned]] = field(default_factory=list)
    _lost: dict[str, tuple[Planned, RunState]] = field(default_factory=dict)
    """How runs ended that are to be tried again, until they are."""

    def begin(self, total: int) -> None:
        """A sweep begins, of which so many runs are to be trained."""
        self.total, self.failures = total, 0

    def allowed(self, group: Group) -> Group:
        """Those of a group that may be started; a run that was started before counts once."""
        if self.options.max_runs is None:
            return group
        free = self.options.max_runs - len(self.begun)
        new = [planned.run_id for planned in group if planned.run_id not in self.begun]
        late = {run_id for place, run_id in enumerate(new) if place >= free}
        return tuple(planned for planned in group if planned.run_id not in late)

    def half(self, state: RunState) -> int:
        """The micro-batch that a run is tried again with after it was out of memory; 0 where it is not."""
        found = state.info.get("out_of_memory", {}).get("half") if self.options.retry_oom else None
        return int(found or 0) if state.state is State.FAILED else 0

    def lessen(self, run: Run) -> None:
        """Note what a run is started with: a micro-batch after it was out of memory (see `half`), a profile."""
        if self.options.profile:
            with suppress(RunBusyError), run.hold():
                run.write_state(profile=True)
        if self.options.retry_oom and (half := self.half(run.read_state())):
            with suppress(RunBusyError), run.hold():
                run.write_state(micro_batch=half)

    def started(self, run_id: str) -> None:
        """A run was started, or started again."""
        self.begun[run_id] = self.begun.get(run_id, 0) + 1
        self._lost.pop(run_id, None)
        self._since.pop(run_id, None)  # one that was preempted begins again: those are in the order in which they began
        self._starting[run_id] = None
        self.told.pop(run_id, None)

    def overdue(self, store: RunStore) -> list[str]:
        """Runs whose time is over, each once: they are to be told to stop. It begins when they say that they run."""
        limit = self.options.seconds
        if limit == math.inf:
            return []
        for run_id in [one for one in self._starting if store.run(one).read_state().state is State.RUNNING]:
            del self._starting[run_id]
            self._since[run_id] = time.monotonic()
        late = list(takewhile(lambda run_id: time.monotonic() - self._since[run_id] > limit, self._since))
        for run_id in late:
            del self._since[run_id]
        self.told |= {run_id: _mark(store.run(run_id)) for run_id in late}
        return late

    def ended(self, planned: Planned, run: Run, state: RunState, *, halted: bool) -> RunState:
        """What became of a run that has ended: `pending` where it is tried again, see `due`.

        Args:
            planned: The run.
            run: Its folder.
            state: As it was found there.
            halted: The sweep starts nothing more.
        """
        self._since.pop(planned.run_id, None)
        self._starting.pop(planned.run_id, None)
        self._lost.pop(planned.run_id, None)
        timed_out = planned.run_id in self.told and state.state in (State.INTERRUPTED, State.CRASHED)
        if timed_out and not halted:
            return self._timed_out(run, state)
        if state.state not in LOST:
            return state
        if (half := self.half(state)) and not halted:
            self._pause(0.0, planned, state)
            return RunState(State.PENDING, f"{state.state} ({state.reason}): again at train.micro_batch={half}")
        tries = self._tries.get(planned.run_id, 0) + 1
        if tries <= self.options.retries and not halted:
            self._tries[planned.run_id] = tries
            pause = min(BACKOFF * 2 ** (tries - 1), LONGEST)
            self._pause(pause, planned, state)
            again = f"again in {spelt(pause)}, {tries} of {self.options.retries}"
            return RunState(State.PENDING, f"{state.state} ({state.reason}): {again}")
        self.failures += 1
        return state

    def _pause(self, seconds: float, planned: Planned, state: RunState) -> None:
        heapq.heappush(self._paused, (time.monotonic() + seconds, planned.run_id, planned))
        self._lost[planned.run_id] = planned, state

    def _timed_out(self, run: Run, state: RunState) -> RunState:
        """Write down why a run was stopped, and that it is not to go on without being asked."""
        wrote = _mark(run) not in (None, self.told[run.run_id])
        killed = "" if wrote else "; killed, as it wrote no checkpoint when it was told to"
        limit = self.options.seconds
        reason = f"timeout after {spelt(limit)}{killed}"
        with suppress(ValueError, OSError), run.hold():  # somebody else goes on with it, or there is no room
            run.write_state(state=State.INTERRUPTED, reason=reason, timeout=limit, ended=now())
        return RunState(State.INTERRUPTED, reason, state.info)

    @property
    def pausing(self) -> bool:
        """Whether there are runs that will be tried again."""
        return bool(self._paused)

    def due(self) -> list[Planned]:
        """Runs whose pause is over: they are to be started again."""
        over = []
        while self._paused and self._paused[0][0] <= time.monotonic():
            over.append(heapq.heappop(self._paused)[2])
        return over

    def given_up(self) -> list[tuple[Planned, RunState]]:
        """Runs that would have been tried again, and how they ended, once nothing more is started."""
        over = [*self._lost.values()]
        self._paused.clear()
        self._lost.clear()
        return [(planned, replace(state, reason=f"{state.reason}: not tried again")) for planned, state in over]

    def enough(self) -> str:
        """Why nothing more is to be started after the failures so far; empty where they are too few."""
        asked = "1" if self.options.on_error is OnError.STOP else self.options.stop_after
        if asked is None:
            return ""
        number, share = failures_of(asked)
        if self.failures < (number or max(1, math.ceil(share * self.total))):
            return ""
        return "stopping at the first failure, as asked" if asked == "1" else f"stopping {self._after(share)}, as asked"

    def _after(self, share: float) -> str:
        of = f" of {self.total:,} runs" if share else ""
        return f"after {count(self.failures, 'failure')}{of}"
