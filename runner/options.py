"""What a command was asked for, parsed. Standard library only: `--help` and completion list the choices from here."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from batchlab.results.show.kinds import AxisScale, Kind
from batchlab.results.show.sheet import Format
from batchlab.results.store.runs import RunStore

asked: list[float] = []
"""When the command of this process began, as `time.monotonic` has it; empty where there is none, as in a notebook."""


def usual_runs() -> Path | None:
    """The folder that BATCHLAB_RUNS names, `~` resolved as no shell has seen it; None where there is no such variable.

    Raises:
        ValueError: It names a home that there is not.
    """
    named = os.environ.get("BATCHLAB_RUNS")
    if not named:
        return None
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise ValueError(f"BATCHLAB_RUNS={named}: there is no such home; write the whole path") from error


def listed_store(runs: Path) -> RunStore:
    """Where runs are, for who lists them: where nobody named a folder there need be none yet.

    Raises:
        ValueError: A folder that was named and is not there.
    """
    store = RunStore(runs)
    return store if runs == (usual_runs() or Path("runs")) else store.there()


class OnError(StrEnum):
    """What a sweep does after a failure."""

    CONTINUE = "continue"
    STOP = "stop"


class Search(StrEnum):
    """How points of intervals are chosen."""

    HALTON = "halton"
    RANDOM = "random"


MAX_GRID = 100_000
"""Runs of a grid, where nobody says that more are meant."""


@dataclass(frozen=True)
class GridOptions:
    """What a grid is beside the product of its overrides.

    Attributes:
        zip: Keys with commas between that move together, as they were typed.
        skip: Conditions `AXIS=VALUE,AXIS=VALUE`; what meets all of one is left out.
        draws: Points of the intervals; None: there is no interval.
        search: How they are chosen; None: by Halton's sequence.
        search_seed: Other points for another one; None: 0.
        max_grid: So many runs it may have; None: `MAX_GRID`.

    Raises:
        ValueError: A search without a budget, or what no command line can ask for.
    """

    zip: Sequence[str] = ()
    skip: Sequence[str] = ()
    draws: int | None = None
    search: Search | None = None
    search_seed: int | None = None
    max_grid: int | None = None

    def __post_init__(self) -> None:
        for name, texts, example in (("zip", self.zip, "seed,optimizer"), ("skip", self.skip, "optimizer=shb,seed=1")):
            for text in texts:
                if not isinstance(text, str):
                    raise ValueError(f"{name} takes texts with commas between, such as {example!r}, not {text!r}")
        numbers = (("draws", self.draws, 1), ("search_seed", self.search_seed, 0), ("max_grid", self.max_grid, 1))
        for name, number, least in numbers:
            if number is not None and not (isinstance(number, int) and number >= least):
                raise ValueError(f"{name} must be a whole number of at least {least}, not {number!r}")
        if self.draws is None and not (self.search is None and self.search_seed is None):
            raise ValueError("--search and --search-seed go with --draws N, the number of points")


UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of a unit, as it is typed behind a number."""


def seconds_of(text: str) -> float:
    """A length of time in seconds.

    >>> seconds_of("30m"), seconds_of("1.5 h"), seconds_of("90")
    (1800.0, 5400.0, 90.0)

    Raises:
        ValueError: It is none, or no time at all.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)", text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else 0.0
    if not 0 < seconds < 1e9:  # thirty years
        raise ValueError(f"--timeout {text}: give a length of time, such as 90 (seconds), 30m or 2h")
    return seconds


def failures_of(text: str) -> tuple[int, float]:
    """After how many failures to stop, or after which share of the runs; the other of the two is 0.

    >>> failures_of("5"), failures_of("10%")
    ((5, 0.0), (0, 0.1))

    Raises:
        ValueError: It says neither.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)(%?)", text.strip())
    if found and found[2] and 0 < float(found[1]) <= 100:
        return 0, float(found[1]) / 100
    if found and not found[2] and found[1].isdigit() and len(found[1]) < 10 and int(found[1]) > 0:
        return int(found[1]), 0.0
    raise ValueError(f"--stop-after {text}: give a number of failures, such as 5, or a share of the runs, such as 10%")


MOST_TOGETHER = 256
"""Runs that train in one process: each has files open there."""


