"""A tuned value of each method, chosen by the rule of `choice` on tuning runs: of seeds that are judged in nothing.

Tuning runs have the label `tuning`. `tuned` takes the best mean at the end of a run. `Study` takes the least median
loss, for each reading (equal epochs, gradient evaluations, time) within the largest budget of that reading that every
finished run has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import numpy as np

from batchlab.results.compare.caveats import SOURCES, TRIALS
from batchlab.results.compare.choice import Tuning, best_value, costs, judged, settle
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget
from batchlab.results.compare.outcomes import LOST_STATES
from batchlab.results.compare.table import Table, build_table
from batchlab.results.store.run import State

READINGS = ("epochs", "gradients", "seconds")
UNTUNED = "no tuning run is there, so nothing is chosen: `batchlab reproduce` trains those that are missing"
"""Said in place of what needs a choice, of a sweep from before tuning runs had seeds of their own or at its start."""


def counted(frame: Frame, within: Sequence[str]) -> Frame:
    """The same runs, each knowing how many tuning runs of its cell are over, which `claims` compares.

    Args:
        frame: Runs, those that choose with the label `tuning`.
        within: The keys that make a cell.
    """
    trials = Counter(tuple(map(run.value, within)) for run in _tuning(frame).runs)
    runs = [replace(run, info=run.info | {TRIALS: [trials[tuple(map(run.value, within))]]}) for run in frame.runs]
    return replace(frame, runs=runs)


def tuned(frame: Frame, metric: Metric, over: str, within: Sequence[str], ties: Metric | None = None) -> Tuning:
    """Choose a value of `over` for each cell on its tuning runs, and take the judged runs of it.

    Tuning runs have the label `tuning` and seeds of their own. Choosing and judging on the same seeds would flatter
    whoever has more to choose from; so would letting each seed choose by the others, since what one is judged by then
    chose for all the rest. A tuning run that is not over has not been.

    Args:
        frame: Runs of several seeds, in any state.
        metric: What is best, by its direction.
        over: A key with numbers (`optimizer.lr`).
        within: The keys of a cell.
        ties: Chooses between equals; None: the smaller is taken.

    Returns:
        The choice, and the judged runs at it, each `counted`: none of a cell without tuning runs.
    """
    frame = counted(frame, within)
    return settle(_tuning(frame), judged(frame), over, metric, within, ties)


def together(run: RunRow, other: RunRow) -> RunRow:
    """A run that speaks for the other too, because both make one number: from how many runs either was chosen.

    It is over when both are.
    """
    made = {key: run.info.get(key, []) + other.info.get(key, []) for key in (TRIALS, SOURCES)}
    made[SOURCES] = [*made[SOURCES], other.run_id]
    state = run.state if other.state in (State.DONE, *LOST_STATES) else other.state
    return replace(run, state=state, info=run.info | made)


def _tuning(frame: Frame) -> Frame:
    return frame.where(tuning=True).select(lambda run: run.state in (State.DONE, *LOST_STATES))


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
        return self._within(reading, self.frame)

    def _within(self, reading: str, frame: Frame) -> Metric:
        if reading == "epochs" or CLOCKS[reading] not in self.frame.names:
            return self.loss
        return replace(self.loss, budget=reading, limit=common_budget([frame], reading))

    @cached_property
    def chosen(self) -> dict[str, dict[str, float]]:
        """By reading and method the rate; a method of which no rate finished its tuning runs is left out."""
        return {reading: self._choose(reading) for reading in READINGS}

    def _choose(self, reading: str) -> dict[str, float]:
        choosing = self.frame.where(tuning=True)  # judged runs say nothing here, their budgets neither
        offered = costs(choosing, self.rate, self._within(reading, choosing), [self.method], log=False)
        best = {method: best_value(losses, median) for (method,), losses in offered.items()}
        return {method: rate for method, rate in best.items() if rate is not None}

    def judged(self, reading: str) -> Frame:
        """The runs of the other seeds, each method at the rate chosen for the reading."""
        chosen = self.chosen[reading]
        others = judged(self.frame)
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
        others = judged(self.frame)
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
