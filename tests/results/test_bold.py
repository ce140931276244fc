"""Bold means tested, and whatever beats a bold cell is bold; intervals of positive quantities are positive."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Fate
from batchlab.results.compare.table import build_table
from batchlab.results.show.table_sheet import table_sheet

ARRIVAL = Metric("there", "steps", ">=", 1.0)
numbers = st.sampled_from([1.0, 2.0, 2.5, 3.0, 8.0]) | st.floats(0.5, 50)
outcome = st.one_of(numbers, numbers, st.sampled_from(["never", "diverged", "running"]))
cells = st.lists(st.lists(outcome, min_size=1, max_size=6), min_size=1, max_size=6)


def grid(frame_of, columns, metric):
    runs = []
    for i, own in enumerate(columns):
        for seed, value in enumerate(own):
            labels, column = {"row": i, "seed": seed}, metric.name
            if value == "never" and metric is not ARRIVAL:
                continue
            if value in ("diverged", "running"):
                runs.append((labels, {}, value))
            elif metric is ARRIVAL:
                runs.append((labels, {"there": float(value != "never"), "steps": 60.0 if value == "never" else value}))
            else:
                runs.append((labels, {column: value}))
    frame = frame_of(runs)
    return build_table(frame, rows=["row"], metrics=[metric]) if {*metric.columns} <= frame.names else None


def level(cell, metric):
    """The column's order, written again: whole cells first, then the mean, geometric of a logarithmic metric.

    Budgets are the same here, so a cell of which no seed arrived is the last of the whole ones by its mean.
    """
    values = list(cell.values.values())
    if not values or any(o.fate is Fate.LOST for o in cell.outcomes.values()):
        return -math.inf
    mean = math.exp(sum(map(math.log, values)) / len(values)) if metric.quantity.log else sum(values) / len(values)
    return mean if metric.quantity.better == "up" else -mean


@pytest.mark.parametrize("metric", [Metric("test_accuracy"), Metric("train_loss"), ARRIVAL], ids=str)
@given(columns=cells)
def test_bold_is_tested_and_monotone(frame_of, metric, columns):
    table = grid(frame_of, columns, metric)
    if table is None:
        return
    found = list(table.cells.values())
    for bold in (cell for cell in found if cell.best):
        assert len(bold.outcomes) >= 2
        assert level(bold, metric) > -math.inf, "no cell that lost runs"
        assert any(o.fate is Fate.MEASURED for o in bold.outcomes.values()), "no cell of which no seed arrived"
        others = [cell for cell in found if cell is not bold]
        shared = [len(bold.outcomes.keys() & cell.outcomes.keys()) for cell in others]
        unpaired = [n == 0 and len(cell.outcomes) >= 2 for n, cell in zip(shared, others, strict=True)]
        assert max(shared, default=0) >= 2 or any(unpaired), "tested against nothing"
        for cell in others:
            if level(cell, metric) > level(bold, metric) + 1e-9:
                assert cell.best


@pytest.mark.parametrize("metric", [Metric("train_loss"), Metric("train_seconds"), ARRIVAL], ids=str)
@given(columns=cells)
def test_intervals_of_positive_quantities_are_positive(frame_of, metric, columns):
    table = grid(frame_of, columns, metric)
    for cell in table.cells.values() if table else ():
        if cell.summary.n > 1:
            assert 0 < cell.summary.low <= cell.summary.high
    assert table is None or all(not record["ci_low"] <= 0 for record in table_sheet(table).records)


def test_one_seed_is_never_bold(frame_of):
    table = grid(frame_of, [[0.99], [0.9, 0.91, 0.9], [0.5, 0.52, 0.51]], Metric("test_accuracy"))
    assert not any(cell.best for cell in table.cells.values()), "the best is not tested, so nothing below it is bold"


def test_no_cell_is_best_of_those_that_never_arrive(frame_of):
    table = grid(frame_of, [["never"] * 3] * 2, ARRIVAL)
    assert not any(cell.best for cell in table.cells.values())


def test_a_noisy_cell_between_is_bold_too(frame_of):
    """Told apart by its own small spread, yet better in the mean than one that is not: both are bold."""
    best, steady, wild = [0.90, 0.91, 0.92, 0.93], [0.895, 0.905, 0.915, 0.9251], [0.95, 0.80, 0.99, 0.85]
    table = grid(frame_of, [best, steady, wild], Metric("test_accuracy"))
    assert [cell.best for cell in table.cells.values()] == [True, True, True]


def test_seconds_have_no_negative_interval(frame_of):
    """0.079 [-0.037, 0.195] s was printed once."""
    table = grid(frame_of, [[0.03, 0.04, 0.19]], Metric("train_seconds"))
    assert table_sheet(table).records[0]["ci_low"] > 0
