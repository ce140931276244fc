"""Statistics against published examples, scipy's own tests, and brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as reference

from batchlab.results.compare import stats

# Student (1908), extra hours of sleep under two drugs: the data of his paper, and R's answers for them.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def test_paired_test_on_students_sleep_data():
    test = stats.paired_test(SLEEP_1, SLEEP_2)
    assert test.t == pytest.approx(-4.0621, abs=1e-4)
    assert test.df == 9
    assert test.p == pytest.approx(0.002833, abs=1e-6)
    assert (test.low, test.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)


def test_welch_on_students_sleep_data():
    test = stats.welch_test(SLEEP_1, SLEEP_2)
    assert (test.t, test.df, test.p) == pytest.approx((-1.8608, 17.776, 0.07939), abs=1e-3)
    assert (test.low, test.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-6)


def test_summary_by_hand():
    summary = stats.summarize([1.0, 2.0, 3.0])
    assert (summary.n, summary.mean, summary.std) == (3, 2.0, 1.0)
    assert summary.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)  # t table: df 2, 95 %
    one = stats.summarize([5.0])
    assert (one.n, one.mean) == (1, 5.0)
    assert math.isnan(one.std)
    assert math.isnan(one.low)
    assert stats.summarize([]).n == 0


def test_the_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = sum((s := stats.summarize(generator.normal(2, 3, 4))).low < 2 < s.high for _ in range(2000))
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


@given(samples)
def test_summary_and_tests_agree_with_scipy(values):
    a = np.array(values) + np.arange(len(values)) * 1e-2
    assume(np.ptp(a) > 1e-6)  # without any spread scipy gives nothing
    b = np.roll(a, 1) + 0.5
    low, high = reference.t.interval(0.95, len(a) - 1, a.mean(), reference.sem(a))
    summary = stats.summarize(a)
    assert (summary.low, summary.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)
    if np.std(a - b) > 1e-6:
        assert stats.paired_test(a, b).p == pytest.approx(reference.ttest_rel(a, b).pvalue, rel=1e-5, abs=1e-9)
    welch = reference.ttest_ind(a, b, equal_var=False)
    assert stats.welch_test(a, b).p == pytest.approx(welch.pvalue, rel=1e-5, abs=1e-9)


def test_hypothesis_shifts_the_question_not_the_estimate():
    test = stats.paired_test(SLEEP_2, SLEEP_1, hypothesis=1.58)
    assert test.difference == pytest.approx(1.58)
    assert test.p == pytest.approx(1.0)


def test_no_spread():
    assert stats.paired_test([1, 2], [1, 2]).p == 1
    assert stats.paired_test([2, 2], [1, 1]).p > 0.05, "equal differences are no certainty"
    assert stats.welch_test([1, 1], [1, 1]).p == 1


@pytest.mark.parametrize("unit", [1.0, 1 / 355])
def test_ties_on_a_coarse_scale_are_not_certainty(unit):
    """Two seeds, each one image better of 355: rounding alone spreads a difference by unit / sqrt(6)."""
    test = stats.paired_test([320 * unit, 322 * unit], [319 * unit, 321 * unit])
    assert test.p == pytest.approx(2 * reference.t.sf(np.sqrt(6) * np.sqrt(2), 1))
    assert test.high - test.low == pytest.approx(2 * 12.7062 * unit / np.sqrt(12), rel=1e-4)


@pytest.mark.parametrize(
    ("a", "b"), [([math.log(12)] * 3, [math.log(14)] * 3), ([354 / 355] * 3, [353 / 355] * 3), ([12.0] * 3, [14.0] * 3)]
)
def test_constant_sides_are_not_certainty(a, b):
    """Three seeds at 12 passes against three at 14, and one image more of 355: of rounding p is 0.051, not 0."""
    assert (
        stats.paired_test(a, b).p
        == pytest.approx(2 * reference.t.sf(np.sqrt(18), 2))
        == pytest.approx(0.0513, abs=1e-4)
    )
    assert stats.welch_test(a, b).p == pytest.approx(2 * reference.t.sf(np.sqrt(18), 4))


def test_a_margin_on_equal_sides_is_not_certainty():
    assert stats.paired_test([14.0] * 3, [14.0] * 3, hypothesis=0.4).p == pytest.approx(0.0513, abs=1e-4)
    assert stats.welch_test([14.0] * 3, [14.0] * 3, hypothesis=0.4).p > 0.01


@pytest.mark.parametrize("n", [2, 3, 8])
def test_sides_of_the_same_numbers_differ_by_nothing(n):
    """What lies between seeds says nothing of a difference that is 0 in each; nor are n seeds a proof of the next."""
    values = np.exp(np.random.default_rng(n).normal(size=n))
    test = stats.paired_test(values, values, continuous=True)
    assert (test.difference, test.low, test.high, test.p) == (0, 0, 0, 1)
    far = stats.paired_test(values, values, 0.05, continuous=True)
    assert far.p == pytest.approx(2 * reference.t.sf(np.sqrt(6 * n), n - 1)) == stats.paired_test([1] * n, [1] * n, 2).p
    on_a_scale = stats.paired_test(values, values)
    assert on_a_scale.low < 0 < on_a_scale.high
    other = stats.paired_test(values, [*values[1:], values[0]], continuous=True)
    assert other.low < other.high


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9))
def test_signed_ranks_are_the_exact_permutation_test(differences):
    """Brute force over every assignment of signs, ties sharing ranks, zeros left out."""
    kept = [x for x in differences if x]
    ranks = reference.rankdata(np.abs(kept)) if kept else []
    seen = abs(float(np.dot(np.sign(kept), ranks))) if kept else 0.0
    every = [abs(float(np.dot(signs, ranks))) for signs in itertools.product((-1, 1), repeat=len(kept))]
    test = stats.signed_rank_test(differences)
    assert test.p == pytest.approx(np.mean([sum_ >= seen - 1e-9 for sum_ in every]))
    assert test.n == len(differences)
    if test.p < 0.05:
        assert np.sign(test.difference) == np.sign(test.t), "the estimate points where the test does"


def test_signed_ranks_agree_with_scipy_without_ties():
    a = np.array([0.3, -1.1, 2.2, 3.7, -0.2, 5.1, 0.9])
    assert stats.signed_rank_test(a).p == pytest.approx(reference.wilcoxon(a, method="exact").pvalue)
    pairs = [(x + y) / 2 for i, x in enumerate(a) for y in a[i:]]
    assert stats.signed_rank_test(a).difference == pytest.approx(np.median(pairs))


@pytest.mark.parametrize("ties", [False, True])
def test_signed_ranks_of_many_pairs_are_judged_by_the_normal_distribution(monkeypatch, ties):
    """The work of all signs grows with the cube of the pairs: minutes at 2,500 seeds, of one cell."""
    drawn = np.random.default_rng(3).normal(0.12, 1.0, stats.EXACT + 1)
    differences = np.round(drawn, 1) if ties else drawn
    differences = differences[differences != 0]
    monkeypatch.setattr(stats, "EXACT", len(differences))
    exact = stats.signed_rank_test(differences)
    monkeypatch.setattr(stats, "EXACT", len(differences) - 1)
    many = stats.signed_rank_test(differences)
    peer = reference.wilcoxon(differences, correction=True, method="asymptotic")
    assert many.p == pytest.approx(peer.pvalue, rel=1e-9)
    assert many.p == pytest.approx(exact.p, rel=0.02)
    assert 0.001 < exact.p < 0.3
    assert many.difference == exact.difference


def test_what_is_not_known_is_left_out_of_the_ranks():
    """Better alone in 6 of 20 seeds, never worse, and in 14 neither arrived: six signs."""
    test = stats.signed_rank_test([math.inf] * 6 + [math.nan] * 14)
    assert (test.n, test.difference, test.p) == (20, math.inf, pytest.approx(2 / 2**6))
    nothing = stats.signed_rank_test([math.nan] * 3)
    assert (nothing.p, nothing.n) == (1.0, 3)


def test_one_pair_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="more seeds"):
        stats.paired_test([1], [2])
    with pytest.raises(ValueError, match="more seeds"):
        stats.welch_test([1, 2], [2])


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_testing_procedure_of_bonferroni(p_values):
    """Reject i iff every set that contains i is rejected by Bonferroni: brute force over all sets."""
    n = len(p_values)
    for i, adjusted in enumerate(stats.holm(p_values)):
        sets = [s for k in range(1, n + 1) for s in itertools.combinations(range(n), k) if i in s]
        assert adjusted == pytest.approx(max(min(1, len(s) * min(p_values[j] for j in s)) for s in sets))


@given(st.lists(st.lists(st.floats(-10, 10), min_size=1, max_size=6), min_size=1, max_size=4))
def test_interquartile_mean_is_the_trimmed_mean_of_all(strata):
    every = np.concatenate(strata)
    assert stats.interquartile_mean(strata) == pytest.approx(reference.trim_mean(every, 0.25), abs=1e-9)


def test_bootstrap_resamples_within_strata():
    """Strata without spread leave nothing to resample: the interval is a point, however far they lie apart."""
    assert stats.bootstrap_interval([[1.0] * 5, [100.0] * 5]) == (50.5, 50.5)


def test_bootstrap_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(1).normal(size=200)
    low, high = stats.bootstrap_interval([values], lambda strata: float(strata[0].mean()), repetitions=4000)
    half = 1.96 * values.std() / math.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_performance_profile_by_hand():
    profile = stats.performance_profile({"a": [1.0, 10.0, np.inf, 4.0], "b": [2.0, 5.0, np.nan, 4.0]}, [1, 2, 10])
    np.testing.assert_allclose(profile["a"], [0.5, 0.75, 0.75])  # nobody solves the third: it counts against both
    np.testing.assert_allclose(profile["b"], [0.5, 0.75, 0.75])
    with pytest.raises(ValueError, match="positive"):
        stats.performance_profile({"a": [0.0]}, [1])
