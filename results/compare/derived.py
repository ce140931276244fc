"""Frames made from frames: runs known by other labels, a run for each layer, one row of numbers per run.

What comes out is a `Frame` like any other: tables, plots and claims take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from batchlab.results.compare.frame import Frame, RunRow


def known_by(frame: Frame, labels: Callable[[RunRow], Mapping[str, Any]]) -> Frame:
    """The same runs and rows, known by their seed and these labels alone.

    What else differs between them (the learning rate that each cell was given by `tuned`) then does not split or mix
    the cells of a table.

    Args:
        frame: The runs.
        labels: What each run is known by.
    """
    runs = [
        replace(run, config={"seed": run.value("seed")}, labels=dict(labels(run)), overrides={}) for run in frame.runs
    ]
    return replace(frame, runs=runs)


def split(frame: Frame, column: str) -> Frame:
    """Every run as one run for each value of a column of texts, which becomes a label: `layer` of the layers' rows.

    Args:
        frame: The runs, with the column loaded.
        column: Its name. Values keep the order in which they first appear.

    Returns:
        The parts as runs; none where no run has the column.
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
    """A frame with a run of one row for each item.

    Args:
        items: Three things each: the run whose seed, state and declared quantities it has, its labels, and its
            numbers by column. Without numbers it is a run without rows.
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
