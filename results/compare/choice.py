"""One value of a key for each cell of a table, chosen on seeds that are then judged in nothing.

**The rule** (`best_value`): of the values on offer the one whose runs are best on the seeds that choose; a value with a
run that did not finish, or gave no number, is never chosen; of equals the smaller is taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.metrics import Metric, nothing
from batchlab.results.compare.outcomes import Fate, of_run
from batchlab.results.compare.replicates import Key
from batchlab.results.words import count, listing, written

TUNING = "tuning"
"""The label of runs that choose and are judged in nothing."""
MARKS = "*: the least or the greatest on offer, so a better one may lie beyond; †: of none all tuning runs finished"
"""What `Tuning.text` marks."""


LISTED = 6
"""So many cells that were tuned over more or fewer values than others are named."""
CHOOSERS = ("validation_accuracy", "validation_loss")
"""What may choose: nothing is judged by it."""


def validation(frame: Frame) -> Metric | None:
    """The validation metric that was recorded; None: none was.

    Args:
        frame: The runs, with the columns of `CHOOSERS`.
    """
    return next((Metric(name) for name in CHOOSERS if frame.has(name)), None)


def chooser(frame: Frame, metric: Metric) -> Metric:
    """What chooses the values at which a metric is judged: validation instead of a test metric, where it was recorded.

    Args:
        frame: The runs, with the columns of the metric and of `CHOOSERS`.
        metric: What is judged.
    """
    if not metric.name.startswith("test_"):
        return metric
    twin = Metric(metric.name.replace("test_", "validation_", 1))
    return twin if frame.has(twin.name) else validation(frame) or metric


def best_value(costs: Mapping[Any, Sequence[float]], centre: Callable[[Sequence[float]], float]) -> Any:
    """The value with the least cost, by the rule of this module.

    >>> from statistics import median
    >>> best_value({0.3: [1.0, 2.0], 0.1: [1.5, 1.5], 1.0: [0.0, math.inf]}, median)
    0.1

    Args:
        costs: For each value on offer what its runs came to, less is better; NaN or infinite for a run that did not
            finish or gave no number.
        centre: Makes one number of several, such as their mean.

    Returns:
        The value; None where no value finished all its runs.
    """
    whole = {value: float(centre(own)) for value, own in costs.items() if own and np.isfinite(own).all()}
    return min(whole, key=lambda value: (whole[value], value), default=None)


def judged(frame: Frame) -> Frame:
    """The runs that do not choose, which are the ones to show and compare; of a sweep without the label, all."""
    return frame.select(lambda run: run.value(TUNING) is not True)


def shown(frame: Frame, asked: Sequence[str]) -> tuple[Frame, list[str]]:
    """The runs that a table or a plot is of: not those that only choose, unless somebody asks for them.

    Args:
        frame: Runs, in any state.
        asked: Axes and keys that the user named.

    Returns:
        The runs, and a note where some were left out.
    """
    kept = judged(frame)
    left = len(frame.runs) - len(kept.runs)
    if not left or TUNING in asked:
        return frame, []
    return kept, [f"{count(left, 'tuning run')} left out: they only choose values (--where tuning=true shows them)"]


@dataclass(frozen=True)
class Tuning:
    """What was chosen, and the runs that are judged by it.

    Attributes:
        frame: The runs that are judged: of the other seeds, each cell at its chosen value.
        key: What was tuned.
        metric: What chose.
        seeds: That chose.
        chosen: By cell the value.
        stuck: Cells of which no value finished all its runs: the first value stands for the failure.
        offered: By cell what each value's runs came to, see `costs`.
    """

    frame: Frame
    key: str
    metric: Metric
    seeds: list[Any]
    chosen: dict[Key, Any]
    stuck: list[Key]
    offered: dict[Key, dict[Any, list[float]]]

    @property
    def found(self) -> dict[Key, Any]:
        """What was chosen, without the cells of which nothing was."""
        return {cell: value for cell, value in self.chosen.items() if cell not in self.stuck}

    @property
    def notes(self) -> list[str]:
        """What to know before reading the table."""
        values = [f"{_name(cell)} {written(v)}{'*' if cell in self.stuck else ''}" for cell, v in self.chosen.items()]
        offered = max(map(len, self.offered.values()), default=0)
        notes = [
            f"{self.key} was chosen by {self.metric} on {seeds_text(self.seeds)}, not judged here, from "
            f"{count(offered, 'value')} each: {', '.join(values)}"
        ]
        if self.stuck:
            notes.append(f"*: no value of {self.key} finished on every seed that chooses; the first stands for it")
        if self.metric.name.startswith("test_"):
            notes.append("chosen by a test metric: use validation_accuracy (dataset.validation=0.1)")
        return notes

    def text(self, cell: Key) -> str:
        """The value chosen for a cell, a number, with `MARKS`: `0.3`, `0.9*`, `0.1†`; empty where there is none."""
        if cell not in self.chosen:
            return ""
        stuck = cell in self.stuck
        return f"{written(self.chosen[cell])}{'†' if stuck else '*' if self.edge(cell) else ''}"

    def edge(self, cell: Key) -> bool:
        """Whether the value of a cell is the least or the greatest on offer, so that a better one may lie beyond."""
        values = self.offered[cell]
        return len(values) > 1 and self.chosen[cell] in (min(values), max(values))


def choose(frame: Frame, key: str, metric: Metric, axes: Sequence[str]) -> Tuning:
    """Choose a value of `key` for each cell on the tuning runs, or on the first half of the seeds (rounded down).

    Best is the best mean over those seeds, of the logarithm where the metric spans orders of magnitude; a target that
    was never reached gives no number.

    Args:
        frame: Runs of several seeds, in any state, with a value on every axis.
        key: A dotted configuration key or a label.
        metric: What chooses, by its direction.
        axes: Those that make a cell.

    Raises:
        ValueError: With the way out: a key that is an axis or that no run has, a metric without direction, a single
            seed, or cells with unequal numbers of values.
    """
    if key in axes:
        raise ValueError(f"--tuned {key}: it is an axis of the table; leave it out of --rows and --cols")
    frame.values(key)  # refuses a key that no run has
    known = metric.of(frame).quantity
    if known.better is None:
        raise ValueError(f"--tuned {key}: {metric} is neither better up nor down; name one that is as first --metric")
    choosing, others = _parted(frame, key)
    first = choosing.values("seed")
    made = settle(choosing, others, key, metric, axes)
    sizes = {cell: len(offered) for cell, offered in made.offered.items()}
    if len(set(sizes.values())) > 1:
        raise UnequalBudgetsError(key, sizes, seeds_text(first))
    return made


class UnequalBudgetsError(ValueError):
    """Some of those that are compared were tuned over more values than others.

    Attributes:
        sizes: Of each cell of a table, how many values it was offered.
        why: That, without the way out.
    """

    def __init__(self, key: str, sizes: Mapping[Key, int], seeds: str) -> None:
        self.sizes = sizes
        told = [f"{_name(cell)} {n}" for cell, n in sizes.items()]
        if len(told) > LISTED:
            usual = self.usual
            told = [f"{_name(cell)} {n}" for cell, n in sizes.items() if n != usual]
            told = [*told[:LISTED], f"{'the others' if len(told) <= LISTED else 'most'} {usual}"]
        self.why = f"unequal budgets of tuning flatter whoever has more ({', '.join(told)} values on {seeds})"
        super().__init__(
            f"--tuned {key}: {self.why}: run the others, or take as many of each by --where {key}=VALUE,..."
        )

    @property
    def usual(self) -> int:
        """How many values most cells were offered."""
        return Counter(self.sizes.values()).most_common(1)[0][0]


def _parted(frame: Frame, key: str) -> tuple[Frame, Frame]:
    """The runs that choose and those that are judged: by their label, or by halves of the seeds where none has it."""
    others = judged(frame)
    if len(others.runs) < len(frame.runs):
        return frame.where(**{TUNING: True}), others
    seeds = frame.values("seed") if frame.runs else []
    if len(seeds) < 2:
        raise ValueError(f"--tuned {key}: there is {count(len(seeds), 'seed')}; the first half of at least 2 chooses")
    half = len(seeds) // 2
    return frame.where(seed=seeds[:half]), frame.where(seed=seeds[half:])


def settle(
    choosing: Frame, others: Frame, key: str, metric: Metric, axes: Sequence[str], ties: Metric | None = None
) -> Tuning:
    """Choose a value of `key` for each cell on some runs, and take the others of it.

    Best is the best mean of the metric over the runs that choose, of its logarithm where it spans orders of magnitude.

    Args:
        choosing: The runs that choose; no seed of theirs is among the others.
        others: The runs that are judged.
        key: What is chosen.
        metric: What chooses, by its direction.
        axes: Those that make a cell.
        ties: Chooses between values of equal mean; None, or where they are equal in it too: the smaller is taken.
    """
    offered = costs(choosing, key, metric, axes)
    best = {cell: best_value(own, np.mean) for cell, own in offered.items()}
    if ties is not None and ties.name in choosing.names:
        second = costs(choosing, key, ties, axes)
        best = {cell: _among_equals(offered[cell], second[cell], value) for cell, value in best.items()}
    stuck = [cell for cell, value in best.items() if value is None]
    values = choosing.values(key) if stuck else []
    chosen = best | {cell: next(value for value in values if value in offered[cell]) for cell in stuck}

    def kept(run: RunRow) -> bool:
        own = chosen.get(tuple(map(run.value, axes)), MISSING)
        return own != MISSING and bool(run.value(key) == own)

    seeds = choosing.values("seed") if choosing.runs else []
    return Tuning(others.select(kept), key, metric, seeds, chosen, stuck, offered)


def _among_equals(offered: Mapping[Any, Sequence[float]], second: Mapping[Any, Sequence[float]], best: Any) -> Any:
    """Of the values whose mean cost is that of the best one, the one that costs least by the second measure."""
    if best is None:
        return None
    least = float(np.mean(offered[best]))
    equal = [value for value, own in offered.items() if math.isclose(float(np.mean(own)), least, rel_tol=1e-12)]
    least_of_equals = best_value({value: second[value] for value in equal}, np.mean)
    return best if least_of_equals is None else least_of_equals


def costs(
    frame: Frame, key: str, metric: Metric, axes: Sequence[str], *, log: bool | None = None
) -> dict[Key, dict[Any, list[float]]]:
    """By cell and value what the runs that choose came to, less is better; infinite where to nothing.

    A value that lacks a seed which another value of its cell has did not finish.

    Args:
        frame: The runs that choose.
        key: What is chosen.
        metric: What chooses.
        axes: Those that make a cell.
        log: Whether its logarithm does; None: where the metric spans orders of magnitude.
    """
    known = metric.of(frame).quantity
    log = known.log if log is None else log
    measured = metric.measure(frame) if metric.name in frame.names else nothing(frame)
    sign = 1.0 if known.better == "down" else -1.0
    found: dict[Key, dict[Any, list[float]]] = {}
    had: dict[tuple[Key, Any], set[Any]] = {}
    for i, run in enumerate(frame.runs):
        if run.value(key) == MISSING:
            continue
        cell, outcome = tuple(map(run.value, axes)), of_run(run, i, measured, log=log)
        whole = outcome is not None and outcome.fate is Fate.MEASURED
        value = (math.log(outcome.value) if log else outcome.value) if outcome and whole else math.nan
        found.setdefault(cell, {}).setdefault(run.value(key), []).append(sign * value if whole else math.inf)
        had.setdefault((cell, run.value(key)), set()).add(run.value("seed"))
    for cell, offered in found.items():
        every = set().union(*(had[cell, value] for value in offered))
        for value, own in offered.items():
            if had[cell, value] != every:
                own.append(math.inf)
    return found


def seeds_text(seeds: Sequence[Any]) -> str:
    """`seeds 101 and 102`."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listing([str(seed) for seed in seeds])}"


def _name(cell: Key) -> str:
    return " · ".join(map(str, cell))
