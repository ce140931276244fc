"""What a y-axis shows of runs that exploded: the rule by hand, and figures by what is drawn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.show.extent import BEYOND, FEW, Extent, exit_of, held, window
from batchlab.results.show.figure import load_figure

finite = st.floats(-1e30, 1e30)
some = st.lists(finite, min_size=1, max_size=9).map(np.array)


@given(some, some)
def test_all_that_did_not_diverge_is_shown_at_a_share_of_the_height_that_no_run_can_make_smaller(kept, lost):
    low, high = window(kept, lost)
    assert low <= kept.min()
    assert high >= kept.max()
    height = np.ptp(kept)
    if height > 1e-3 * abs(kept).max():  # what floats can tell
        assert high - low <= height * (1 + 2 * BEYOND) * (1 + 1e-9)
    everything = np.concatenate([kept, lost])
    assert everything.min() <= low
    assert high <= everything.max(), "no room for nothing"


@pytest.mark.parametrize(
    ("kept", "lost", "expected"),
    [
        ([0.5, 2.5], [3.0], (0.5, 3.0)),
        ([0.5, 2.5], [1e28, -1e28], (-1.5, 4.5)),
        ([0.5, 2.5], [], (0.5, 2.5)),
        ([], [1.0, 1e28], (1.0, 1e28)),
        ([2.0], [1e28], (2.0, 4.0)),
        ([0.0], [1e28], (0.0, 1.0)),
    ],
)
def test_the_rule_by_hand(kept, lost, expected):
    assert window(np.array(kept), np.array(lost)) == expected


def test_where_a_line_leaves_by_hand():
    x = np.array([0.0, 10.0, 20.0])
    assert exit_of(x, np.array([1.0, 2.0, 3.0]), (0.0, 3.0)) is None
    assert exit_of(x, np.array([1.0, 1.0, 9.0]), (0.0, 3.0)) == (12.5, True)
    assert exit_of(x, np.array([1.0, -1.0, 9.0]), (0.0, 3.0)) == (5.0, False)
    assert exit_of(x, np.array([7.0, 1.0, 1.0]), (0.0, 3.0)) == (0.0, True)


def exploded(lab, curve, name="test_loss"):
    """Two seeds of shb from 2.3 to 0.3, and of adam one run that did so and two that exploded."""
    for optimizer, seeds in (("shb", 2), ("adam", 1)):
        for seed in range(seeds):
            lab.run(f"{optimizer}{seed}", curve([2.3, 1.0, 0.3], name), optimizer=optimizer, seed=seed)
    for seed in (7, 8):
        lab.run(f"adam{seed}", curve([2.3, 4.3, 1e28], name), "diverged", optimizer="adam", seed=seed)


def test_runs_that_exploded_leave_a_linear_plot_and_both_figure_and_notes_say_so(lab, curve):
    exploded(lab, curve)
    made = load_figure(lab.store, metric="test_loss")
    figure = made.figure()
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert (low, high) == pytest.approx((0.3 - 0.04 * 4, 4.3 + 0.04 * 4)), "twice the height of what did not diverge"
    arrows = [line for line in axes.lines if line.get_marker() == "^"]
    assert [line.get_ydata()[0] for line in arrows] == [high, high]
    assert arrows[0].get_xdata()[0] == pytest.approx(64, rel=1e-9), "it leaves at once after the second row"
    assert "2 diverged runs leave the plot (arrows)" in figure.legends[0].get_title().get_text()
    assert made.notes == ["2 diverged runs leave the plot (arrows): --scale log or --ylim LOW,HIGH shows them"]


@pytest.mark.parametrize("asked", [Extent("log"), Extent("", (0, 2e28))])
def test_a_logarithmic_axis_and_a_range_that_holds_them_show_them(lab, curve, asked):
    exploded(lab, curve)
    made = load_figure(lab.store, metric="test_loss", extent=asked)
    assert made.figure().axes[0].get_ylim()[1] > 1e28
    assert made.notes == []


def test_a_run_that_went_down_leaves_below(lab, curve):
    lab.run("a", curve([0.5, 0.9]))
    lab.run("b", curve([0.5, -3.0]), "diverged", optimizer="adam")
    (axes,) = load_figure(lab.store, metric="test_accuracy").figure().axes
    assert [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "v"] == [axes.get_ylim()[0]]


def test_a_range_that_leaves_a_line_out_says_so(lab, curve):
    lab.run("a", curve([0.1, 0.9]))
    lab.run("b", curve([0.1, 0.5]), optimizer="adam")
    made = load_figure(lab.store, metric="test_accuracy", extent=Extent("", (85.0, 95.0)))
    assert "1 line outside the plot" in made.figure().legends[0].get_title().get_text()
    assert made.notes == ["1 line outside the plot: another --ylim shows them"]


def test_an_unfinished_run_is_shown_whole(lab, curve):
    lab.run("a", curve([1.0, 0.5], "test_loss"))
    lab.run("b", curve([1.0, 1e6], "test_loss"), "interrupted", optimizer="adam")
    assert load_figure(lab.store, metric="test_loss").figure().axes[0].get_ylim()[1] > 1e6


def finished(lab, curve, name="test_loss", x=0.1):
    """Three methods from 2.3 to 0.3, and one that was done at 1e8."""
    for i, last in enumerate([0.3, 0.4, 0.5, 1e8]):
        lab.run(f"r{i}", curve([2.3, last], name), optimizer=f"o{i}", lr=x)


def test_a_run_that_exploded_and_went_on_to_its_end_leaves_too(lab, curve):
    finished(lab, curve)
    made = load_figure(lab.store, metric="test_loss")
    (axes,) = made.figure().axes
    assert axes.get_ylim() == pytest.approx((0.3 - 0.04 * 4, 4.3 + 0.04 * 4))
    assert [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "^"] == [axes.get_ylim()[1]]
    assert made.notes == ["1 line leaves the plot (arrows): --scale log or --ylim LOW,HIGH shows them"]
    assert load_figure(lab.store, metric="test_loss", extent=Extent("log")).notes == []


def test_the_interval_of_what_exploded_hides_nothing(lab, curve):
    for i, last in enumerate([0.3, 0.4, 1e8]):
        for rate in (0.1, 1.0):
            for seed in range(3):
                values = [2.3, last * (1 + 0.1 * seed)]
                lab.run(f"r{i}x{rate}x{seed}", curve(values, "test_loss"), optimizer=f"o{i}", lr=rate, seed=seed)
    for x, where in (("samples", ["optimizer.lr=1"]), ("optimizer.lr", [])):
        (axes,) = load_figure(lab.store, metric="test_loss", x=[x], where=where).figure().axes
        drawn = [path.vertices[:, 1].max() for own in axes.collections for path in own.get_paths()]
        assert drawn
        assert max(drawn) < 1e3


@pytest.mark.parametrize("name", ["test_accuracy", "batch_size", "advantage"])
def test_what_may_grow_does_not_explode(lab, curve, name):
    finished(lab, curve, name)
    made = load_figure(lab.store, metric=name, extent=Extent("linear"))
    assert made.notes == []
    assert made.figure().axes[0].get_ylim()[1] > 1e8


def test_points_that_exploded_leave_a_sensitivity_curve(lab, curve):
    for rate in (0.1, 1.0):
        for i, last in enumerate([0.3, 0.4, 0.5, 1e8 if rate == 1.0 else 0.6]):
            lab.run(f"r{rate}x{i}", curve([2.3, last], "test_loss"), optimizer=f"o{i}", lr=rate)
    made = load_figure(lab.store, metric="test_loss", x=["optimizer.lr"])
    (axes,) = made.figure().axes
    low, high = axes.get_ylim()
    assert (low, high) == pytest.approx((0.3 - 0.04 * 0.6, 0.9 + 0.04 * 0.6)), "twice the height of 0.3 to 0.6"
    assert [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "^"] == [high]
    assert made.notes == ["1 point outside the plot (arrows): --scale log or --ylim LOW,HIGH shows them"]
    assert load_figure(lab.store, metric="test_loss", x=["optimizer.lr"], extent=Extent("log")).notes == []


def test_nothing_at_all_has_no_ends():
    from batchlab.results.compare.metrics import Metric

    empty = np.empty(0)
    assert Extent().ends(Metric("test_loss"), [empty], [empty], [empty], log=False, whole=True) is None
    low, high = Extent().ends(Metric("test_loss"), [], [np.array([1.0, math.e])], [], log=True, whole=True)
    assert low < 1 < math.e < high


def noisy(lab, curve, optimizers, rows):
    """Seeds at 0.8, 0.5 and 0.65 at each row after the first: 0.65 by 0.37; adam's are a hundredth above."""
    for optimizer in optimizers:
        for seed, value in enumerate([0.8, 0.5, 0.65]):
            level = value + 0.01 * (optimizer == "adam")
            lab.run(f"{optimizer}{seed}", curve([level] * rows), optimizer=optimizer, seed=seed)


