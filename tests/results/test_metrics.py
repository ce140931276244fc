"""The metric grammar and what it takes from a run's rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CLOCKS, Metric
from batchlab.results.compare.quantities import quantity

NAMES = st.from_regex(r"[a-z][a-z_0-9]{0,12}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6).map(lambda x: float(f"{x:g}"))
METRICS = st.one_of(
    st.builds(Metric, NAMES, st.sampled_from(["last", "min", "max", "mean"])),
    st.builds(Metric, NAMES, st.sampled_from(sorted(CLOCKS)), st.sampled_from([">=", "<="]), NUMBERS),
    st.builds(Metric, NAMES, st.just("min"), budget=st.sampled_from(sorted(CLOCKS)), limit=NUMBERS.map(abs)),
)


@given(METRICS)
def test_parse_inverts_str(metric):
    assert Metric.parse(str(metric)) == metric


@pytest.mark.parametrize(
    "text",
    ["", "min:", "median:loss", "samples_to:acc", "acc>=0.9", "samples_to:acc>=high", "samples_to:acc>0.9", "a b:c"],
)
def test_what_is_no_metric_shows_the_grammar(text):
    with pytest.raises(ValueError, match="metric"):
        Metric.parse(text)


def value(lab, text):
    return Metric.parse(text).measure(load(lab.store))


@pytest.mark.parametrize(("next_loss", "expected"), [(0.25, 0.5), (float("inf"), 1.0)])
def test_between_two_rows_a_loss_is_interpolated_on_its_logarithm(lab, curve, next_loss, expected):
    """1 at step 2, 1/4 at step 4: 1/2 at step 3; and nothing is known of the way to infinity."""
    lab.run("a", curve([4.0, 1.0, next_loss], "train_loss"))
    assert value(lab, "train_loss@steps<=3").values == pytest.approx([expected])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test_accuracy", 0.7),
        ("max:test_accuracy", 0.9),
        ("min:test_accuracy", 0.1),
        ("mean:test_accuracy", 0.55),
        ("samples_to:test_accuracy>=0.5", 64),
        ("steps_to:test_accuracy>=0.51", 4),
        ("epochs_to:test_accuracy>=0.9", 2),
        ("passes_to:test_accuracy>=0.9", 2),
        ("seconds_to:test_accuracy>=0.9", 1.0),
        ("gradients_to:test_accuracy<=0.1", 0),
        ("max:test_accuracy@steps<=3", 0.7),  # 0.5 at step 2, 0.9 at step 4
        ("mean:test_accuracy@steps<=3", 0.3),
        ("max:test_accuracy@seconds<=1.0", 0.9),
    ],
)
def test_values_by_hand(lab, curve, text, expected):
    lab.run("a", curve([0.1, 0.5, 0.9, 0.7]))
    measured = value(lab, text)
    assert measured.values == pytest.approx([expected])
    assert not measured.missed.any()


def test_a_target_never_reached_is_missed_not_measured(lab, curve):
    lab.run("a", curve([0.1, 0.5]))
    measured = value(lab, "samples_to:test_accuracy>=0.9")
    assert np.isnan(measured.values).all()
    assert measured.missed.all()


def test_the_last_row_that_measured_counts_even_when_it_is_nan(lab, curve):
    lab.run("a", [{**row, "other": 1.0} for row in curve([0.1, 0.5])] + [{"samples": 999}])
    lab.run("b", curve([0.1, math.nan]))
    values = value(lab, "test_accuracy").values
    assert values[0] == 0.5  # the last row did not measure it
    assert math.isnan(values[1])  # the last row measured, and it was not a number
    assert value(lab, "min:test_accuracy").values[1] == 0.1


def test_a_share_in_percent_names_the_share(lab, curve):
    lab.run("a", [{**row, "train_loss": 80.0} for row in curve([1.0])])
    with pytest.raises(ValueError, match=r"test_accuracy is a share, from 0 to 1: write test_accuracy>=0.9 for 90 %"):
        value(lab, "steps_to:test_accuracy>=90")
    assert value(lab, "steps_to:train_loss<=90").values == [0]
    assert value(lab, "steps_to:test_accuracy>=1").values == [0]


def test_an_unknown_metric_names_what_there_is(lab, curve):
    lab.run("a", curve([0.1]))
    with pytest.raises(ValueError, match=r"no run has the metric test_acuracy; did you mean test_accuracy"):
        value(lab, "test_acuracy")


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("test_accuracy", "up"), ("train_accuracy_reestimated", "up"), ("test_loss", "down"), ("auc", "up"),
        ("full_gradient_norm_paper", "down"), ("objective_gap", "down"), ("train_seconds", "down"),
        ("batch_size", None),
    ],
)  # fmt: skip
def test_registry(name, better):
    assert quantity(name).better == better


def test_labels_are_words():
    assert Metric.parse("samples_to:test_accuracy>=0.9").label == "samples to test accuracy ≥ 90 %"
    assert Metric.parse("min:full_gradient_norm@steps<=1200").label == "least full gradient norm within 1,200 steps"
    assert Metric.parse("test_accuracy").title == "test accuracy [%]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("test_accuracy@step<=6", r"NAME@steps<=NUMBER"),
        ("test_accuracy@steps<=-1", "must be a number, 0 or more"),
        ("test_accuracy@steps<=nan", "must be a number, 0 or more"),
        ("test_accuracy@steps<=many", "is not a number"),
        ("steps_to:test_loss<=nan", "is not a number"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_and_its_form_is_shown(text, says):
    with pytest.raises(ValueError, match=says):
        Metric.parse(text)


def test_flops_are_gradients_times_what_each_takes(lab, curve):
    counted = lab.run("a", curve([0.1, 0.5, 0.9]), seed=0)
    counted.write_state(flops_per_sample=100.0)
    lab.run("b", curve([0.1, 0.5, 0.9]), seed=1)  # of before they were counted
    frame = load(lab.store, columns={"test_accuracy", "flops"})
    values, valid = frame.column("flops")
    first, second = frame.runs
    assert values[first.rows].tolist() == [0, 6400, 12800]
    assert not valid[second.rows].any()
    found = Metric.parse("flops_to:test_accuracy>=0.5").measure(frame)
    assert found.values[0] == 6400
    assert math.isnan(found.values[1])
    assert Metric.parse("test_accuracy@flops<=9600").measure(frame).values[0] == pytest.approx(0.7)


def test_where_flops_were_not_counted_the_error_says_so(lab, curve):
    lab.run("a", curve([0.1, 0.5]))
    with pytest.raises(ValueError, match=r"no run here has counted its FLOPs: .*finite-sum solvers"):
        Metric.parse("flops_to:test_accuracy>=0.5").measure(load(lab.store, columns={"test_accuracy", "flops"}))
