"""Methods compared each at its own learning rate, chosen on seeds that are not judged.

**The rule**, for each method and reading (equal epochs, gradient evaluations, time): of the rates in its grid the one
with the least median loss over the tuning seeds, within the largest budget of that reading that every finished run has.
A run that did not finish counts as infinite; of equals the smaller rate is taken. What is shown and judged is of the
other seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import numpy as np

from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget
from batchlab.results.compare.table import Table, build_table
from batchlab.results.store.runs import State

READINGS = ("epochs", "gradients", "seconds")


@dataclass(frozen=True)
class Study:
    """The runs of one problem, labelled with `method`, `rate` (a number) and `tuning` (whether its seed tunes)."""

    problem: str
    frame: Frame
    loss: Metric
    """Chosen by, as it stands at the end of a run."""
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
        """reading -> method -> rate; a method of which no rate finished its tuning runs is left out."""
        return {reading: self._choose(reading) for reading in READINGS}

    def _choose(self, reading: str) -> dict[str, float]:
        tuning = self.frame.where(tuning=True)
        losses: dict[tuple[str, float], list[float]] = {}
        for run, loss in zip(tuning.runs, self._values(tuning, self.at(reading)), strict=True):
            losses.setdefault((run.value(self.method), run.value(self.rate)), []).append(loss)
        best: dict[str, tuple[float, float]] = {}
        for (method, rate), own in losses.items():
            rank = (median(own), rate)
            if math.isfinite(rank[0]) and rank < best.get(method, (math.inf, 0.0)):
                best[method] = rank
        return {method: rate for method, (_, rate) in best.items()}

    def _values(self, frame: Frame, metric: Metric) -> list[float]:
        """One number a run; infinite where it did not finish or has none."""
        if metric.name not in frame.names:
            return [math.inf] * len(frame.runs)
        values = metric.measure(frame).values
        usable = [run.state is State.DONE and math.isfinite(v) for run, v in zip(frame.runs, values, strict=True)]
        return [float(value) if good else math.inf for value, good in zip(values, usable, strict=True)]

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
        """method -> rate -> loss at equal epochs, geometric mean over the judged seeds; infinite if a run was lost."""
        others = self.frame.where(tuning=False)
        logs: dict[str, dict[float, list[float]]] = {}
        for run, loss in zip(others.runs, self._values(others, self.loss), strict=True):
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
        """The largest loss that a run at its method's least rate began with: who ends above it has learnt nothing."""
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
