"""Runs of a sweep that other processes train: waited for, and taken over where they are left unfinished."""

from __future__ import annotations

import time
from collections.abc import Sequence

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count
from batchlab.runner.before import Before, look
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.stale import Staleness

EVERY = 1.0
"""Least seconds from one look at such runs to the next."""
SHARE = 20
"""A look may take so small a part of the time, however many runs there are."""


class Held:
    """The runs that other processes hold.

    Args:
        store: Where runs are kept.
        staleness: Which runs were made of other code or data; None: nobody asks.
        options: Which runs are started again.
    """

    def __init__(self, store: RunStore, staleness: Staleness | None, options: SweepOptions) -> None:
        self.store, self.staleness, self.options = store, staleness, options
        self.runs: list[Planned] = []
        self._next = 0.0
        self._told = False

    def __len__(self) -> int:
        return len(self.runs)

    def add(self, plans: Sequence[Planned]) -> None:
        """Wait for these runs too."""
        self.runs.extend(plans)

    def waiting(self) -> str:
        """What to say, once, when there is nothing left to do but to wait; empty afterwards, and where there is none.

        On exit the command has what it was asked for, so that `batchlab sweep ... && batchlab table` has it too.
        """
        if self._told or not self.runs:
            return ""
        self._told = True
        runs, it = count(len(self.runs), "run"), "it is" if len(self.runs) == 1 else "they are"
        return f"waiting for {runs} that another process trains, until {it} over or left unfinished (Ctrl-C ends that)"

    def look(self) -> tuple[list[Planned], Before]:
        """The runs that nobody holds any more, and what there is of them."""
        if not self.runs or time.monotonic() < self._next:
            return [], Before()
        began = time.monotonic()
        free = [p for p in self.runs if self.store.run(p.run_id).read_state().state is not State.RUNNING]
        found = look(free, self.store, self.staleness, self.options)
        again = {planned.run_id for planned in found.held}
        gone = {planned.run_id for planned in free} - again
        self.runs = [planned for planned in self.runs if planned.run_id not in gone]
        self._next = time.monotonic() + max(EVERY, SHARE * (time.monotonic() - began))
        return [planned for planned in free if planned.run_id in gone], found
