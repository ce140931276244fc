"""The adaptive batch schedules: their statistics from the formulas, how they grow, and where they do not."""

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.optimizers.batch import (
    AdaptiveBatch,
    AugmentedInnerProductTest,
    CoordinateTest,
    InnerProductTest,
    NormTest,
)
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.moments import GradientMoments
from batchlab.optimizers.moments.per_sample import PerSample


def observe(test: AdaptiveBatch, gradients: np.ndarray, sizes: list[int] | None = None) -> GradientMoments:
    """Reduced moments of groups whose mean gradients are the rows."""
    weight = torch.zeros(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    moments = test.moments([weight])
    for row, size in zip(gradients, sizes or [1] * len(gradients), strict=True):
        weight.grad = torch.from_numpy(row.copy())
        moments.observe(size)
    moments.reduce()
    return moments


def noisy(samples: int, mean: float, seed: int = 0) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(size=(samples, 5))


def by_definition(g: np.ndarray, eta: float, theta: float, nu: float) -> dict[str, float]:
    mean = g.mean(0)
    square, along = mean @ mean, g @ mean
    rest = g - np.outer(along, mean) / square
    return {
        "norm": g.var(0, ddof=1).sum() / (eta**2 * square),
        "inner product": along.var(ddof=1) / (theta**2 * square**2),
        "orthogonality": rest.var(0, ddof=1).sum() / (nu**2 * square),
        "coordinate": (g.var(0, ddof=1) / (eta**2 * mean**2)).max(),
    }


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(2, 20),
    mean=st.floats(0.05, 10),
    seed=st.integers(0, 2**31),
    eta=st.floats(0.05, 0.99),
    theta=st.floats(0.05, 3),
    nu=st.floats(0.05, 3),
)
def test_statistics_and_their_identity(
    samples: int, mean: float, seed: int, eta: float, theta: float, nu: float
) -> None:
    g = noisy(samples, mean, seed)
    expected = by_definition(g, eta, theta, nu)
    augmented = AugmentedInnerProductTest(theta=theta, nu=nu)
    moments = observe(augmented, g)
    norm = NormTest(eta=eta).statistic(moments)
    along = InnerProductTest(theta=theta).statistic(moments)
    orthogonal = moments.orthogonal_variance() / (nu**2 * moments.norm_squared())
    assert norm == pytest.approx(expected["norm"], rel=1e-9)
    assert along == pytest.approx(expected["inner product"], rel=1e-9)
    assert orthogonal == pytest.approx(expected["orthogonality"], rel=1e-9)
    assert augmented.statistic(moments) == pytest.approx(max(along, orthogonal), rel=1e-12)
    # ||Var(g_i)||_1 = ||Var(r_i)||_1 + Var(<g_i, g>) / ||g||^2
    assert eta**2 * norm == pytest.approx(theta**2 * along + nu**2 * orthogonal, rel=1e-10)
    coordinate = CoordinateTest(eta=eta)
    assert coordinate.statistic(observe(coordinate, g)) == pytest.approx(expected["coordinate"], rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(group=st.integers(2, 30), groups=st.integers(2, 8), seed=st.integers(0, 2**31))
def test_ddp_norm_is_smaller_by_the_factor_of_the_groups(group: int, groups: int, seed: int) -> None:
    """The published estimator lacks b_J J / (J - 1): the eta that translates is smaller by its square root."""
    rows, sizes = noisy(groups, 1.0, seed), [group] * groups
    unbiased, published = NormTest(eta=0.5), NormTest(eta=0.5, estimator="ddp_norm")
    factor = group * groups / (groups - 1)
    t, t_published = unbiased.statistic(observe(unbiased, rows, sizes)), observe(published, rows, sizes)
    assert t_published.variance() == pytest.approx(((rows - rows.mean(0)) ** 2).sum() / groups, rel=1e-10)
    assert t == pytest.approx(factor * published.statistic(t_published), rel=1e-10)
    translated = NormTest(eta=0.5 / math.sqrt(factor), estimator="ddp_norm")
    assert translated.statistic(t_published) == pytest.approx(t, rel=1e-10)


def test_the_estimates_agree_on_average() -> None:
    """Groups of unequal sizes estimate the per-sample variance without bias."""
    generator = np.random.default_rng(0)
    sizes = [1, 2, 5, 8, 16]
    estimates = []
    for _ in range(4000):
        g = generator.normal(size=(sum(sizes), 3)) * [1.0, 2.0, 0.5]
        rows = np.array([part.mean(0) for part in np.split(g, np.cumsum(sizes)[:-1])])
        weights = np.array(sizes)
        mean = weights @ rows / weights.sum()
        estimates.append((weights @ (rows - mean) ** 2).sum() / (len(sizes) - 1))
    test = NormTest()
    assert observe(test, rows, sizes).variance() == pytest.approx(estimates[-1], rel=1e-10)
    assert np.mean(estimates) == pytest.approx(1 + 4 + 0.25, abs=4 * np.std(estimates) / math.sqrt(4000))


def test_growth_is_monotone_of_the_next_batch_and_capped() -> None:
    test = NormTest(initial=4, maximum=100, eta=0.5)
    sizes = [test.value]
    for mean in (2.0, 0.7, 5.0, 0.6, 0.01, 3.0):
        g = noisy(test.value, mean)
        t = by_definition(g, 0.5, 1, 1)["norm"]
        before, testing = test.value, test.listening
        moments = observe(test, g)
        test.update(moments)
        expected = min(100, max(before, math.ceil(t))) if testing and t > before else before
        assert test.value == expected
        record = test.record()
        assert record["batch"] == test.value
        if testing:
            assert record["statistic"] == pytest.approx(t)
            assert (record["threshold"], record["groups"]) == (before, before)
        else:
            assert set(record) == {"batch"}
        assert moments.measuring == test.listening
        sizes.append(test.value)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 3
    assert sizes[-1] == 100
    assert not test.listening


def test_a_batch_cut_short_by_the_epoch_does_not_shrink_the_size() -> None:
    test = NormTest(initial=50, eta=0.9)
    moments = observe(test, noisy(3, 0.6))
    t = NormTest(eta=0.9).statistic(moments)
    assert 3 < t < 50
    test.update(moments)
    assert test.value == 50


def test_interval_and_state() -> None:
    def drive(test: NormTest, steps: range) -> list[dict[str, float]]:
        records = []
        for i in steps:
            test.update(observe(test, noisy(4, 1.0 / (i + 1), seed=i)))
            records.append(test.record())
        return records

    whole = drive(NormTest(initial=4, interval=3), range(8))
    assert [("statistic" in r) for r in whole] == [True, False, False, True, False, False, True, False]
    first, second = NormTest(initial=4, interval=3), NormTest(initial=4, interval=3)
    head = drive(first, range(4))
    second.load_state_dict(first.state_dict())
    assert head + drive(second, range(4, 8)) == whole


def test_the_cap_is_the_training_set_without_a_maximum() -> None:
    test = NormTest(initial=4, eta=0.05)
    assert test.size(Clock(0, 0, 60, 600, None)) == 4
    test.update(observe(test, noisy(4, 0.001)))
    assert test.value == test.size(Clock(4, 1, 60, 600, None)) == 60
    assert not test.listening


@pytest.mark.parametrize("make", [NormTest, InnerProductTest, AugmentedInnerProductTest, CoordinateTest])
def test_degenerate_gradients_are_defined(make: type[AdaptiveBatch]) -> None:
    def after(rows: list[list[float]], sizes: list[int] | None = None) -> tuple[float, int]:
        test = make(initial=4, maximum=100)
        test.update(observe(test, np.array(rows), sizes))
        return test.record()["statistic"], test.value

    assert after([[0.0, 0.0]] * 4) == (0.0, 4)  # no signal and no noise: nothing to average away
    statistic, value = after([[math.nan, 1.0], [1.0, 1.0]])
    assert (math.isnan(statistic), value) == (True, 4)
    statistic, value = after([[math.inf, 1.0], [1.0, 1.0]])
    assert (math.isnan(statistic), value) == (True, 4)
    # Noise around exactly 0: no batch is large enough for the norm; the other two have no direction to test.
    expected = {NormTest: (math.inf, 100), AugmentedInnerProductTest: (math.inf, 100)}
    assert after([[1.0, 1.0], [-1.0, -1.0]]) == expected.get(make, (0.0, 4))
    with pytest.warns(RuntimeWarning, match="micro-batches"):
        statistic, value = after([[1.0, 1.0]], [50])
    assert (math.isnan(statistic), value) == (True, 4)


def test_an_infinite_statistic_without_a_cap_changes_nothing() -> None:
    test = NormTest(initial=4)
    test.update(observe(test, np.array([[1.0], [-1.0]])))
    assert test.value == 4


@pytest.mark.parametrize("make", [NormTest, InnerProductTest, AugmentedInnerProductTest, CoordinateTest])
def test_gradients_changed_in_place_after_reduce_change_no_statistic(make: type[AdaptiveBatch]) -> None:
    """By clipping, or by an optimizer: torch's Nesterov momentum with foreach adds to the gradients themselves."""
    test, g = make(), noisy(4, 1.0)
    untouched, clipped, stepped = (observe(test, g) for _ in range(3))
    torch.nn.utils.clip_grad_norm_(clipped.params, 0.1)
    torch.optim.SGD(stepped.params, lr=0.1, momentum=0.9, nesterov=True, foreach=True).step()
    assert test.statistic(clipped) == test.statistic(stepped) == test.statistic(untouched)


def test_what_a_test_needs_is_asked_for() -> None:
    moments = observe(NormTest(), noisy(4, 1.0))
    with pytest.raises(ValueError, match="inner_products=True"):
        InnerProductTest().update(moments)
    with pytest.raises(ValueError, match="elementwise=True"):
        CoordinateTest().update(moments)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"initial": 0}, "initial"),
        ({"initial": 9, "maximum": 8}, "below initial"),
        ({"interval": 0}, "interval"),
        ({"eta": 0.0}, "eta"),
        ({"eta": 1.0}, r"eta=1.0 must be in \(0, 1\)"),
        ({"eta": math.nan}, "eta"),
    ],
)
def test_wrong_settings(options: dict[str, float], match: str) -> None:
    for make in (NormTest, CoordinateTest):
        with pytest.raises(ValueError, match=match):
            make(**options)