HALF = 4.302653 * 15 / math.sqrt(3)
"""Of the t interval of 80, 50 and 65: their standard deviation is 15."""


@pytest.mark.parametrize(("optimizers", "rows"), [(["shb"], FEW + 1), (["adam", "shb"], FEW // 2)])
def test_one_line_and_few_intervals_are_held_whole(lab, curve, optimizers, rows):
    noisy(lab, curve, optimizers, rows)
    made = load_figure(lab.store, metric="test_accuracy")
    low, high = made.figure().axes[0].get_ylim()
    assert 65 - HALF - 5 < low < 65 - HALF
    assert high > min(100, 65 + HALF)
    assert made.notes == []


def test_of_more_the_points_keep_a_third_of_the_height(lab, curve):
    noisy(lab, curve, ["adam", "shb"], FEW // 2 + 1)
    made = load_figure(lab.store, metric="test_accuracy")
    assert made.figure().axes[0].get_ylim() == pytest.approx((64 - 0.12, 67 + 0.12)), "65 to 66, and as much around it"
    assert made.notes == ["2 intervals go on beyond the plot: --ylim LOW,HIGH shows more"]


@pytest.mark.parametrize(("lines", "intervals", "whole"), [(1, 99, True), (2, FEW, True), (2, FEW + 1, False)])
def test_what_is_held_by_hand(lines, intervals, whole):
    assert held(lines, intervals) == whole
