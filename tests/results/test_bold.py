"""Bold means tested, and not told apart from the best; intervals of positive quantities are positive."""

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Fate
from batchlab.results.compare.table import build_table
from batchlab.results.show.render import render
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
def test_bold_is_tested_and_no_cell_is_better_than_the_best(frame_of, metric, columns):
    table = grid(frame_of, columns, metric)
    if table is None:
        return
    found = list(table.cells.values())
    top = max((level(cell, metric) for cell in found), default=-math.inf)
    for bold in (cell for cell in found if cell.best):
        assert len(bold.outcomes) >= 2
        assert level(bold, metric) > -math.inf, "no cell that lost runs"
        assert all(o.fate is Fate.MEASURED for o in bold.outcomes.values()), "no cell of which a seed did not arrive"
        others = [cell for cell in found if cell is not bold]
        shared = [len(bold.outcomes.keys() & cell.outcomes.keys()) for cell in others]
        unpaired = [n == 0 and len(cell.outcomes) >= 2 for n, cell in zip(shared, others, strict=True)]
        assert max(shared, default=0) >= 2 or any(unpaired), "tested against nothing"
    if any(cell.best for cell in found):
        assert any(cell.best for cell in found if level(cell, metric) >= top - 1e-9), "the best is among them"


@given(
    columns=st.lists(st.lists(st.floats(0.1, 0.9), min_size=5, max_size=5), min_size=2, max_size=6),
    logarithmic=st.booleans(),
)
def test_bold_ends_at_the_first_that_scipy_tells_apart(frame_of, columns, logarithmic):
    """Down to the first that is told apart: Student's paired test as another hand wrote it."""
    metric = Metric("train_loss" if logarithmic else "test_accuracy")
    values = np.array(columns)
    scored = -np.log(values) if logarithmic else values
    means = scored.mean(1)
    top = int(np.argmax(means))
    differences = scored[top] - scored
    spreads = differences.std(1, ddof=1)
    assume(all(s > 1e-3 for i, s in enumerate(spreads) if i != top))
    assume(all(abs(means[top] - m) > 1e-6 for i, m in enumerate(means) if i != top))
    p = [1.0 if i == top else stats.ttest_rel(scored[top], own).pvalue for i, own in enumerate(scored)]
    assume(all(abs(own - 0.05) > 1e-6 for own in p))
    found = list(grid(frame_of, columns, metric).cells.values())
    apart = [mean for mean, own in zip(means, p, strict=True) if own < 0.05]
    beneath = [own >= 0.05 and any(mean < better for better in apart) for mean, own in zip(means, p, strict=True)]
    assert [cell.noisy for cell in found] == beneath
    assert [cell.best for cell in found] == [own >= 0.05 and not low for own, low in zip(p, beneath, strict=True)]


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


BEST, STEADY, WILD = [0.90, 0.91, 0.92, 0.93], [0.895, 0.905, 0.915, 0.9251], [0.95, 0.80, 0.99, 0.85]


@pytest.mark.parametrize("format", ["rich", "markdown", "latex", "html"])
def test_a_noisy_cell_beneath_one_that_is_told_apart_is_not_bold(frame_of, format):
    """The steady one is told apart by its own small spread; the wild one beneath is not, which the note says alone."""
    table = grid(frame_of, [BEST, STEADY, WILD], Metric("test_accuracy"))
    assert [cell.best for cell in table.cells.values()] == [True, False, False]
    sheet = table_sheet(table)
    note = next(note for note in sheet.notes if note.startswith("bold:"))
    assert "tells apart from it (1 cell beneath that is not told apart only as its spread is large)" in note
    text = " ".join(render(sheet, format).split())
    assert "is not told apart only as its spread is large" in text
    marks = {"rich": r"\*\d", "markdown": r"\*\*\d", "latex": r"\\textbf\{\d", "html": r"<strong>\d"}
    assert len(re.findall(marks[format], text)) == 1


def test_the_note_says_nothing_of_spreads_where_none_is_large(frame_of):
    (note,) = [n for n in table_sheet(grid(frame_of, [BEST, STEADY], Metric("test_accuracy"))).notes if "bold" in n]
    assert "spread" not in note


def test_a_cell_that_cannot_be_tested_hides_none_beneath_it(frame_of):
    table = grid(frame_of, [BEST, [0.91], WILD], Metric("test_accuracy"))
    assert [cell.best for cell in table.cells.values()] == [True, False, True]


def test_seconds_have_no_negative_interval(frame_of):
    """0.079 [-0.037, 0.195] s was printed once."""
    table = grid(frame_of, [[0.03, 0.04, 0.19]], Metric("train_seconds"))
    assert table_sheet(table).records[0]["ci_low"] > 0
