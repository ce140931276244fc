"""What the sequential procedure promises, by simulation: of whole families, through `holm_over_looks`, at every look.

Rates are of repetitions; one is too high where it is above the promise by more than 2.5 standard errors of its own.
Holm's bound is nearly reached at 3 seeds by a t-test whose levels are those of a normal mean, so 5.5 % is promised.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtr

from batchlab.results.compare.sequential import Looks, holm_over_looks
from batchlab.results.compare.stats import paired_test

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

PROMISE = 0.055
REPETITIONS, CLAIMS, SEEDS = 8_000, 12, 20
IMAGES = 355
TOST = Looks(alpha=2 * 0.05)
"""Of equivalence: one-sided tests at 5 %, whose p is doubled."""

SIDES: dict[str, Draw] = {
    "normal": lambda g, size: g.standard_normal(size),
    "coarse": lambda g, size: g.binomial(IMAGES, 0.97, size) / IMAGES,
    "constant": lambda g, size: g.binomial(IMAGES, 0.999, size) / IMAGES,  # 70 % have every image right
    "coin": lambda g, size: (350 + g.binomial(1, 0.5, size)) / IMAGES,  # one image goes either way
    "lognormal": lambda g, size: g.lognormal(0.0, 1.0, size),
    "gamma": lambda g, size: g.gamma(0.5, 1.0, size),
}


def student(a: Array, b: Array, hypothesis: float) -> Array:
    """`paired_test(...).t` along the last axis, its rule for constant differences included."""
    n, differences = a.shape[-1], a - b
    spread = differences.std(-1, ddof=1)
    rounding = 1e-12 * np.maximum(np.abs(a), np.abs(b)).max(-1)
    flat = spread <= rounding
    steps = np.diff(np.sort(np.concatenate([a[flat], b[flat]], -1), -1), axis=-1)
    least = np.where(steps > rounding[flat][:, None], steps, np.inf).min(-1)
    spread[flat] = np.where(np.isfinite(least), least, abs(hypothesis)) / math.sqrt(6)
    excess = differences.mean(-1) - hypothesis
    with np.errstate(divide="ignore", invalid="ignore"):
        t = excess / (spread / math.sqrt(n))
    return np.where(spread > 0, t, np.where(excess == 0, 0.0, np.copysign(np.inf, excess)))


def p_difference(a: Array, b: Array) -> Array:
    """Two-sided, of no difference."""
    return np.asarray(2 * stdtr(a.shape[-1] - 1, -np.abs(student(a, b, 0.0))))


def p_equivalence(a: Array, b: Array, margin: float) -> Array:
    """Twice the greater of the one-sided p of a difference of at least +margin and of at most -margin."""
    df = a.shape[-1] - 1
    return 2 * np.maximum(stdtr(df, student(a, b, margin)), stdtr(df, -student(a, b, -margin)))


def at_looks(looks: Looks, a: Array, b: Array, p: Callable[[Array, Array], Array]) -> Array:
    """p at each look on the first seeds: (repetitions, claims, seeds) to (repetitions, claims, looks)."""
    return np.stack([p(a[..., :n], b[..., :n]) for n in looks.seeds], -1)


def rejected(looks: Looks, p: Array) -> NDArray[np.bool_]:
    """What the family's procedure rejects, (repetitions, claims). Nobody's level is above that of all of alpha, so
    families without a p below it need not be asked."""
    found = np.zeros(p.shape[:2], bool)
    for i in np.flatnonzero((p <= np.array(looks.levels())).any((1, 2))):
        rulings = holm_over_looks(looks, dict(enumerate(p[i].tolist())))
        found[i] = [rulings[claim].rejected for claim in range(p.shape[1])]
    return found


def not_above(wrong: NDArray[np.bool_], promise: float = PROMISE) -> None:
    """See that a rate, less 2.5 of its standard errors, is no more than promised."""
    rate = float(wrong.mean())
    assert rate - 2.5 * math.sqrt(rate * (1 - rate) / len(wrong)) <= promise, f"{rate:.4f} of {len(wrong)}"


def two_sides(draw: Draw, *, shared: bool = False) -> tuple[Array, Array]:
    """Exchangeable sides of every claim; with `shared` all claims are against the same one."""
    generator = np.random.default_rng(11)
    a = draw(generator, (REPETITIONS, CLAIMS, SEEDS))
    b = draw(generator, (REPETITIONS, 1 if shared else CLAIMS, SEEDS))
    return a, np.broadcast_to(b, a.shape)


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize("n", [3, 5, 20])
def test_the_simulated_p_is_that_of_the_paired_test(kind: str, n: int) -> None:
    a, b = SIDES[kind](np.random.default_rng(n), (2, 600, n))
    margin = 0.7 / IMAGES
    tests = [[paired_test(x, y, at) for at in (0.0, margin, -margin)] for x, y in zip(a, b, strict=True)]
    assert p_difference(a, b) == pytest.approx([none.p for none, _, _ in tests], rel=1e-9)
    below = [upper.p / 2 if upper.t < 0 else 1 - upper.p / 2 for _, upper, _ in tests]
    above = [lower.p / 2 if lower.t > 0 else 1 - lower.p / 2 for _, _, lower in tests]
    assert p_equivalence(a, b, margin) == pytest.approx(2 * np.maximum(below, above), rel=1e-9)


def test_the_rounding_rule_is_among_what_is_compared() -> None:
    """Constant differences, of sides that are equal and of sides that are not."""
    a, b = SIDES["coin"](np.random.default_rng(3), (2, 600, 3))
    flat = (a - b).std(-1) < 1e-12
    assert (flat & (a == b).all(-1)).any()
    assert (flat & (a != b).all(-1)).any()


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["independent", "shared"])
@pytest.mark.parametrize("kind", SIDES)
def test_any_of_twelve_null_claims_is_rejected_at_most_as_often_as_said(kind: str, shared: bool) -> None:
    looks = Looks()
    a, b = two_sides(SIDES[kind], shared=shared)
    not_above(rejected(looks, at_looks(looks, a, b, p_difference)).any(1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "coarse", "lognormal"])
def test_large_effects_beside_them_reject_no_null_claim(kind: str) -> None:
    """Six claims with effects of four standard deviations, whose shares of alpha all pass to the six null ones."""
    looks = Looks()
    a, b = two_sides(SIDES[kind])
    a[:, :6] += 4 * a.std()
    found = rejected(looks, at_looks(looks, a, b, p_difference))
    assert found[:, :6].mean() > 0.95, "else nothing is passed on"
    not_above(found[:, 6:].any(1))


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["independent", "shared"])
@pytest.mark.parametrize(("kind", "margin"), [("normal", 3.0), ("normal", 1.0), ("lognormal", 6.0), ("gamma", 2.0)])
def test_a_difference_at_the_margin_is_called_none_at_most_as_often_as_said(
    kind: str, margin: float, shared: bool
) -> None:
    """All twelve differ by just the margin, which for most is so wide that one of the two tests decides alone."""
    a, b = two_sides(SIDES[kind], shared=shared)
    p = at_looks(TOST, a + margin, b, lambda x, y: p_equivalence(x, y, margin))
    not_above(rejected(TOST, p).any(1))


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["independent", "shared"])
@pytest.mark.parametrize(("better", "worse"), [(0.97, 0.96), (0.975, 0.955)])
def test_the_same_of_accuracies(better: float, worse: float, shared: bool) -> None:
    wrong = accuracies_at_the_margin(better, worse, shared=shared)
    not_above(wrong)


def accuracies_at_the_margin(better: float, worse: float, *, shared: bool = False) -> NDArray[np.bool_]:
    """Whether any of twelve true differences of just the margin is called none, by repetition."""
    generator = np.random.default_rng(12)
    a = generator.binomial(IMAGES, better, (REPETITIONS, CLAIMS, SEEDS)) / IMAGES
    b = generator.binomial(IMAGES, worse, (REPETITIONS, 1 if shared else CLAIMS, SEEDS)) / IMAGES
    p = at_looks(TOST, a, np.broadcast_to(b, a.shape), lambda x, y: p_equivalence(x, y, better - worse))
    return rejected(TOST, p).any(1)


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="measured: 9.6 %. Skewed differences at few seeds are beyond a one-sided t-test")
def test_accuracies_at_the_ceiling_are_called_no_different_too_often() -> None:
    not_above(accuracies_at_the_margin(0.999, 0.994))


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="measured: 38 %. The t-test needs differences that are not skewed")
def test_a_skewed_side_against_one_that_never_varies_is_told_apart_too_often() -> None:
    """The means are equal. Exchangeable sides have symmetric differences; a baseline without spread has not."""
    looks = Looks()
    a, _ = two_sides(lambda g, size: g.gamma(1.0, 1.0, size))
    not_above(rejected(looks, at_looks(looks, a, np.ones_like(a), p_difference)).any(1))


@pytest.mark.slow
def test_operating_characteristics_of_a_single_hypothesis() -> None:
    """As stated for looks at 4, 6, 8, 12, 16 and 20 seeds; half a unit of the last digit, and 3 standard errors."""
    looks, repetitions = Looks((4, 6, 8, 12, 16, 20), exponent=2.0), 20_000
    noise = np.random.default_rng(13).standard_normal((repetitions, 1, SEEDS))
    stated = {0.0: (0.054, None), 1.0: (0.98, 12.2), 1.5: (1.0, 9.0), 2.0: (1.0, 7.3), 3.0: (1.0, 5.8)}
    for effect, (often, seeds) in stated.items():
        p = at_looks(looks, noise + effect, np.zeros_like(noise), p_difference)[:, 0]
        found = rejected(looks, p[:, None])[:, 0]
        last_digit = 0.0005 if effect == 0 else 0.005
        assert found.mean() == pytest.approx(often, abs=last_digit + 3 * found.std() / math.sqrt(repetitions))
        if seeds is not None:
            first = np.where(found, (p <= np.array(looks.levels())).argmax(1), len(looks.seeds) - 1)
            used = np.array(looks.seeds)[first]
            assert used.mean() == pytest.approx(seeds, abs=0.05 + 3 * used.std() / math.sqrt(repetitions))
