"""What a user sees while a sweep runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchlab.results.axes import CHOICES
from batchlab.results.store import parquet
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, RunState, State
from batchlab.results.words import caption, count, duration
from batchlab.runner.before import tally
from batchlab.runner.bunch import FEW, Bunch, reason, shared
from batchlab.runner.plan.config import Planned

MAIN = ("test_accuracy", "test_loss", "gap", "objective", "validation_accuracy", "train_loss")
"""What is said of a run that is done: the first of these that it has measured."""
WIDE = 120
"""From here on a terminal has room for whole names, and all figures of a row."""
SHOWN = ("epoch", "train_loss", "test_loss", "test_accuracy", "objective", "gap")
READ = 32
"""So many runs' files are read at a time, each when it is its turn: a thousand at once would be thousands of reads."""
COLOURS = {
    State.DONE: "green",
    State.DIVERGED: "yellow",
    State.INTERRUPTED: "yellow",
    State.CANCELLED: "yellow",
    State.PENDING: "yellow",
}
ENDED = (State.DONE, State.DIVERGED, State.FAILED)
"""Of a run that somebody trained; others may have waited in a queue until now."""
CUT_OFF = (State.INTERRUPTED, State.CANCELLED)
"""Of a run that goes on another time."""


def title(planned: Planned) -> str:
    """What sets a run apart in its sweep, for people; the whole choice where nothing was asked for."""
    axes = ("optimizer", "lr_schedule", "batch_schedule", "model", "dataset")
    return caption(planned.labels, planned.overrides) or " ".join(str(planned.tree[axis]["name"]) for axis in axes)


def common(plans: Sequence[Planned]) -> frozenset[str]:
    """The overrides that all of several runs have."""
    return frozenset.intersection(*(frozenset(one.overrides) for one in plans)) if len(plans) > 1 else frozenset()


def brief(planned: Planned, shared: Collection[str] = ()) -> str:
    """The same for a narrow terminal: a choice by its name, a key by its last part, and nothing that all runs share.

    >>> one, other = (Planned("", {}, ("optimizer=shb", "optimizer.lr=0.1", f"seed={i}")) for i in (0, 1))
    >>> brief(one), brief(one, common([one, other]))
    ('shb lr=0.1 seed=0', 'seed=0')

    Args:
        planned: The run.
        shared: Overrides that those beside it have too.
    """
    apart = [text for text in planned.overrides if text not in shared] or planned.overrides
    parts = []
    for text in apart:
        key, _, value = text.partition("=")
        name = key.rpartition(".")[2]
        parts.append(value if key in CHOICES else f"{name}={value}")
    return caption(planned.labels, parts) or title(planned)


def result(row: dict[str, Any]) -> str:
    """What came of a run: `test_accuracy 94.1 %`; empty where its last row has none of `MAIN`."""
    for key in MAIN:
        if isinstance(value := row.get(key), (int, float)):
            return f"{key} {100 * value:.1f} %" if key.endswith("accuracy") else f"{key} {value:.4g}"
    return ""


def values(row: dict[str, Any]) -> str:
    """Epoch, losses, accuracy and gap of a row of metrics, as far as it has them."""
    parts = []
    for key in SHOWN:
        value = row.get(key)
        if isinstance(value, (int, float)):
            text = f"{100 * value:.1f} %" if key.endswith("accuracy") else f"{value:.4g}"
            parts.append(f"{key.replace('_', ' ')} {text}")
    return "  ".join(parts)


@dataclass
class Active:
    """A run that is being trained."""

    planned: Planned
    run: Run
    since: float
    last: str = ""
    done: float = 0.0


