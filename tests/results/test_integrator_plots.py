"""What the integrators' figures draw."""

import math

import numpy as np
import pytest

from batchlab.results.papers.integrator_plots import Integrators, LossByShare, share_text, slope

STEPS = [40, 80, 160]
INTEGRATORS = Integrators(
    STEPS,
    {"Euler": [1 / n for n in STEPS], "RK4": [3 / n**4 for n in STEPS]},
    {"Euler": 1.998, "RK4": 2.786, "mine": 0.5},
    {"Euler": 2.0, "RK4": 2.785},
)


def test_slopes_stand_in_the_legend():
    assert slope([1, 2, 4], [5, 20, 80]) == pytest.approx(2)
    left, right = INTEGRATORS.figure().axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["Euler: 1.00", "RK4: 4.00"]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1/40", "1/80", "1/160"]
    assert [bar.get_width() for bar in right.patches] == [1.998, 2.786, 0.5]
    assert [line.get_xdata()[0] for line in right.lines if len(line.get_xdata())] == [2.0, 2.785]


def test_files_and_the_page(tmp_path):
    assert INTEGRATORS.wide
    assert INTEGRATORS.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "currentColor" in INTEGRATORS.svg()


def test_not_measured():
    nothing = Integrators([], {}, {}, {"Euler": 2.0})
    assert not nothing.drawable
    with pytest.raises(ValueError, match="batchlab reproduce"):
        nothing.figure()


def test_what_learnt_nothing_or_was_lost_is_a_cross_on_the_edge():
    losses = {"a": {0.25: 0.1, 1.0: 0.01, 4.0: 9.0}, "b": {1 / 64: 0.5, 1.0: math.inf}, "c": {1.0: math.inf}}
    rates = LossByShare({"quadratic": losses, "other": {"a": {2.0: 0.3}}}, {"quadratic": 1.0, "other": 1.0})
    first, second = rates.figure().axes
    drawn = {line.get_label(): line for line in first.lines if not line.get_label().startswith("_")}
    assert list(drawn) == ["a", "b", "c"]
    assert list(drawn["a"].get_xdata()) == [0.25, 1.0]
    assert list(drawn["b"].get_ydata()) == [0.5]
    crosses = [line for line in first.lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[4.0], [1.0], [1.0]]
    places = [line.get_transform().transform((line.get_xdata()[0], 1.0))[0] for line in crosses]
    assert len(set(np.round(places))) == 3, "told apart"
    assert crosses[0].get_color() == drawn["a"].get_color()
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("quadratic", "other")
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["1/64", "0.25", "1", "4"]


def test_the_panels_fill_the_figure():
    rates = LossByShare({"p": {"a": {1.0: 0.1, 2.0: math.inf}, "b": {1.0: 0.1}}}, {"p": 1.0})
    figure = rates.figure()
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().width > 0.7


def test_no_runs():
    rates = LossByShare({"p": {"a": {1.0: math.inf}}}, {})
    assert not rates.drawable
    with pytest.raises(ValueError, match="batchlab status"):
        rates.figure()


@pytest.mark.parametrize(("share", "text"), [(0.0156, "1/64"), (0.00391, "1/256"), (0.25, "0.25"), (32.0, "32")])
def test_shares(share, text):
    assert share_text(share) == text