def most_together(value: object, option: str) -> int | None:
    """How many runs may train in one process; 1: each has its own; None: as many as is thought right.

    >>> most_together("auto", "--fuse"), most_together("off", "--fuse"), most_together("8", "--fuse")
    (None, 1, 8)

    Args:
        value: auto, off or a number, as a text or as YAML reads it, to which `off` is false.
        option: Where it was given.

    Raises:
        ValueError: It is none of these.
    """
    if value == "auto":
        return None
    if value is False or value == "off":
        return 1
    if not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,3}", str(value)) and 1 < int(str(value)) <= MOST_TOGETHER:
        return int(str(value))
    raise ValueError(
        f"{option}={value}: auto, off (each alone), or how many train in one process (2 to {MOST_TOGETHER})"
    )


@dataclass(frozen=True)
class SweepOptions:
    """How to go about a sweep.

    Attributes:
        dry_run: Start nothing.
        retry: Start failed runs again, and those that were stopped at their timeout.
        on_error: What to do after a failure.
        jobs_per_device: Runs that share a device; None: as the executor says.
        trust_code: Runs that were made of other code or data count as they are.
        rerun: Train every run from its beginning, done or not.
        timeout: Of each start of a run, `30m`, `2h` or seconds, as a text; None: no end.
        max_runs: So many are started at most; None: all.
        retries: So often a run that fails or crashes is started again by the same command.
        stop_after: Failures, or a share of the runs (`10%`), after which nothing more is started; None: never.
        retry_oom: What was out of memory is tried again at half its micro-batch.
        detach: Leave the runs to the engine's queue, and wait for none.
        fuse: How many runs train together in one process, `auto`, `off` or a number, as a text; None: as the executor
            says.
        profile: Tell the phases of steps apart.

    Raises:
        ValueError: What no command line can ask for.
    """

    dry_run: bool = False
    retry: bool = False
    on_error: OnError = OnError.CONTINUE
    jobs_per_device: int | None = None
    trust_code: bool = False
    rerun: bool = False
    timeout: str | None = None
    max_runs: int | None = None
    retries: int = 0
    stop_after: str | None = None
    retry_oom: bool = False
    detach: bool = False
    fuse: str | None = None
    profile: bool = False

    def __post_init__(self) -> None:
        if self.fuse is not None:
            most_together(self.fuse, "--fuse")
        if self.timeout is not None:
            seconds_of(self.timeout)
        if self.stop_after is not None:
            failures_of(self.stop_after)
            if self.on_error is OnError.STOP:
                raise ValueError("--on-error stop is --stop-after 1: give one of them")
        watched = {
            "--timeout": self.timeout,
            "--retries": self.retries,
            "--retry-oom": self.retry_oom,
            "--stop-after": self.stop_after,
            "--on-error stop": self.on_error is OnError.STOP,
        }
        if self.detach and (asked := [option for option, value in watched.items() if value]):
            raise ValueError(f"--detach leaves nobody to watch over {' and '.join(asked)}: leave one of them out")

    @property
    def seconds(self) -> float:
        """Of each start of a run; infinite without a timeout."""
        return math.inf if self.timeout is None else seconds_of(self.timeout)


@dataclass(frozen=True)
class Deciding:
    """How far to go until claims are decided.

    Attributes:
        max_seeds: At the last look; None: as it was declared, or the usual.
        max_minutes: Of this command; None: no end.
        smallest: Effects of interest as texts, `0.5` or `5%`; None: as declared, or as the recipe says.
    """

    max_seeds: int | None = None
    max_minutes: float | None = None
    smallest: list[str] | None = None


@dataclass(frozen=True)
class Printing:
    """How much is printed.

    Attributes:
        full: Every table and claim of a reproduction, not its verdicts alone.
        wide: Nothing is wrapped to a width.
    """

    full: bool = False
    wide: bool = False


@dataclass(frozen=True)
class PlotRequest:
    """What `batchlab plot` was asked for.

    Attributes:
        metric: What to plot.
        x: Clocks with commas between, or a key.
        hue: Axes: a line for each combination.
        panel: An axis; None: a single panel.
        kind: Curves, or a summary over problems.
        problems: Axes with commas between that make a problem; empty: the usual ones.
        scale: Of the y-axis; None: as the quantity asks.
        ylim: `LOW,HIGH`; None: room for what is drawn.
        where: Conditions.
        others: Alternatives to them.
        sweep: Only the runs of this sweep; None: all.
    """

    metric: str
    x: str
    hue: list[str]
    panel: str | None
    kind: Kind
    problems: str | None
    scale: AxisScale | None
    ylim: str | None
    where: list[str]
    others: list[str]
    sweep: str | None


@dataclass(frozen=True)
class TableRequest:
    """What `batchlab table` was asked for."""

    rows: list[str]
    cols: list[str]
    metrics: list[str]
    where: list[str]
    others: list[str]
    sweep: str | None
    baseline: list[str]
    tuned: str | None
    format: Format
    wide: bool = False