@dataclass
class Display:
    """Observes a sweep. `live` redraws a block at the bottom of a terminal; otherwise every event is a line."""

    console: Console
    live: bool
    follow: bool = False
    """Print every row of metrics as it arrives: for a single run."""
    total: int = 0
    counts: Counter[State] = field(default_factory=Counter)
    active: dict[str, Active] = field(default_factory=dict)
    turn: OrderedDict[str, Active] = field(default_factory=OrderedDict)
    """The same, those first that were not looked at for longest."""
    paused: set[str] = field(default_factory=set)
    """Runs that are to be tried again."""
    bunches: dict[str, Bunch] = field(default_factory=dict)
    """Of the runs that train together, with whom."""
    partial: float = 0.0
    """How much of the active runs is done, together."""
    rows: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    drawn: float = 0.0
    screen: Live | None = None
    standing: RenderableType = ""
    """What is decided so far and what is left, of a sweep that adds seeds: shown above its runs."""

    def begin(self, total: int, done: int, left: int) -> None:
        """Print how many runs are done already, left alone, and to be trained; counting starts anew."""
        self.close()
        self.counts, self.began = Counter(), time.monotonic()
        self.active, self.turn, self.paused, self.partial, self.bunches = {}, OrderedDict(), set(), 0.0, {}
        self.console.print(f"{count(total, 'run')}: {tally(total, done, left)}", highlight=False)
        self.total = left
        if self.live and left:
            self.screen = Live(self, console=self.console, refresh_per_second=4, transient=True)
            self.screen.start()

    def together(self, group: Sequence[Planned]) -> None:
        """Show runs that start next as one; in a terminal their ends too, once all have ended."""
        bunch = Bunch(group)
        self.bunches |= dict.fromkeys(bunch.left, bunch)

    def started(self, planned: Planned, run: Run, resumed: bool) -> None:
        """Show a run that starts, or goes on from its checkpoint."""
        if again := self.active.get(run.run_id):  # it was preempted
            self.partial -= again.done
        self.active[run.run_id] = self.turn[run.run_id] = Active(planned, run, time.monotonic())
        if not self.live:
            self.line(f"{run.run_id}  {'resumed' if resumed else 'started'}  {title(planned)}")

    def tick(self) -> None:
        """Read the progress of some of the runs that are being trained."""
        now = time.monotonic()
        if not (self.live or self.follow) or now - self.drawn < 0.25:
            return
        self.drawn = now
        for run_id, active in list(islice(self.turn.items(), READ)):
            self.turn.move_to_end(run_id)
            self._look(active)

    def _look(self, active: Active) -> None:
        """Read how far a run is, and what it measured last."""
        progress = active.run.read_progress()
        if progress.get("total"):
            before, active.done = active.done, progress["samples"] / progress["total"]
            self.partial += active.done - before
        try:
            rows = read_stream(active.run, "metrics")
        except ValueError:
            return
        if rows:
            active.last = values(rows[-1])
        if self.follow:
            self._print_new(active.run, rows)

    def ended(self, planned: Planned, run: Run, state: RunState) -> None:
        """Print one line about a run that has ended, here or elsewhere; it stays on the screen."""
        active = self.active.pop(run.run_id, None)  # none where it ended in a queue, before it began
        self.turn.pop(run.run_id, None)
        self.partial -= active.done if active else 0.0
        if self.follow and run.metrics.exists():  # the last rows were sealed since the tick before
            self._print_new(run, parquet.read(run.metrics).to_pylist())
        elsewhere = "elsewhere" if state.state in ENDED and run.run_id not in self.paused else ""
        took = duration(time.monotonic() - active.since) if active else elsewhere
        bunch = self.bunches.pop(run.run_id, None)
        if state.state is State.PENDING and not state.reason:  # it starts again at once
            self._fold(bunch, run, took)
            return
        (self.paused.add if state.state is State.PENDING else self.paused.discard)(run.run_id)
        if state.state not in (State.PENDING, State.RUNNING):  # they end another time
            self.counts[state.state] += 1
        if bunch and self.live:
            bunch.ended.append((planned, state))
            self._fold(bunch, run, took)
        else:
            self._end(run.run_id, state, took, self._title(planned), self._result(run, state))

    def _title(self, planned: Planned) -> str:
        return brief(planned) if self.live and self.console.width < WIDE else title(planned)

    def _result(self, run: Run, state: RunState) -> str:
        if state.state is not State.DONE or self.follow:  # who follows has seen it
            return ""
        try:
            table = parquet.read(run.metrics) if run.metrics.exists() else None
        except (OSError, ValueError):  # tables say what is wrong with it
            return ""
        return result(table.slice(table.num_rows - 1).to_pylist()[0]) if table is not None and table.num_rows else ""

    def _fold(self, bunch: Bunch | None, run: Run, took: str) -> None:
        """A run of a bunch has ended: with the last one, say how they all did."""
        if bunch is None:
            return
        bunch.left.discard(run.run_id)
        for state, ended in bunch.by_state().items() if not bunch.left else ():
            if len(ended) <= FEW:
                for planned, one in ended:
                    came = self._result(Run(run.folder.parent / planned.run_id), one)
                    self._end(planned.run_id, one, took, self._title(planned), came)
            else:
                plans, states = zip(*ended, strict=True)
                self._end(count(len(ended), "run"), RunState(state, reason(states)), took, shared(plans))

    def _end(self, who: str, state: RunState, took: str, what: str, came: str = "") -> None:
        narrow = self.live and self.console.width < WIDE
        how = f"{state.state:<{4 if narrow else 11}}  {took:>{6 if narrow else 9}}"
        self.line("  ".join(filter(None, [f"{who:<12}  {how}", came, what])), state.state)
        if state.reason and state.state is not State.DONE:
            self.line(f"              {state.reason}", state.state)

    def _print_new(self, run: Run, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows[self.rows.get(run.run_id, 0) :]:
            self.line(f"  {values(row)}")
        self.rows[run.run_id] = max(len(rows), self.rows.get(run.run_id, 0))  # none, once they are sealed

    def note(self, text: str) -> None:
        """Print a note in a line of its own."""
        self.line(text, State.INTERRUPTED)

    def line(self, text: str, state: State | None = None) -> None:
        """Print a line, above the live block where there is one."""
        colour = "" if state is None else COLOURS.get(state, "red")
        self.console.print(Text(text, style=colour), soft_wrap=True)

    def close(self) -> None:
        """End the live block."""
        if self.screen is not None:
            self.screen.stop()
            self.screen = None

    def __rich__(self) -> Group:
        wide = self.console.width >= WIDE
        table = Table.grid(padding=(0, 2), expand=True)  # a ratio holds only then
        table.add_column(no_wrap=True)
        table.add_column(width=20 if wide else 8)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True)
        fit = max(1, self.console.height - 4)
        lines, shown = self._lines(fit)
        for who, what, done, last in lines:
            bar = ProgressBar(total=1.0, completed=done, width=20 if wide else 8)
            table.add_row(who, bar, what, last if wide else last.rpartition("  ")[2])  # the last figure alone
        if len(self.active) > shown:
            table.add_row(f"and {count(len(self.active) - shown, 'more run')}")
        parts = [self.standing] if self.standing else []
        return Group(*parts, table, Text(self.summary(), style="bold"))

    def _lines(self, fit: int) -> tuple[list[tuple[str, str, float, str]], int]:
        """What is shown of the active runs: who, what it is, how much is done, what was measured; and of how many."""
        lines: list[tuple[str, str, float, str]] = []
        seen: list[Bunch] = []
        narrow = self.console.width < WIDE
        shared = common([active.planned for active in islice(self.active.values(), fit)]) if narrow else ()
        shown = 0
        for active in list(self.active.values()):
            bunch = self.bunches.get(active.run.run_id)
            if any(bunch is one for one in seen):
                continue
            if len(lines) == fit:
                break
            if bunch is None:
                shown += 1
                what = brief(active.planned, shared) if narrow else title(active.planned)
                lines.append((active.run.run_id, what, active.done, active.last))
                continue
            seen.append(bunch)
            among = [one for run_id in list(bunch.left) if (one := self.active.get(run_id))]
            shown += len(among)
            done = sum(one.done for one in among) / max(1, len(among))
            lines.append((f"{len(among)} together", bunch.title, done, active.last.partition("  ")[0]))
        return lines, shown

    def summary(self) -> str:
        """Counts, time so far and time left."""
        if not self.total:
            return "nothing to train"
        ended = sum(n for state, n in self.counts.items() if state not in CUT_OFF)
        parts = [f"{ended:,} of {count(self.total, 'run')}"]
        parts += [f"{n:,} {state}" for state, n in self.counts.items() if n and state is not State.DONE]
        parts.append(duration(time.monotonic() - self.began))
        progress = ended + self.partial
        if self.active and progress > 0.05 * self.total:
            spent = time.monotonic() - self.began
            parts.append(f"about {duration(spent / progress * (self.total - progress))} left")
        return "  ·  ".join(parts)
