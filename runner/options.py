"""What a command was asked for, parsed. Standard library only: `--help` and completion list the choices from here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from batchlab.results.show.sheet import Format
from batchlab.results.store.runs import RunStore


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


@dataclass(frozen=True)
class GridOptions:
    """What a grid is beside the product of its overrides.

    Attributes:
        zip: Keys with commas between that move together, as they were typed.
        skip: Conditions `AXIS=VALUE,AXIS=VALUE`; what meets all of one is left out.
        draws: Points of the intervals; None: there is no interval.
        search: How they are chosen; None: by Halton's sequence.
        search_seed: Other points for another one; None: 0.

    Raises:
        ValueError: A search without a budget, or what no command line can ask for.
    """

    zip: Sequence[str] = ()
    skip: Sequence[str] = ()
    draws: int | None = None
    search: Search | None = None
    search_seed: int | None = None

    def __post_init__(self) -> None:
        for name, texts, example in (("zip", self.zip, "seed,optimizer"), ("skip", self.skip, "optimizer=shb,seed=1")):
            for text in texts:
                if not isinstance(text, str):
                    raise ValueError(f"{name} takes texts with commas between, such as {example!r}, not {text!r}")
        for name, number, least in (("draws", self.draws, 1), ("search_seed", self.search_seed, 0)):
            if number is not None and not (isinstance(number, int) and number >= least):
                raise ValueError(f"{name} must be a whole number of at least {least}, not {number!r}")
        if self.draws is None and not (self.search is None and self.search_seed is None):
            raise ValueError("--search and --search-seed go with --draws N, the number of points")


@dataclass(frozen=True)
class SweepOptions:
    """How to go about a sweep.

    Attributes:
        dry_run: Start nothing.
        retry: Start failed runs again.
        on_error: What to do after a failure.
        jobs_per_device: Runs that share a device; None: as the executor says.
        trust_code: Runs that were made of other code or data count as they are.
        rerun: Train every run from its beginning, done or not.
    """

    dry_run: bool = False
    retry: bool = False
    on_error: OnError = OnError.CONTINUE
    jobs_per_device: int | None = None
    trust_code: bool = False
    rerun: bool = False


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
