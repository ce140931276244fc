"""10,000 runs through the scheduler, with an engine that trains nothing: what it reads, asks and keeps, in counts."""

from __future__ import annotations

import io
import math
import os
import pathlib
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from fake import FakeExecutor
from rich.console import Console
from runs import one

import batchlab.runner.display as display
from batchlab.results.store.run import Run, RunState, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.display import READ, Display
from batchlab.runner.launch.executors.base import ASK_SECONDS
from batchlab.runner.plan.config import Planned
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze, run_sweep

A_WORD = 5
"""Lines by which two ticks differ because one has more to say (minutes, not seconds), whatever the sizes."""
NAMES = ("scheduler.py", "sweep.py", "display.py", "policies.py")
SCHEDULER = tuple(str(Path(display.__file__).parent / name) for name in NAMES)


def allocated() -> int:
    """Bytes in use, without the interpreter's table of names, which paths enter and leave and which grows by leaps."""
    elsewhere = tracemalloc.Filter(False, pathlib.__file__)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([elsewhere]).traces)


class Counted(Display):
    """A display that watches the scheduler, too: what was read, and how many lines of its code ran, tick by tick."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO(), width=100, height=40, force_terminal=True), live=True)
        self.reads: Counter[str] = Counter()
        self.lines = self.events = self.count = 0
        self.ticks: list[tuple[int, int, int]] = []
        """Of each tick that was traced its lines, the runs that began or ended in it, and the files read."""
        self.memory: list[int] = []

    def begin(self, total: int, done: int, left: int) -> None:
        super().begin(total, done, left)
        self.close()  # nobody redraws it beside us: a tick draws it below
        self.live = True

    def started(self, planned: Planned, run: Run, resumed: bool) -> None:
        self.events += 1
        super().started(planned, run, resumed)

    def ended(self, planned: Planned, run: Run, state: RunState) -> None:
        self.events += 1
        super().ended(planned, run, state)

    def line(self, text: str, state: State | None = None) -> None:
        """A terminal has what is printed; it is not part of what the scheduler keeps."""

    def tick(self) -> None:
        self.count += 1
        self.drawn = 0.0 if self.count % 5 == 0 else math.inf  # twice a second of the engine's, whatever the wall says
        before = self.reads["progress"]
        super().tick()
        if self.count % 5 == 0:
            self.__rich__()
        if tracemalloc.is_tracing():
            self.memory += [allocated()] if self.count % 500 == 0 else []
        else:
            self.ticks.append((self.lines, self.events, self.reads["progress"] - before))
        self.lines = self.events = 0


@contextmanager
def counting(watcher: Counted) -> Iterator[None]:
    """Count reads of states and of progress, and the lines that the scheduler and the display execute."""

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        watcher.lines += event == "line"
        return lines

    def calls(frame: FrameType, event: str, _: Any) -> Any:
        return lines if frame.f_code.co_filename in SCHEDULER else None

    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_state", "read_progress"):
            read = getattr(Run, name)

            def counted(run: Run, read: Any = read, name: str = name) -> Any:
                watcher.reads[name.removeprefix("read_")] += 1
                return read(run)

            patch.setattr(Run, name, counted)
        sys.settrace(calls)
        try:
            yield
        finally:
            sys.settrace(None)


def simulated(root: Path, n: int, width: int, *, memory: bool = False) -> tuple[Report, Counted, FakeExecutor]:
    """A sweep of so many runs, so many of them at a time, 30 s each on the engine's clock."""
    tree = one().tree
    plans = [Planned(f"{i:012x}", tree, (f"seed={i}",), {}) for i in range(n)]
    store, watcher, engine = RunStore(root).prepare(), Counted(), FakeExecutor(width=width, seconds=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # what is done is counted, not how long a disk takes
        freeze(store, "simulated", plans)
        if memory:
            tracemalloc.start()
            try:
                report = run_sweep(plans, store, engine, watcher)
            finally:
                tracemalloc.stop()
        else:
            with counting(watcher):
                report = run_sweep(plans, store, engine, watcher)
    return report, watcher, engine


def check(n: int, report: Report, watcher: Counted, engine: FakeExecutor) -> int:
    """What must hold of any sweep; how many lines run in a tick in which nothing happens, at most."""
    assert +report.states == {State.DONE: n}
    assert len(engine.started) == len(set(engine.started)) == n, "each once"
    gaps = [b - a for a, b in pairwise(engine.asked_at)]
    assert min(gaps) >= ASK_SECONDS, "the engine is asked about all its runs at once, and seldom"
    assert watcher.reads["state"] <= 3 * n, "before the first starts and when it has ended; once by the engine"
    idle = max(lines for lines, events, _ in watcher.ticks if not events)
    print(
        f"{n:,} runs, {engine.width} at a time: {watcher.count:,} ticks in {engine.clock:,.0f} s, asked "
        f"{len(engine.asked_at):,} times, {watcher.reads['state']:,} states read, {idle} lines in an idle tick at most"
    )
    for lines, events, reads in watcher.ticks:
        assert lines <= idle + 70 * events, "what begins or ends costs the same whatever else there is"
        assert reads <= READ, "however many are trained"
    assert not watcher.active
    assert not watcher.turn
    assert watcher.partial == pytest.approx(0)
    return idle


def test_work_of_a_tick_does_not_grow_with_the_sweep(tmp_path: Path) -> None:
    """More runs, then more of them at a time: a tick costs the same."""
    sizes = ((80, 40), (160, 40), (160, 160))
    small, more, wide = (check(n, *simulated(tmp_path / f"{n}-{width}", n, width)) for n, width in sizes)
    assert more <= small + A_WORD
    assert wide <= small + A_WORD


@pytest.mark.slow
def test_ten_thousand_runs(tmp_path: Path) -> None:
    few, many = (check(n, *simulated(tmp_path / f"{n}", n, 500)) for n in (1_000, 10_000))
    assert many <= few + A_WORD


@pytest.mark.slow
def test_ten_thousand_runs_take_no_memory(tmp_path: Path) -> None:
    """From the second wave on the scheduler keeps nothing of a run that has ended."""
    _, watcher, _ = simulated(tmp_path, 10_000, 500, memory=True)
    grown = max(watcher.memory[1:]) - watcher.memory[1]
    print(f"grown by {grown:,} bytes in {watcher.count:,} ticks")
    assert grown < 100 * 10_000, "the identities of those that were begun"
