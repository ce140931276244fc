"""One value of a key for each cell of a table, chosen on seeds that are then judged in nothing.

**The rule** (`best_value`): of the values on offer the one whose runs are best on the seeds that choose; a value with a
run that did not finish, or gave no number, is never chosen; of equals the smaller is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Fate, of_run
from batchlab.results.compare.replicates import Key
from batchlab.results.words import count, listing


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


@dataclass(frozen=True)
class Tuning:
    """What was chosen for a table.

    Attributes:
        frame: The runs that are judged: of the other seeds, each cell at its chosen value.
        key: What was tuned.
        metric: What chose.
        seeds: That chose.
        judged: The others.
        chosen: By cell the value.
        stuck: Cells of which no value finished all its runs: the first value stands for the failure.
        offered: How many values each cell had.
    """

    frame: Frame
    key: str
    metric: Metric
    seeds: list[Any]
    judged: list[Any]
    chosen: dict[Key, Any]
    stuck: list[Key]
    offered: int

    @property
    def notes(self) -> list[str]:
        """What to know before reading the table."""
        values = [f"{_name(cell)} {v}{'*' if cell in self.stuck else ''}" for cell, v in self.chosen.items()]
        notes = [
            f"{self.key} was chosen by {self.metric} on {_seeds(self.seeds)}, not judged here, from "
            f"{count(self.offered, 'value')} each: {', '.join(values)}"
        ]
        if self.stuck:
            notes.append(f"*: no value of {self.key} finished on every seed that chooses; the first stands for it")
        if self.metric.name.startswith("test_"):
            notes.append("chosen by a test metric: use validation_accuracy (dataset.validation=0.1)")
        return notes


def choose(frame: Frame, key: str, metric: Metric, axes: Sequence[str]) -> Tuning:
    """Choose a value of `key` for each cell on the first half of the seeds (rounded down, at least one).

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
    values = frame.values(key)
    known = metric.of(frame).quantity
    if known.better is None:
        raise ValueError(f"--tuned {key}: {metric} is neither better up nor down; name one that is as first --metric")
    seeds = frame.values("seed") if frame.runs else []
    if len(seeds) < 2:
        raise ValueError(f"--tuned {key}: there is {count(len(seeds), 'seed')}; the first half of at least 2 chooses")
    first = seeds[: len(seeds) // 2]
    costs = _costs(frame, key, metric, axes, first)
    sizes = {cell: len(offered) for cell, offered in costs.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{_name(cell)} {n}" for cell, n in sizes.items())
        raise ValueError(
            f"--tuned {key}: unequal budgets of tuning flatter whoever has more ({told} values on "
            f"{_seeds(first)}): run the others, or take as many of each by --where {key}=VALUE,..."
        )
    best = {cell: best_value(offered, np.mean) for cell, offered in costs.items()}
    stuck = [cell for cell, value in best.items() if value is None]
    chosen = best | {cell: next(value for value in values if value in costs[cell]) for cell in stuck}

    def kept(run: RunRow) -> bool:
        own = chosen.get(tuple(map(run.value, axes)), MISSING)
        return run.value("seed") not in first and run.value(key) == own != MISSING

    offered = max(sizes.values(), default=0)
    return Tuning(frame.select(kept), key, metric, first, seeds[len(first) :], chosen, stuck, offered)


def _costs(
    frame: Frame, key: str, metric: Metric, axes: Sequence[str], seeds: Sequence[Any]
) -> dict[Key, dict[Any, list[float]]]:
    """By cell and value what the runs of the seeds that choose came to, less is better; infinite where to nothing.

    A value that lacks a seed which another value of its cell has did not finish.
    """
    known, measured = metric.of(frame).quantity, metric.measure(frame)
    sign = 1.0 if known.better == "down" else -1.0
    found: dict[Key, dict[Any, list[float]]] = {}
    had: dict[tuple[Key, Any], set[Any]] = {}
    for i, run in enumerate(frame.runs):
        if run.value("seed") not in seeds or run.value(key) == MISSING:
            continue
        cell, outcome = tuple(map(run.value, axes)), of_run(run, i, measured, log=known.log)
        whole = outcome is not None and outcome.fate is Fate.MEASURED
        value = (math.log(outcome.value) if known.log else outcome.value) if outcome and whole else math.nan
        found.setdefault(cell, {}).setdefault(run.value(key), []).append(sign * value if whole else math.inf)
        had.setdefault((cell, run.value(key)), set()).add(run.value("seed"))
    for cell, offered in found.items():
        every = set().union(*(had[cell, value] for value in offered))
        for value, own in offered.items():
            if had[cell, value] != every:
                own.append(math.inf)
    return found


def _seeds(seeds: Sequence[Any]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listing([str(seed) for seed in seeds])}"


def _name(cell: Key) -> str:
    return " · ".join(map(str, cell))
