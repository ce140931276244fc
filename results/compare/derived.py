"""Frames made from frames: runs known by other labels, a run for each layer, a number a run, a tuned choice.

What comes out is a `Frame` like any other: tables, plots and claims take it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.store.runs import State

Key = tuple[Any, ...]


def known_by(frame: Frame, labels: Callable[[RunRow], Mapping[str, Any]]) -> Frame:
    """The same runs and rows, known by their seed and these labels alone.

    What else differs between them (the learning rate that each seed was given by `tuned`) is then no matter of a table.
    """
    runs = [
        replace(run, config={"seed": run.value("seed")}, labels=dict(labels(run)), overrides={}) for run in frame.runs
    ]
    return replace(frame, runs=runs)


def split(frame: Frame, column: str) -> Frame:
    """Every run as one run for each value of a column of texts, which becomes a label: `layer` of the layers' rows.

    Values keep the order in which they first appear.
    """
    if column not in frame.table.column_names:
        return replace(frame, runs=[])
    texts = frame.table[column].to_pylist()
    taken: list[int] = []
    runs = []
    for run in frame.runs:
        places: dict[str, list[int]] = {}
        for i in range(run.rows.start, run.rows.stop):
            places.setdefault(texts[i], []).append(i)
        for text, own in places.items():
            rows = slice(len(taken), len(taken) + len(own))
            labels = run.labels | {column: text}
            runs.append(replace(run, run_id=f"{run.run_id} {text}", labels=labels, rows=rows))
            taken += own
    return replace(frame, runs=runs, table=frame.table.take(pa.array(taken, pa.int64())), ordered=True, reread=None)


def numbers(items: Iterable[tuple[RunRow, Mapping[str, Any], Mapping[str, float]]]) -> Frame:
    """A run of one row for each item: (whose seed and state it has, its labels, its numbers).

    Without numbers it is a run without rows.
    """
    runs: list[RunRow] = []
    rows: list[dict[str, float]] = []
    for run, labels, values in items:
        place = slice(len(rows), len(rows) + bool(values))
        made = RunRow(run.run_id, run.state, run.reason, run.info, {"seed": run.value("seed")}, dict(labels), {}, place)
        runs.append(made)
        rows += [dict(values)] if values else []
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: pa.array([row.get(name) for row in rows], pa.float64()) for name in names})
    return Frame(runs, table, frozenset(names), [], ordered=True)


@dataclass(frozen=True)
class Choice:
    """What `tuned` chose for one seed of one cell."""

    cell: Key
    seed: Any
    value: Any
    edge: bool
    """It was the least or the greatest on offer, so a better one may lie beyond."""


def tuned(frame: Frame, metric: Metric, over: str, within: Sequence[str]) -> tuple[Frame, list[Choice]]:
    """For each seed, the run at the value of `over` that was best on the OTHER seeds; and what was chosen.

    Choosing and judging on the same seeds would flatter whoever has more to choose from. Best is the best mean of the
    metric over the other seeds (of its logarithm where it spans orders of magnitude); of equals the least value. A
    value at which one of these runs is not done or gave no number is not chosen; where that is every value, the
    least of them stands for the failure. With one seed there is nothing to choose by: no run.

    over: a key with numbers (`optimizer.lr`). within: the keys of a cell, in which every seed has the same values on
    offer.
    """
    scale = -1.0 if metric.quantity.better == "down" else 1.0
    measured = metric.measure(frame).values if metric.name in frame.names else np.full(len(frame.runs), np.nan)
    cells: dict[Key, dict[Any, dict[Any, tuple[RunRow, float]]]] = {}
    for run, value in zip(frame.runs, measured, strict=True):
        usable = run.state is State.DONE and math.isfinite(value) and (value > 0 or not metric.quantity.log)
        score = scale * (math.log(value) if metric.quantity.log else value) if usable else math.nan
        seeds = cells.setdefault(tuple(map(run.value, within)), {})
        seeds.setdefault(run.value("seed"), {})[run.value(over)] = (run, score)
    chosen, choices = [], []
    for cell, seeds in cells.items():
        for seed, offered in seeds.items():
            others = [found for other, found in seeds.items() if other != seed]
            if not others:
                continue
            means = {
                value: float(np.mean([found[value][1] if value in found else math.nan for found in others]))
                for value in sorted(offered)
            }
            best = max(means, key=lambda value: means[value] if math.isfinite(means[value]) else -math.inf)
            chosen.append(offered[best][0])
            choices.append(Choice(cell, seed, best, best in (min(offered), max(offered)) and len(offered) > 1))
    return replace(frame, runs=chosen), choices
