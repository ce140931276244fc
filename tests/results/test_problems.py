"""Summaries over problems against tiny cases by hand and scipy's Mann-Whitney statistic."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.problems import Field, problem_axes
from batchlab.results.compare.stats import bootstrap_interval, improvement, interquartile_mean
from batchlab.results.show.field_plots import FieldProfiles
from batchlab.results.show.interval_plots import Improvement, Middles
from batchlab.results.show.ranking_plot import RankingMap
from batchlab.results.show.summaries import DRAWN, summaries

ACCURACY = Metric("test_accuracy")


def book(frame_of, values, *, name="test_accuracy", states=None):
    """By contender and problem the values of seeds 0, 1, ...; None: a run that diverged."""
    runs = []
    for contender, problems in values.items():
        for problem, own in problems.items():
            for seed, value in enumerate(own):
                labels = {"method": contender, "task": problem, "seed": seed}
                row = {"samples": 10.0, "steps": 5.0}
                runs.append((labels, {}, "diverged") if value is None else (labels, row | {name: value}))
    return frame_of(runs)


def field(frame_of, values, metric=ACCURACY, **more):
    return Field(book(frame_of, values, **more), metric, "method", ("task",))


SMALL = {
    "a": {"p": [0.9, 0.8, 0.7], "q": [0.5, 0.6, 0.7]},
    "b": {"p": [0.8, 0.8, 0.6], "q": [0.4, 0.7, 0.3]},
}


def test_probability_of_improvement_is_mann_whitneys_statistic(frame_of):
    made = field(frame_of, SMALL)
    shares = [
        mannwhitneyu(SMALL["a"][p], SMALL["b"][p]).statistic / 9 for p in ("p", "q")
    ]  # of 9 pairs the first's is greater, ties a half
    estimate, low, high = made.improvement("a", "b")
    assert estimate == pytest.approx(np.mean(shares))
    assert made.improvement("b", "a")[0] == pytest.approx(1 - estimate)
    assert 0 <= low <= estimate <= high <= 1
    assert made.chances == pytest.approx({"a": estimate, "b": 1 - estimate})


def test_its_interval_is_the_stratified_bootstraps():
    """Against a plain loop over resamples of other random numbers."""
    generator = np.random.default_rng(5)
    a, b = [generator.normal(0.4, 1, 8) for _ in range(2)], [generator.normal(0, 1, 8) for _ in range(2)]
    drawn = []
    for _ in range(2000):
        parts = []
        for x, y in zip(a, b, strict=True):
            first, second = generator.choice(x, 8), generator.choice(y, 8)
            parts.append(np.mean([(u > v) + 0.5 * (u == v) for u in first for v in second]))
        drawn.append(np.mean(parts))
    estimate, low, high = improvement(a, b)
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    assert low < estimate < high
    assert improvement(a, b) == improvement(a, b), "the same data have the same interval"
    assert math.isnan(improvement(a, b, repetitions=0)[1])


def test_interquartile_means_are_scipys_trimmed_means(frame_of):
    made = field(frame_of, SMALL)
    tops = {"p": max(np.mean(SMALL[m]["p"]) for m in "ab"), "q": max(np.mean(SMALL[m]["q"]) for m in "ab")}
    for name in "ab":
        behind = [tops[p] - v for p in "pq" for v in SMALL[name][p]]
        middle, low, high = made.middles[name]
        assert middle == pytest.approx(trim_mean(behind, 0.25))
        assert low <= middle <= high


def test_a_lost_run_ends_at_nothing_or_infinitely_far_behind(frame_of):
    shares = field(frame_of, {"a": {"p": [0.9, 0.9]}, "b": {"p": [0.8, None]}})
    assert shares.behind["b"][0] == pytest.approx([0.1, 0.9]), "the others' mean is 0.9"
    losses = {"a": {"p": [1.0, 1.0, 1.0, 1.0]}, "b": {"p": [2.0, 2.0, 2.0, None]}}
    made = field(frame_of, losses, Metric("test_loss"), name="test_loss")
    assert made.behind["b"][0].tolist() == pytest.approx([math.log(2)] * 3 + [math.inf])
    middle, _, high = made.middles["b"]
    assert middle == pytest.approx(math.log(2)), "a quarter is trimmed"
    assert high == math.inf, "with two of them it is not"
    figure = Middles(made).figure()
    assert not any(np.isnan(line.get_xdata()).any() for line in figure.axes[0].lines)
    beyond = [line for line in figure.axes[0].lines if line.get_marker() == ">"]
    assert len(beyond) == 1


def test_lost_is_worse_than_never_which_is_worse_than_late(frame_of):
    target = Metric.parse("steps_to:test_accuracy>=0.5")
    made = field(frame_of, {"never": {"p": [0.1]}, "lost": {"p": [None]}, "there": {"p": [0.6]}}, target)
    assert made.improvement("there", "never")[0] == 1
    assert made.improvement("never", "lost")[0] == 1
    assert made.improvement("lost", "lost")[0] == 0.5


def test_infinite_values_have_percentiles():
    low, high = bootstrap_interval([[1.0, 2.0, math.inf, math.inf]])
    assert low >= 1
    assert high == math.inf
    assert interquartile_mean([[1.0, 2.0, 3.0, math.inf]]) == 2.5


def test_profiles_by_hand(frame_of):
    """Errors of 0.1 and 0.4 against 0.2 and 0.2."""
    made = field(frame_of, {"a": {"p": [0.9], "q": [0.6]}, "b": {"p": [0.8], "q": [0.8]}})
    assert made.cost == "test error"
    found = made.profile(np.array([1.0, 1.99, 2.01]))
    assert {name: own.tolist() for name, own in found.items()} == {"a": [0.5, 0.5, 1], "b": [0.5, 0.5, 1]}
    figure = FieldProfiles(made).figure()
    assert figure.axes[0].get_xlim()[1] == pytest.approx(2.1)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a (2 of 2 have a number)", "b (2 of 2 have a number)"]
    never = field(frame_of, {"a": {"p": [0.9]}, "b": {"p": [0.2]}}, Metric.parse("steps_to:test_accuracy>=0.5"))
    assert never.costs == {"a": [pytest.approx(5.0)], "b": [math.inf]}
    with pytest.raises(ValueError, match="a performance profile is over a cost"):
        _ = field(frame_of, {"a": {"p": [0.9]}}, Metric("auc"), name="auc").cost


def test_a_problem_that_some_contender_lacks_is_left_out_and_named(frame_of):
    made = field(frame_of, {"a": {"p": [0.9, 0.8], "q": [0.1, 0.1]}, "b": {"p": [0.8, 0.7]}})
    assert made.shared == ["p"]
    said = Improvement(made).figure().get_supxlabel()
    assert "has no run there that is over: q" in " ".join(said.split())


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"a": {"p": [0.9, 0.8]}}, Middles, "there is one method: compare at least 2"),
        ({"a": {"p": [0.9]}, "b": {"p": [0.8]}}, Middles, "has n 1: this takes at least 2 seeds"),
        ({"a": {"p": [0.9]}, "b": {"q": [0.8]}}, RankingMap, "no run of some method is over on any task"),
        ({f"m{i}": {"p": [0.9]} for i in range(21)}, RankingMap, "21 contenders by method: a map shows 20"),
    ],
)
def test_what_is_missing_is_said(frame_of, values, kind, message):
    made = kind(field(frame_of, values))
    assert not made.drawable
    with pytest.raises(ValueError, match=message):
        made.figure()


def test_a_metric_without_direction(frame_of):
    with pytest.raises(ValueError, match="neither better up nor down"):
        field(frame_of, {"a": {"p": [3.0]}}, Metric("batch_size"), name="batch_size")


def apart(frame_of):
    """Three contenders on two problems: c is worse everywhere, a and b are alike."""
    generator, values = np.random.default_rng(0), {}
    for name, level in {"a": 0.9, "b": 0.9, "c": 0.6}.items():
        values[name] = {p: (level - 0.1 * (p == "q") + 0.01 * generator.normal(size=6)).tolist() for p in "pq"}
    return field(frame_of, values)


def test_the_map_has_groups_that_are_told_apart_by_column(frame_of):
    made = apart(frame_of)
    assert {key: one.groups for key, one in made.rankings.items()} == {
        key: {"a": "a", "b": "a", "c": "b"} for key in ("p", "q", "")
    }
    assert all(item.family == 3 for one in made.rankings.values() for item in one.pairs), "the pairs of a column"
    figure = RankingMap(made).figure()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["p", "q", "all"]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows[-1] == "c"
    assert set(rows) == {"a", "b", "c"}
    shades = axes.images[0].get_array()
    assert shades.max(axis=0).tolist() == [1, 1, 1]
    assert (shades[-1] < 0.1).all()
    cells = [text.get_text() for text in axes.texts]
    want = np.mean([o.value for o in made.outcomes["c"]["p"].values()])
    assert f"{100 * want:.2f}" in cells
    assert cells.count("b") == 3


@pytest.mark.parametrize(("metric", "said"), [("test_accuracy", "21 points behind"), ("test_loss", "2 times the best")])
def test_as_far_behind_is_as_pale_in_every_column(frame_of, metric, said):
    values = {"a": [0.8507, 0.884], "b": [0.8479, 0.674]} if metric == "test_accuracy" else {"a": [1, 1], "b": [1.1, 2]}
    frame = book(
        frame_of,
        {name: dict(zip("pq", ([v] * 2 for v in own), strict=True)) for name, own in values.items()},
        name=metric,
    )
    figure = RankingMap(Field(frame, Metric(metric), "method", ("task",))).figure()
    shades = figure.axes[0].images[0].get_array()
    behind = [0.0028, 0.21] if metric == "test_accuracy" else np.log([1.1, 2])
    assert shades[0].tolist()[:2] == [1, 1]
    assert shades[1].tolist()[:2] == pytest.approx([1 - behind[0] / behind[1], 0])
    assert f"on one scale in all columns: the palest is {said}" in " ".join(figure.get_supxlabel().split())


def test_the_order_is_of_the_mean_where_nothing_is_decided(frame_of):
    made = field(frame_of, {"low": {"p": [0.1]}, "high": {"p": [0.9]}, "gone": {"p": [None]}})
    assert made.rankings["p"].order == ["high", "low", "gone"]
    assert made.heights == pytest.approx({"low": 0.1, "high": 0.9, "gone": 0.0})


def test_a_problem_is_no_contender(frame_of):
    frame = book(frame_of, SMALL)
    assert problem_axes(frame, "method", ["task"]) == ("task",)
    with pytest.raises(ValueError, match="it is what is compared"):
        problem_axes(frame, "method", ["method"])
    with pytest.raises(ValueError, match="no run has the axis shape"):
        problem_axes(frame, "method", ["shape"])


def runs_of(lab, curve, optimizers=("shb", "adam"), datasets=("digits",), seeds=3, rates=(0.1,)):
    from batchlab.results.compare.load import load

    for i, optimizer in enumerate(optimizers):
        for dataset in datasets:
            for seed in range(seeds):
                for rate in rates:
                    rows = curve([0.1, 0.5 + 0.1 * i + 0.01 * seed])
                    lab.run(f"{optimizer}-{dataset}-{seed}-{rate}", rows, optimizer=optimizer, dataset=dataset,
                            seed=seed, lr=rate)  # fmt: skip
    return load(lab.store)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"optimizers": ["shb"]}, []),
        ({"seeds": 2}, []),
        ({}, ["Improvement"]),
        ({"datasets": ["digits", "a9a"]}, ["FieldProfiles", "Middles", "Improvement", "RankingMap"]),
        ({"rates": [0.1, 0.2]}, []),
        ({"optimizers": ["shb"], "rates": [0.1, 0.2, 0.4]}, ["Sensitivity"]),
        ({"rates": [0.1, 0.2, 0.4], "datasets": ["digits", "a9a"]}, ["Sensitivity"]),
    ],
)
def test_a_page_has_the_summaries_that_its_runs_support(lab, curve, given, expected):
    drawn = summaries(runs_of(lab, curve, **given))
    assert [type(drawing).__name__ for drawing in drawn] == expected
    assert all(drawing.figure().axes for drawing in drawn)


def test_every_kind_is_drawn():
    assert set(DRAWN.values()) == {FieldProfiles, Middles, Improvement, RankingMap}
