"""What a user sees while a sweep runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchlab.results.store import parquet
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, RunState, State
from batchlab.results.words import caption, count
from batchlab.runner.before import tally
from batchlab.runner.plan.config import Planned

SHOWN = ("epoch", "train_loss", "test_loss", "test_accuracy", "objective", "gap")
COLOURS = {State.DONE: "green", State.DIVERGED: "yellow", State.INTERRUPTED: "yellow"}


def title(planned: Planned) -> str:
    """What sets a run apart in its sweep, for people; the whole choice where nothing was asked for."""
    axes = ("optimizer", "lr_schedule", "batch_schedule", "model", "dataset")
    return caption(planned.labels, planned.overrides) or " ".join(str(planned.tree[axis]["name"]) for axis in axes)


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def values(row: dict[str, Any]) -> str:
    """Epoch, losses, accuracy and gap of a row of metrics, as far as it has them."""
    parts = []
    for key in SHOWN:
        value = row.get(key)
        if isinstance(value, (int, float)):
            text = f"{value:.1%}" if key.endswith("accuracy") else f"{value:.4g}"
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
    seconds: list[float] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    drawn: float = 0.0
    screen: Live | None = None
    standing: RenderableType = ""
    """What is decided so far and what is left, of a sweep that adds seeds: shown above its runs."""

    def begin(self, total: int, done: int, left: int) -> None:
        """Print how many runs are done already, left alone, and to be trained; counting starts anew."""
        self.close()
        self.counts, self.seconds, self.began = Counter(), [], time.monotonic()
        self.console.print(f"{count(total, 'run')}: {tally(total, done, left)}", highlight=False)
        self.total = left
        if self.live and left:
            self.screen = Live(self, console=self.console, refresh_per_second=4, transient=True)
            self.screen.start()

    def started(self, planned: Planned, run: Run, resumed: bool) -> None:
        """Show a run that starts, or goes on from its checkpoint."""
        self.active[run.run_id] = Active(planned, run, time.monotonic())
        if not self.live:
            self.line(f"{run.run_id}  {'resumed' if resumed else 'started'}  {title(planned)}")

    def tick(self) -> None:
        """Read the progress of the runs that are being trained."""
        now = time.monotonic()
        if not (self.live or self.follow) or now - self.drawn < 0.25:
            return
        self.drawn = now
        for active in self.active.values():
            progress = active.run.read_progress()
            if progress.get("total"):
                active.done = progress["samples"] / progress["total"]
            try:
                rows = read_stream(active.run, "metrics")
            except ValueError:
                continue
            if rows:
                active.last = values(rows[-1])
            if self.follow:
                self._print_new(active.run, rows)

    def ended(self, planned: Planned, run: Run, state: RunState) -> None:
        """Print one line about a run that has ended; it stays on the screen."""
        active = self.active.pop(run.run_id)
        if self.follow and run.metrics.exists():  # the last rows were sealed since the tick before
            self._print_new(run, parquet.read(run.metrics).to_pylist())
        took = time.monotonic() - active.since
        self.seconds.append(took)
        self.counts[state.state] += 1
        self.line(f"{run.run_id}  {state.state:<11}  {duration(took):>9}  {title(planned)}", state.state)
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
        wide = self.console.width >= 120
        table = Table.grid(padding=(0, 2), expand=True)  # a ratio holds only then
        table.add_column(no_wrap=True)
        table.add_column(width=20 if wide else 8)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True)
        for active in list(self.active.values()):
            bar = ProgressBar(total=1.0, completed=active.done, width=20 if wide else 8)
            last = active.last if wide else active.last.rpartition("  ")[2]  # the last figure alone
            table.add_row(active.run.run_id, bar, title(active.planned), last)
        parts = [self.standing] if self.standing else []
        return Group(*parts, table, Text(self.summary(), style="bold"))

    def summary(self) -> str:
        """Counts, time so far and time left."""
        if not self.total:
            return "nothing to train"
        ended = sum(n for state, n in self.counts.items() if state is not State.INTERRUPTED)
        parts = [f"{ended:,} of {count(self.total, 'run')}"]
        parts += [f"{n:,} {state}" for state, n in self.counts.items() if state is not State.DONE]
        parts.append(duration(time.monotonic() - self.began))
        progress = ended + sum(a.done for a in self.active.values())
        if self.active and progress > 0.05 * self.total:
            spent = time.monotonic() - self.began
            parts.append(f"about {duration(spent / progress * (self.total - progress))} left")
        return "  ·  ".join(parts)
