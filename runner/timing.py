"""Where a command's time goes beside its runs: before the first of them, and at places that have nothing to do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from batchlab.results.store.run import now
from batchlab.results.store.runs import RunStore
from batchlab.results.store.times import Session, add_session
from batchlab.runner.launch.executors.base import Executor
from batchlab.runner.options import asked


class Timing:
    """The time of one command, for one sweep after the other.

    Args:
        executor: whose places are counted.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.since = asked[-1] if asked else time.monotonic()
        self.began = now()
        self.begin()

    def begin(self) -> None:
        """Runs can be started from here on."""
        self.first = self.marked = time.monotonic()
        self.free: int | None = None
        self.idle = self.tried = 0.0
        self._groups: dict[str, tuple[float, int]] = {}
        self.runs: list[str] = []

    def mark(self) -> None:
        """Places were free as they were at the mark before, until now."""
        at = time.monotonic()
        if self.free is not None:
            self.idle += self.free * (at - self.marked)
        self.marked, self.free = at, self.executor.free

    def started(self, run_ids: Sequence[str]) -> None:
        """These runs were started since the last mark, in one process: their place was theirs, as their time says."""
        before, free = self.free, self.executor.free
        if before is not None and free is not None:
            self.free = min(before, free)
        self.mark()
        self._groups |= dict.fromkeys(run_ids, (time.monotonic(), len(run_ids)))

    def parted(self, run_id: str) -> None:
        """A run of a group is to be trained alone: its share of the group's time is lost."""
        since, number = self._groups.pop(run_id, (time.monotonic(), 1))
        self.tried += (time.monotonic() - since) / number

    def ended(self, run_id: str) -> None:
        """A run has ended that was started here."""
        self.runs.append(run_id)

    def keep(self, store: RunStore, sweep: str) -> None:
        """Write down the time since the command began, or since this was called before; then it begins anew.

        Where that cannot be written it is not known: no reason to end a sweep.
        """
        self.mark()
        known = self.free is not None
        session = Session(
            self.began,
            round(self.marked - self.since, 3),
            round(self.first - self.since, 3),
            self.executor.places if known else None,
            round(self.idle, 3) if known else None,
            self.runs,
            round(self.tried, 3),
            self.executor.command,
        )
        if self.runs:
            with suppress(OSError):
                add_session(store, sweep, session)
        self.since, self.began = self.marked, now()
        self.begin()
