"""What runs and metrics say of themselves that a reader of tables and verdicts must know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from batchlab.results.axes import CONTENDED
from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.words import listing

TRIALS = "tuning_runs"
"""What a run that is judged at chosen values says: of each choice, from how many tuning runs it was made."""
SOURCES = "sources"
"""What a row that was made of several runs says: the identities of the others."""


def contended(runs: Iterable[RunRow]) -> float:
    """The greatest wall over processor time of these runs that is above `CONTENDED`; 0 where none is."""
    ratios = [run.info.get("contention") for run in runs]
    return max((float(r) for r in ratios if isinstance(r, (int, float)) and r > CONTENDED), default=0.0)


def together(runs: Iterable[RunRow]) -> int:
    """How many of these runs trained in one process with others: their seconds are a share of what all took.

    Seeds of a group have one time between them, whose spread says nothing of how it would vary.
    """
    return sum(isinstance(n := run.info.get("fused"), int) and n > 1 for run in runs)


def together_note(runs: Iterable[RunRow]) -> list[str]:
    """What to say of them beside seconds; nothing where each trained alone."""
    if not (n := together(runs)):
        return []
    return [
        f"{n:,} of these runs trained together: their seconds are shares of a group's, to compare times train with "
        "--fuse off"
    ]


def timed(metric: Metric, at: str | None = None) -> bool:
    """Whether a comparison is one of seconds: read at equal time, up to a time, or of a time."""
    return "seconds" in (at, metric.reduce, metric.budget) or metric.name.endswith("seconds")


def uneven_tuning(runs: Iterable[RunRow], match: Sequence[str]) -> str:
    """That what is compared was chosen from more runs here than there; empty where it was not.

    Args:
        runs: Of all sides.
        match: Keys of which runs with different values are not compared.
    """
    strata: dict[tuple[Any, ...], set[int]] = {}
    for run in runs:
        strata.setdefault(tuple(map(run.value, match)), set()).update(run.info.get(TRIALS, []))
    uneven = sorted({n for numbers in strata.values() if len(numbers) > 1 for n in numbers})
    if not uneven:
        return ""
    return f"unequal tuning flatters whoever has more: chosen from {listing(list(map(str, uneven)))} tuning runs"


def batchnorm_parts(runs: Iterable[RunRow]) -> dict[int, int]:
    """Images that BatchNorm saw at a time -> the largest batch they were part of, of the runs where that is more."""
    found: dict[int, int] = {}
    for run in runs:
        part, batch = run.info.get("batchnorm_part"), run.info.get("largest_batch")
        if isinstance(part, int) and isinstance(batch, int) and part < batch:
            found[part] = max(batch, found.get(part, 0))
    return found


def batchnorm_note(parts: dict[int, int]) -> list[str]:
    """What to say of them; nothing where BatchNorm saw whole batches.

    >>> batchnorm_note({512: 1442})
    ["BatchNorm saw parts of 512 of batches of up to 1,442: their gradient is another than the whole batch's"]
    """
    if not parts:
        return []
    said = listing([f"parts of {part:,} of batches of up to {batch:,}" for part, batch in sorted(parts.items())])
    return [f"BatchNorm saw {said}: their gradient is another than the whole batch's"]


def selection_note(metrics: Iterable[Metric]) -> list[str]:
    """That a least or greatest value of the test set was picked by looking at it.

    >>> selection_note([Metric("test_accuracy", "max")])[0].partition(":")[0]
    'max of a test metric picks its evaluation on the test set'
    """
    chosen = {m.reduce: None for m in metrics if m.name.startswith("test_") and m.reduce in ("min", "max")}
    return [
        f"{listing(list(chosen))} of a test metric picks its evaluation on the test set: whoever scatters more gains; "
        "read the last evaluation, or choose by validation_accuracy (dataset.validation=0.1)"
    ] * bool(chosen)