def test_a_batch_that_nothing_bounds_is_warned_of_once() -> None:
    test, rows = NormTest(initial=4), noisy(4, 1.0)
    with pytest.warns(RuntimeWarning, match="Give maximum"):
        test.update(observe(test, rows))
    bounded, sized = NormTest(initial=4, maximum=8), NormTest(initial=4)
    sized.size(Clock(0, 0, 60, 600, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quiet in (test, bounded, sized):
            quiet.update(observe(quiet, rows))


@pytest.mark.parametrize("make", [NormTest, InnerProductTest, AugmentedInnerProductTest, CoordinateTest])
def test_at_the_cap_no_sample_is_looked_at_on_its_own(
    make: type[AdaptiveBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless an optimizer needs the second moments by coordinate at every step."""
    looked: list[bool] = []
    backward = PerSample.backward

    def watched(self: PerSample, *args: Any) -> Any:
        looked.append(True)
        return backward(self, *args)

    monkeypatch.setattr(PerSample, "backward", watched)
    for needed in (False, True):
        model = torch.nn.Linear(3, 2)
        test = make(initial=4, maximum=8, estimator="per_sample")
        moments = test.moments(model.parameters(), elementwise=needed)
        test.value = 8
        looked.clear()
        for _ in range(3):
            x, y = torch.randn(8, 3), torch.randint(2, (8,))
            moments.backward(model, functools.partial(F.cross_entropy, reduction="none"), x, y)
            moments.reduce()
            if needed:
                assert all(torch.equal(p.grad, g) for p, g in zip(moments.params, moments.means(), strict=True))
            test.update(moments)
            moments.reset()
        assert len(looked) == (3 if needed else 1), "the first step finds out that the size is at its cap"


@pytest.mark.parametrize("options", [{"maximum": 50, "eta": 0.05}, {"maximum": 50, "eta": 0.9, "interval": 3}])
def test_a_loop_resumes_bit_for_bit(options: dict[str, float]) -> None:
    """At its cap and between tests a step is not taken sample by sample, and rounds otherwise."""

    def trained(resumed_at: int | None) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Tanh(), torch.nn.Linear(30, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        test = NormTest(initial=25, estimator="per_sample", **options)
        moments = test.moments(model.parameters())
        for step in range(8):
            if step == resumed_at:
                state, test = test.state_dict(), NormTest(initial=25, estimator="per_sample", **options)
                test.load_state_dict(state)
                moments = test.moments(model.parameters())
                moments.measuring = test.listening
            x, y = torch.randn(test.value, 20), torch.randint(3, (test.value,))
            moments.backward(model, functools.partial(F.cross_entropy, reduction="none"), x, y)
            moments.reduce()
            optimizer.step()
            test.update(moments)
            moments.reset()
        return list(model.parameters())

    for a, b in zip(trained(None), trained(5), strict=True):
        assert torch.equal(a, b)
