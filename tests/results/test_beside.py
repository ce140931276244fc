"""How far ours is from a published number, in units of our spread."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.metrics import Metric
from batchlab.results.papers.beside import Ours, known_to, notes_beside, ours_of
from batchlab.results.papers.literature import published, published_sheet
from batchlab.results.show.render import render

NUMBERS = st.lists(st.floats(1, 99), min_size=3, max_size=9).filter(lambda found: np.std(found) > 1e-3)


@given(NUMBERS, st.floats(1, 99))
def test_it_is_the_difference_over_the_sample_standard_deviation(values, number):
    expected = (np.mean(values) - number) / np.std(values, ddof=1)
    assert Ours(tuple(values)).apart(number) == pytest.approx(expected)
    log = np.log(values)
    expected = (log.mean() - math.log(number)) / log.std(ddof=1)
    assert Ours(tuple(values), log=True).apart(number) == pytest.approx(expected, rel=1e-6)


@given(NUMBERS, st.floats(1, 99), st.floats(0.5, 20))
def test_it_has_no_unit(values, number, scale):
    for log in (False, True):
        scaled = Ours(tuple(scale * value for value in values), log=log).apart(scale * number)
        assert scaled == pytest.approx(Ours(tuple(values), log=log).apart(number), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (Ours((61.0, 61.5, 60.5)), "ours 61.00 ± 0.50, -65 sd"),
        (Ours((93.0, 94.5, 93.9)), "ours 93.80 ± 0.75, +0.2 sd"),
        (Ours((61.0, 61.5), 1), "ours 61.25 ± 0.35 † 1 not done, n 2: too few"),
        (Ours((61.0,)), "ours 61.00, n 1: too few"),
        (Ours((61.0, 61.0, 61.0)), "ours 61.00, no spread"),
        (Ours((), 3), "ours – † 3 not done"),
        (Ours((40.0, 80.0, 160.0), log=True), "ours 80.0 ×÷ 2, -0.2 sd"),
    ],
)
def test_what_is_said(ours, said):
    assert ours.beside(93.68) == said


def test_n_counts_seeds_and_what_is_lost_is_counted(frame_of):
    runs = [
        ({"seed": seed, "lr": lr}, {"test_accuracy": 0.5 + 0.01 * seed + lr}) for seed in range(3) for lr in (-0.1, 0.1)
    ]
    runs += [({"seed": 3, "lr": 0.1}, {}, "diverged"), ({"seed": 4, "lr": 0.1}, {"test_accuracy": 0.9}, "interrupted")]
    ours = ours_of(frame_of(runs), Metric("test_accuracy"))
    assert ours.values == pytest.approx((50.0, 51.0, 52.0))
    assert ours.lost == 2
    assert ours_of(frame_of([]), Metric("test_accuracy")) is None


def test_a_target_that_was_never_reached_is_no_number(frame_of):
    runs = [({"seed": seed}, {"gap": gap, "epoch": 5.0}) for seed, gap in enumerate((1e-9, 1e-9, 1e-3))]
    ours = ours_of(frame_of(runs), Metric("gap", "passes", "<=", 1e-8))
    assert (ours.values, ours.lost, ours.log) == (pytest.approx((5.0, 5.0)), 1, True)


def test_a_standard_deviation_of_few_seeds_is_hardly_known():
    """As often as said, by drawing."""
    low, high = known_to(4)
    spreads = np.random.default_rng(0).normal(size=(20_000, 4)).std(axis=1, ddof=1)
    assert np.mean((spreads * low < 1) & (spreads * high > 1)) == pytest.approx(0.95, abs=0.01)


def test_a_sheet_has_ours_beneath_and_says_how_to_read_it():
    rows = [row for row in published("vrgd") if row.table_or_figure == "Table 5"][:3]
    found = {rows[0]: Ours((61.0, 61.5, 60.5))}
    sheet = published_sheet("Table 5", rows, notes_beside(found.values(), "of this and that"), found.get)
    assert "93.68 % ours 61.00 ± 0.50, -65 sd" in render(sheet, "markdown")
    assert sheet.records[0]["apart_sd"] == pytest.approx(-65.36)
    assert "apart_sd" not in sheet.records[1]
    assert "factor of 0.52 to 6.3" in sheet.notes[0]
    assert sheet.notes[1] == "why they may differ: of this and that"
    assert notes_beside([None, Ours((), 2)], "never mind") == []
