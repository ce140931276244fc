"""Group-sequential levels against published boundaries and simulation; the family's procedure under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri, stdtr

from batchlab.results.compare.sequential import Looks, holm_over_looks
from batchlab.results.compare.stats import holm

EQUAL = Looks((2, 4, 6, 8, 10), spending="obrien_fleming")


def test_published_boundaries() -> None:
    """Five equally spaced looks with O'Brien-Fleming-type spending, two-sided 5 %: Lan and DeMets's z-values."""
    z = [-float(ndtri(level / 2)) for level in EQUAL.levels()]
    assert z == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=1.5e-4)


def test_levels_of_the_plan_that_the_issue_names() -> None:
    levels = Looks((4, 6, 8, 12, 16, 20)).levels()
    assert levels == pytest.approx([0.0020, 0.0032, 0.0053, 0.0132, 0.0225, 0.0344], abs=5e-5)


def test_a_single_look_is_no_correction() -> None:
    assert Looks((7,)).levels() == pytest.approx([0.05])
    assert Looks((7,)).levels(0.01) == pytest.approx([0.01])


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.lists(st.integers(2, 60), min_size=1, max_size=6, unique=True),
    spending=st.sampled_from(["power", "obrien_fleming"]),
    exponent=st.floats(0.8, 4),
)
def test_the_levels_spend_alpha_and_no_more(seeds: list[int], spending: str, exponent: float) -> None:
    """Brownian motion, simulated: what crosses by each look is what the spending function allows."""
    looks = Looks(tuple(sorted(seeds)), 0.1, spending, exponent)  # type: ignore[arg-type]
    times = np.array(looks.seeds) / looks.seeds[-1]
    generator = np.random.default_rng(1)
    steps = generator.standard_normal((60_000, len(times))) * np.sqrt(np.diff(times, prepend=0.0))
    z = np.abs(steps.cumsum(1)) / np.sqrt(times)
    crossed = (z > -ndtri(np.array(looks.levels()) / 2)).cumsum(1) > 0
    allowed = np.array([looks.spent(time) for time in times])
    assert np.abs(crossed.mean(0) - allowed).max() < 4.5 * math.sqrt(0.1 * 0.9 / 60_000)


@settings(max_examples=20, deadline=None)
@given(low=st.floats(1e-5, 0.2), more=st.floats(1.01, 4))
def test_a_larger_share_of_alpha_has_higher_levels_at_every_look(low: float, more: float) -> None:
    """What makes it right to pass a rejected hypothesis's share on."""
    looks = Looks()
    assert all(a < b for a, b in zip(looks.levels(low), looks.levels(min(0.9, low * more)), strict=True))


@given(p=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_with_one_look_it_is_holm(p: list[float]) -> None:
    found = holm_over_looks(Looks((5,)), {i: [value] for i, value in enumerate(p)})
    plain = holm(p)
    assert [found[i].rejected for i in range(len(p))] == [value <= 0.05 for value in plain]


def test_shares_are_passed_on_at_the_look_and_later() -> None:
    looks = Looks((4, 8))
    first, half = looks.levels()[0], looks.levels(0.025)[0]
    between = (first + half) / 2
    alone = holm_over_looks(looks, {"a": [between], "b": [0.9]})
    assert not alone["a"].rejected, "half of alpha is not enough"
    helped = holm_over_looks(looks, {"a": [between], "b": [half / 2]})
    assert (helped["a"].rejected, helped["a"].look) == (True, 0), "b was rejected, a has all of alpha"
    later = holm_over_looks(looks, {"a": [0.9, looks.levels()[1] * 0.99], "b": [half / 2]})
    assert (later["a"].rejected, later["a"].look, later["a"].level) == (True, 1, looks.levels()[1])


def test_a_hypothesis_that_is_not_followed_keeps_its_share() -> None:
    looks = Looks((4, 8))
    p = looks.levels()[1] * 0.99
    assert holm_over_looks(looks, {"a": [0.5, p]})["a"].rejected
    assert not holm_over_looks(looks, {"a": [0.5, p], "futile": [0.9]})["a"].rejected
    assert math.isnan(holm_over_looks(looks, {"a": [math.nan]})["a"].level)


def test_the_adjusted_p_is_the_alpha_that_would_just_do() -> None:
    looks = Looks()
    found = holm_over_looks(looks, {"a": [0.3, 0.2, 0.004], "b": [0.9, 0.9, 0.9]})["a"]
    assert found.adjusted == pytest.approx(2 * 0.05 * 0.5 * _factor(looks, 0.004, 2), rel=5e-3)


def _factor(looks: Looks, p: float, look: int) -> float:
    """alpha / 0.025 at which the level of the look is p, by bisection."""
    low, high = 1e-6, 0.9
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if looks.levels(middle)[look] > p else (middle, high)
    return high / 0.025


@pytest.mark.parametrize("seeds", [(), (3, 3), (5, 3), (1, 3)])
def test_looks_rise(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="they rise"):
        Looks(seeds)


def test_where_a_plan_stands() -> None:
    looks = Looks()
    assert [looks.last(n) for n in (2, 3, 4, 12, 30)] == [None, 0, 0, 3, 4]
    assert [looks.following(n) for n in (0, 3, 12, 20)] == [3, 5, 20, None]


def t_p(values: np.ndarray) -> np.ndarray:
    """Two-sided p of one-sample t-tests along the last axis."""
    n = values.shape[-1]
    spread = values.std(-1, ddof=1)
    t = values.mean(-1) / np.where(spread > 0, spread, np.inf) * math.sqrt(n)
    return np.asarray(2 * stdtr(n - 1, -np.abs(t)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "skewed", "coarse"])
@pytest.mark.parametrize("claims", [1, 12])
def test_family_wise_rate_of_t_tests_under_the_null(kind: str, claims: int) -> None:
    """Paired differences of twins: continuous, of lognormal times, of accuracies on 355 images."""
    looks, repetitions = Looks(), 40_000 if claims == 1 else 20_000
    generator = np.random.default_rng(7)
    shape = (repetitions, claims, looks.seeds[-1], 2)
    if kind == "normal":
        sides = generator.standard_normal(shape)
    elif kind == "skewed":
        sides = generator.lognormal(0.0, 1.0, shape)
    else:
        sides = generator.binomial(355, 0.93, shape) / 355
    differences = sides[..., 0] - sides[..., 1]
    p = np.stack([t_p(differences[..., :n]) for n in looks.seeds], -1)
    levels = np.array(looks.levels(looks.alpha / claims))  # of Holm's first step: what makes any false rejection
    assert (p <= levels).any((1, 2)).mean() <= 0.055


@pytest.mark.slow
def test_what_it_takes_to_decide() -> None:
    """An effect of 1 sd is decided nearly always, at a dozen seeds on average; larger ones sooner."""
    looks = Looks((4, 6, 8, 12, 16, 20))
    generator = np.random.default_rng(3)
    used = {}
    for effect in (1.0, 1.5, 2.0, 3.0):
        differences = generator.standard_normal((6_000, 20)) + effect
        p = np.stack([t_p(differences[:, :n]) for n in looks.seeds], -1)
        crossed = p <= np.array(looks.levels())
        first = np.where(crossed.any(1), crossed.argmax(1), len(looks.seeds) - 1)
        used[effect] = (crossed.any(1).mean(), np.array(looks.seeds)[first].mean())
    assert used[1.0][0] > 0.96
    assert [round(used[effect][1], 1) for effect in used] == pytest.approx([12.2, 9.0, 7.3, 5.8], abs=0.4)
