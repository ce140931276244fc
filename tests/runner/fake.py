"""An engine without processes: a clock of its own, and runs that end by having their state written."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack

from batchlab.results.store.run import FINISHED, Run, RunBusyError
from batchlab.runner.launch.executors import AskedExecutor, Ended, EngineLostError
from batchlab.runner.launch.process import APART, BUSY, INTERRUPTED


class FakeExecutor(AskedExecutor):
    """Keeps each run's lock as long as it lasts, as processes do, so that a second driver finds it busy.

    Args:
        width: Runs at a time.
        seconds: How long each lasts, on the engine's clock.
    """

    def __init__(self, *, width: int = 4, seconds: float = 60.0) -> None:
        self.width, self.seconds = width, seconds
        self.clock = 0.0
        self.asked_at: list[float] = []
        self.started: list[str] = []
        self.due: list[tuple[float, int, Run, int]] = []
        """When runs end, the first on top; a number that tells two of one moment apart; their codes."""
        self.locks: dict[str, ExitStack] = {}
        self.lost = False
        self.groups: list[list[str]] = []
        self.count = 0
        self.beside: set[str] = set()
        """Runs in the process of another, which take no place."""
        self.refused = ""
        """Why no runs can be trained together."""

    def now(self) -> float:
        """The engine's time."""
        return self.clock

    def sleep(self, seconds: float) -> None:
        """It costs nothing."""
        self.clock += seconds

    def room(self, nproc: int) -> bool:
        """Whatever its ranks, a run takes one place."""
        self._there()
        return len(self.due) - len(self.beside) < self.width

    def start_together(self, runs: Sequence[Run]) -> None:
        """They begin and end at the same time."""
        self.groups.append([run.run_id for run in runs])
        self.beside |= {run.run_id for run in runs[1:]}
        for run in runs:
            if self.refused:
                run.write_state(state="interrupted", apart=self.refused)
                self.count += 1
                heapq.heappush(self.due, (self.clock, self.count, run, APART))
            else:
                self.start(run, 1)

    def start(self, run: Run, nproc: int) -> None:
        """Hold the run, if nobody else does."""
        self._there()
        self.count += 1
        lock, code, ends = ExitStack(), 0, self.clock + self.seconds
        try:
            lock.enter_context(run.hold())
            if run.read_state().state not in FINISHED:
                run.write_state(state="running")
                self.locks[run.run_id] = lock
                self.started.append(run.run_id)
            else:
                lock.close()
        except RunBusyError:
            code, ends = BUSY, self.clock
        heapq.heappush(self.due, (ends, self.count, run, code))

    def ask(self) -> list[Ended]:
        """End those whose time has come; their checkpoints go with them."""
        self._there()
        self.asked_at.append(self.clock)
        ended = []
        while self.due and self.due[0][0] <= self.clock:
            _, _, run, code = heapq.heappop(self.due)
            self.beside.discard(run.run_id)
            if run.run_id in self.locks:
                if code == 0:
                    run.write_state(state="done", reason=None, sealed={})  # it has no rows
                    run.checkpoint.unlink(missing_ok=True)
                self.locks.pop(run.run_id).close()
            ended.append(Ended(run, code))
        return ended

    def stop(self, run: Run | None = None) -> None:
        """Checkpoints are written at once."""
        for place, (_, number, one, code) in enumerate(self.due):
            if code == 0 and run in (None, one):
                if one.run_id in self.locks:
                    one.checkpoint.write_bytes(b"")
                    one.write_state(state="interrupted")
                self.due[place] = (self.clock, number, one, INTERRUPTED)
        heapq.heapify(self.due)

    def close(self, *, kill: bool = False) -> None:
        """Let go of all locks: what still says `running` has crashed."""
        for lock in self.locks.values():
            lock.close()
        self.due, self.locks, self.beside = [], {}, set()

    def lose(self) -> None:
        """The engine is gone, and its runs with it."""
        self.close()
        self.lost = True

    def _there(self) -> None:
        if self.lost:
            raise EngineLostError("the fake engine does not answer any more")
