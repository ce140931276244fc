"""A tuned value of each method, chosen from finished runs by the rule of `choice`: two ways to keep it from judging.

`tuned` lets each seed choose by all the others and judges every seed: best is the best mean. `Study` sets seeds aside
that choose and are judged in nothing: best is the least median loss, for each reading (equal epochs, gradient
evaluations, time) within the largest budget of that reading that every finished run has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np

from batchlab.results.compare.choice import best_value
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget
from batchlab.results.compare.replicates import Key
from batchlab.results.compare.table import Table, build_table
from batchlab.results.store.run import State

READINGS = ("epochs", "gradients", "seconds")


@dataclass(frozen=True)
class Chosen:
    """What `tuned` chose for one seed of one cell.

    Attributes:
        cell: The values of the keys that make a cell.
        seed: The seed that is judged at this value.
        value: The chosen one.
        edge: It was the least or the greatest on offer, so a better one may lie beyond.
    """

    cell: Key
    seed: Any
    value: Any
    edge: bool


def tuned(frame: Frame, metric: Metric, over: str, within: Sequence[str]) -> tuple[Frame, list[Chosen]]:
    """For each seed, the run at the value of `over` that was best on the OTHER seeds; and what was chosen.

    Choosing and judging on the same seeds would flatter whoever has more to choose from. Best is the best mean of the
    metric over the other seeds (of its logarithm where it spans orders of magnitude). Where no value finished on all of
    them, the least stands for the failure. With one seed there is nothing to choose by: no run.

    Args:
        frame: Runs of several seeds, in any state.
        metric: What is best, by its direction.
        over: A key with numbers (`optimizer.lr`).
        within: The keys of a cell, in which every seed has the same values on offer.

    Returns:
        The chosen runs, one for each seed of each cell, and what was chosen, in the same order.
    """
    known = metric.of(frame).quantity
    sign = 1.0 if known.better == "down" else -1.0
    cells: dict[Key, dict[Any, dict[Any, tuple[RunRow, float]]]] = {}
    for run, value in zip(frame.runs, _finished(frame, metric), strict=True):
        if known.log:
            value = math.log(value) if value > 0 else math.inf
        cost = sign * value if math.isfinite(value) else math.inf
        seeds = cells.setdefault(tuple(map(run.value, within)), {})
        seeds.setdefault(run.value("seed"), {})[run.value(over)] = (run, cost)
    runs, choices = [], []
    for cell, seeds in cells.items():
        for seed, offered in seeds.items():
            others = [found for other, found in seeds.items() if other != seed]
            if not others:
                continue
            costs = {value: [found[value][1] if value in found else math.inf for found in others] for value in offered}
            best = best_value(costs, np.mean)
            best = min(offered) if best is None else best
            runs.append(offered[best][0])
            choices.append(Chosen(cell, seed, best, best in (min(offered), max(offered)) and len(offered) > 1))
    return replace(frame, runs=runs), choices


def _finished(frame: Frame, metric: Metric) -> list[float]:
    """What each run came to; infinite where it did not finish or has no number."""
    if metric.name not in frame.names:
        return [math.inf] * len(frame.runs)
    values = metric.measure(frame).values
    usable = [run.state is State.DONE and math.isfinite(v) for run, v in zip(frame.runs, values, strict=True)]
    return [float(value) if good else math.inf for value, good in zip(values, usable, strict=True)]


@dataclass(frozen=True)
class Study:
    """The runs of one problem, each method at its own learning rate, which seeds choose that are not judged.

    Attributes:
        problem: Its name.
        frame: Runs with the labels `method`, `rate` (a number) and `tuning` (whether their seed chooses).
        loss: What is chosen by, as it stands at the end of a run.
        method: The label that tells methods apart.
        rate: The label that is chosen.
    """

    problem: str
    frame: Frame
    loss: Metric
    method: str = "scheme"
    rate: str = "share"

    @cached_property
    def methods(self) -> list[str]:
        """In the order of the sweep."""
        return list(dict.fromkeys(run.value(self.method) for run in self.frame.runs))

    @cached_property
    def rates(self) -> list[float]:
        """Every rate of every grid, ascending."""
        return sorted({run.value(self.rate) for run in self.frame.runs})

    @cached_property
    def done(self) -> Frame:
        """The runs that are done."""
        return self.frame.select(lambda run: run.state is State.DONE)

    def has(self, metric: Metric) -> bool:
        """Whether a run that is done measured it."""
        return metric.name in self.frame.names and bool(np.isfinite(metric.measure(self.done).values).any())

    def at(self, reading: str) -> Metric:
        """The loss at equal epochs, which are whole runs, or within the budget common to every finished run."""
        if reading == "epochs" or CLOCKS[reading] not in self.frame.names:
            return self.loss
        return replace(self.loss, budget=reading, limit=common_budget([self.frame], reading))

    @cached_property
    def chosen(self) -> dict[str, dict[str, float]]:
        """By reading and method the rate; a method of which no rate finished its tuning runs is left out."""
        return {reading: self._choose(reading) for reading in READINGS}

    def _choose(self, reading: str) -> dict[str, float]:
        tuning = self.frame.where(tuning=True)
        losses: dict[str, dict[float, list[float]]] = {}
        for run, loss in zip(tuning.runs, _finished(tuning, self.at(reading)), strict=True):
            losses.setdefault(run.value(self.method), {}).setdefault(run.value(self.rate), []).append(loss)
        best = {method: best_value(offered, median) for method, offered in losses.items()}
        return {method: rate for method, rate in best.items() if rate is not None}

    def judged(self, reading: str) -> Frame:
        """The runs of the other seeds, each method at the rate chosen for the reading."""
        chosen = self.chosen[reading]
        others = self.frame.where(tuning=False)
        return others.select(lambda run: chosen.get(run.value(self.method)) == run.value(self.rate))

    def table(self, title: str, *more: Metric) -> Table:
        """The loss of each method at equal epochs, gradients and time, then further metrics at equal epochs."""
        metrics = [self.at(reading) for reading in READINGS] if self.has(self.loss) else []
        parts = [
            build_table(self.judged(reading), rows=[self.method], metrics=[metric])
            for reading, metric in zip(READINGS, metrics, strict=False)
        ]
        further = [metric for metric in more if self.has(metric)]
        parts.append(build_table(self.judged("epochs"), rows=[self.method], metrics=further))
        cells = {place: cell for part in reversed(parts) for place, cell in part.cells.items()}
        return replace(parts[0], title=title, metrics=list(dict.fromkeys([*metrics, *further])), cells=cells)

    @cached_property
    def final(self) -> dict[str, dict[float, float]]:
        """By method and rate the loss at equal epochs.

        Geometric mean over the judged seeds; infinite if a run was lost.
        """
        others = self.frame.where(tuning=False)
        logs: dict[str, dict[float, list[float]]] = {}
        for run, loss in zip(others.runs, _finished(others, self.loss), strict=True):
            own = logs.setdefault(run.value(self.method), {}).setdefault(run.value(self.rate), [])
            own.append(math.log(loss) if loss > 0 else -math.inf)
        return {
            method: {
                rate: math.exp(mean) if (mean := sum(own) / len(own)) < 700 else math.inf for rate, own in rates.items()
            }
            for method, rates in logs.items()
        }

    @cached_property
    def start(self) -> float:
        """The largest loss that a run at its method's least rate began with: what ends above it has learnt nothing."""
        if not self.has(self.loss):
            return math.inf
        values, valid = self.frame.column(self.loss.name)
        least = {method: min(rates) for method, rates in self.final.items()}
        firsts = [
            float(values[run.rows][valid[run.rows]][0])
            for run in self.done.runs
            if run.value(self.rate) == least.get(run.value(self.method)) and valid[run.rows].any()
        ]
        return max(firsts, default=math.inf)
