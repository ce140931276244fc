"""Which differences are real: intervals, tests and summaries, written out from their formulas.

Only `scipy.special` is imported: `scipy.stats` alone would take longer than a whole table.
Everything takes finite numbers unless it says otherwise; seeds are the replicates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit

Array = NDArray[np.float64]
LEVEL = 0.95
ALPHA = 0.05
EXACT = 200
"""Pairs up to which signed ranks are judged by all their signs: the work grows with the cube."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A sample in five numbers; what needs more values than there are is NaN.

    Attributes:
        n: How many values.
        mean: Their mean.
        std: Sample standard deviation (n - 1).
        low: Lower end of the t interval of the mean.
        high: Upper end.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a difference.

    Attributes:
        n: Pairs; of an unpaired test the size of the smaller sample.
        difference: The estimate: of means, or, of ranks, the median of the pairwise averages, which may be infinite.
        low: Lower end of the t interval; NaN of ranks.
        high: Upper end.
        t: The statistic: Student's, or the sum of signed ranks.
        df: Degrees of freedom; NaN of ranks.
        p: Two-sided, of `difference = hypothesis`.
        paired: Whether values were paired.
        ranks: Whether it is one of signed ranks.
    """

    n: int
    difference: float
    low: float
    high: float
    t: float
    df: float
    p: float
    paired: bool
    ranks: bool = False

    def at_level(self, level: float) -> Test:
        """The same test with the interval of another level, for several that hold at the same time."""
        if math.isnan(self.df):
            return self
        wider = t_quantile(self.df, level) / t_quantile(self.df, LEVEL)
        low, high = (self.difference + wider * (end - self.difference) for end in (self.low, self.high))
        return replace(self, low=low, high=high)


def summarize(values: ArrayLike, level: float = LEVEL) -> Summary:
    """n, mean, standard deviation (n - 1) and the Student t interval of the mean.

    The interval is NaN for n = 1: one run says nothing about its spread.

    Args:
        values: Of shape (n,), finite; n may be 0.
        level: Of the interval.
    """
    sample = np.asarray(values, dtype=float)
    n = len(sample)
    if n == 0:
        return Summary(0, math.nan, math.nan, math.nan, math.nan)
    mean = float(sample.mean())
    if n == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan)
    std = float(sample.std(ddof=1))
    half = t_quantile(n - 1, level) * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half)


def t_quantile(df: float, level: float = LEVEL) -> float:
    """Half-width of the two-sided Student t interval in standard errors."""
    return float(stdtrit(df, 0.5 + level / 2))


def paired_test(
    a: ArrayLike,
    b: ArrayLike,
    hypothesis: float = 0.0,
    level: float = LEVEL,
    rounded: float = math.inf,
    *,
    continuous: bool = False,
) -> Test:
    """Student's paired t-test of mean(a - b) = hypothesis, two-sided.

    Equal differences have no spread to go by, but are no certainty: they come of a coarse scale (accuracies are
    multiples of one image, passes are whole stages). Their spread is then taken to be that of rounding to it, the scale
    being the least step between the values; with three seeds at 12 passes against three at 14, p is 0.051. Where all
    values are equal the hypothesis stands for that step.

    Values of no scale are never equal by chance: where each of a is that of b, both come of the same computation. Their
    difference is 0, without an interval to speak of, and the step between seeds says nothing of it: the hypothesis
    stands for it here too, so that few seeds are no proof that all further ones will be equal.

    Args:
        a: Of shape (n,), n at least 2.
        b: Of the same shape, in the same order.
        hypothesis: The difference that is tested.
        level: Of the interval.
        rounded: The standard deviation of a difference by rounding alone, where more is known of the scale than these
            values say.
        continuous: Whether values are on no scale of steps.

    Raises:
        ValueError: For fewer than 2 pairs.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    differences = first - second
    if len(differences) < 2:
        raise ValueError("a paired test needs at least 2 pairs: run more seeds")
    n = len(differences)
    spread = float(differences.std(ddof=1))
    rounding = 1e-12 * float(np.abs([first, second]).max())
    if continuous and float(np.abs(differences).max()) <= rounding:
        error = abs(hypothesis) / math.sqrt(6 * n)
        return replace(_t_test(n, 0.0, error, n - 1, hypothesis, level, paired=True), low=0.0, high=0.0)
    if spread <= rounding:
        # Rounding is uniform over a step, of variance step^2 / 12, on either side of the difference.
        spread = min((_least_step(first, second, rounding) or abs(hypothesis)) / math.sqrt(6), rounded)
    error = spread / math.sqrt(n)
    return _t_test(n, float(differences.mean()), error, n - 1, hypothesis, level, paired=True)


def welch_test(a: ArrayLike, b: ArrayLike, hypothesis: float = 0.0, level: float = LEVEL) -> Test:
    """Welch's t-test of mean(a) - mean(b) = hypothesis, two-sided, variances not assumed equal.

    Degrees of freedom by Welch and Satterthwaite.

    Args:
        a: Of shape (n,), n at least 2.
        b: Of shape (m,), m at least 2.
        hypothesis: The difference that is tested.
        level: Of the interval.

    Raises:
        ValueError: For fewer than 2 values on either side.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(len(first), len(second)) < 2:
        raise ValueError("Welch's test needs at least 2 values on each side: run more seeds")
    va, vb = float(first.var(ddof=1)) / len(first), float(second.var(ddof=1)) / len(second)
    rounding = 1e-12 * float(np.abs(np.concatenate([first, second])).max())
    if math.sqrt(va + vb) <= rounding:
        floor = (_least_step(first, second, rounding) or abs(hypothesis)) ** 2 / 12
        va, vb = floor / len(first), floor / len(second)
    spread = va**2 / (len(first) - 1) + vb**2 / (len(second) - 1)
    df = (va + vb) ** 2 / spread if spread > 0 else len(first) + len(second) - 2
    difference = float(first.mean() - second.mean())
    return _t_test(min(len(first), len(second)), difference, math.sqrt(va + vb), df, hypothesis, level, paired=False)


def _least_step(first: Array, second: Array, rounding: float) -> float:
    """The least difference between any two of the values; 0 where all are equal."""
    steps = np.diff(np.unique(np.concatenate([first, second])))
    return float(min(steps[steps > rounding], default=0.0))


def signed_rank_test(differences: ArrayLike, hypothesis: float = 0.0) -> Test:
    """Wilcoxon's signed-rank test of paired differences, two-sided, for outcomes that have no number.

    An infinite difference is a pair of which one side has an outcome worse than any number: it ranks above all finite
    ones. Pairs that differ by just the hypothesis are left out of ranks and estimate, equal sizes share their ranks,
    and p is the share of all assignments of signs whose sum of signed ranks is as far from 0 (Wilcoxon, 1945; Pratt's
    zeros are not kept). Of more than `EXACT` pairs it is that of a normal distribution of the same variance, the sum of
    the squared ranks, with a correction for continuity.

    Args:
        differences: Of shape (n,), at least 2, finite or infinite; NaN: not known which is greater, left out too.
        hypothesis: The difference that is tested.

    Raises:
        ValueError: For fewer than 2 pairs.

    >>> round(signed_rank_test([math.inf] * 8).p, 4), signed_rank_test([1.0, -1.0, math.inf]).p
    (0.0078, 0.75)
    """
    shifted = np.asarray(differences, dtype=float) - hypothesis
    if len(shifted) < 2:
        raise ValueError("a paired test needs at least 2 pairs: run more seeds")
    kept = shifted[(shifted != 0) & ~np.isnan(shifted)]
    sizes, place, counts = np.unique(np.abs(kept), return_inverse=True, return_counts=True)
    doubled = (2 * counts.cumsum() - counts + 1)[place] if len(sizes) else np.zeros(0, int)  # twice the shared ranks
    statistic = int((np.sign(kept) * doubled).sum())
    middle = hypothesis + _pseudomedian(kept) if len(kept) else math.nan
    p = min(1.0, _beyond(doubled, abs(statistic)))
    return Test(len(shifted), middle, math.nan, math.nan, statistic / 2, math.nan, p, paired=True, ranks=True)


def _beyond(ranks: NDArray[np.int_], statistic: int) -> float:
    """The chance that ranks, doubled, with random signs sum to something as far from 0."""
    if len(ranks) > EXACT:
        half = 2  # of the step between sums of the ranks 2, 4, 6, ...
        deviation = math.sqrt(float((ranks.astype(float) ** 2).sum()))
        return 2 * float(ndtr(-max(0, statistic - half) / deviation))
    total = int(ranks.sum())
    ways = np.zeros(2 * total + 1)  # by the sum of signed ranks, shifted by their total
    ways[total] = 1.0
    for rank in ranks:
        ways = np.roll(ways, int(rank)) / 2 + np.roll(ways, -int(rank)) / 2
    return float(ways[np.abs(np.arange(-total, total + 1)) >= statistic].sum())


def _pseudomedian(values: Array) -> float:
    """The median of all pairwise averages (Hodges and Lehmann, 1963); opposite infinities cancel."""
    with np.errstate(invalid="ignore"):
        averages = (values[:, None] + values[None, :]) / 2
    averages[np.isnan(averages)] = 0.0
    pairs = averages[np.triu_indices(len(values))]
    middle = [(len(pairs) - 1) // 2, len(pairs) // 2]
    low, high = map(float, np.partition(pairs, middle)[middle])
    return low if low == high else (low + high) / 2 if math.isfinite(low + high) else high if low + high > 0 else low


def _t_test(
    n: int, difference: float, error: float, df: float, hypothesis: float, level: float, *, paired: bool
) -> Test:
    excess = difference - hypothesis
    if error > 0:
        t = excess / error
        p = 2 * float(stdtr(df, -abs(t)))
    else:
        t = 0.0 if excess == 0 else math.copysign(math.inf, excess)
        p = 1.0 if excess == 0 else 0.0
    half = t_quantile(df, level) * error
    return Test(n, difference, difference - half, difference + half, t, df, p, paired)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm, 1979): controls the chance of any false rejection in the family.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Args:
        p_values: Of the family, no NaN.

    Returns:
        The adjusted ones, in the same order.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def interquartile_mean(strata: Sequence[ArrayLike]) -> float:
    """Mean of the middle half of all values: 25 % of them, rounded down, are left out at each end.

    Args:
        strata: The values of each task, of any length.
    """
    values = np.sort(np.concatenate([np.asarray(stratum, dtype=float) for stratum in strata]))
    cut = len(values) // 4
    return float(values[cut : len(values) - cut].mean())


def bootstrap_interval(
    strata: Sequence[ArrayLike],
    statistic: Callable[[Sequence[Array]], float] = interquartile_mean,
    *,
    repetitions: int = 2000,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `statistic` under the stratified bootstrap (Agarwal et al., NeurIPS 2021).

    Args:
        strata: The values of each task, resampled with replacement within the task, so that every resample has
            as many runs of every task as the data.
        statistic: What the interval is of.
        repetitions: How many resamples.
        level: Of the interval.
        seed: Of the resampling.

    Returns:
        The lower and the upper end.
    """
    samples = [np.asarray(stratum, dtype=float) for stratum in strata]
    generator = np.random.default_rng(seed)
    drawn = [statistic([generator.choice(sample, len(sample)) for sample in samples]) for _ in range(repetitions)]
    return _percentiles(np.array(drawn), level)


def improvement(
    a: Sequence[ArrayLike], b: Sequence[ArrayLike], *, repetitions: int = 2000, level: float = LEVEL, seed: int = 0
) -> tuple[float, float, float]:
    """Probability of improvement (Agarwal et al., NeurIPS 2021): that a run of a is better than one of b.

    On each task it is the share of all pairs of their runs of which a's is better, equals counting one half (the
    statistic of Mann and Whitney over its greatest value); then the mean over tasks.

    Args:
        a: The values of each task, more is better; infinite ones are compared like any other.
        b: The same of the other side, over the same tasks.
        repetitions: Resamples of the stratified bootstrap, of both sides within each task; 0: no interval.
        level: Of its percentile interval.
        seed: Of the resampling.

    Returns:
        The estimate, and the lower and upper end; NaN without resamples.
    """
    pairs = [(np.asarray(x, dtype=float), np.asarray(y, dtype=float)) for x, y in zip(a, b, strict=True)]
    estimate = float(np.mean([_wins(x[None], y[None])[0] for x, y in pairs]))
    if not repetitions:
        return estimate, math.nan, math.nan
    generator = np.random.default_rng(seed)

    def drawn(own: Array) -> Array:
        return own[generator.integers(len(own), size=(repetitions, len(own)))]

    resampled = np.mean([_wins(drawn(x), drawn(y)) for x, y in pairs], axis=0)
    return estimate, *_percentiles(resampled, level)


def _wins(a: Array, b: Array) -> Array:
    """By row the share of pairs of which a's is greater, equals counting one half; both of shape (rows, runs)."""
    first, second = a[:, :, None], b[:, None, :]
    return np.asarray(((first > second) + 0.5 * (first == second)).mean(axis=(1, 2)))


def _percentiles(drawn: Array, level: float) -> tuple[float, float]:
    """The ends of a percentile interval: between two resamples, or one of them where some are infinite."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(drawn, ends, method="linear" if np.isfinite(drawn).all() else "inverted_cdf")
    return float(low), float(high)


def performance_profile(costs: Mapping[str, ArrayLike], ratios: ArrayLike) -> dict[str, Array]:
    """Share of problems each solver solves within a ratio of the best (Dolan and Moré, 2002).

    A problem that nobody solves counts against everybody.

    Args:
        costs: For each solver one cost per problem, of shape (problems,), positive, in the same order; inf or NaN
            where it did not solve the problem.
        ratios: Of shape (r,), each at least 1.

    Returns:
        For each solver an array of shape (r,), of shares from 0 to 1.

    Raises:
        ValueError: For a cost that is not positive.
    """
    table = np.stack([np.asarray(cost, dtype=float) for cost in costs.values()])
    table = np.where(np.isnan(table), np.inf, table)
    if (table <= 0).any():
        raise ValueError("performance profiles need positive costs")
    best = table.min(axis=0)
    relative = np.divide(table, best, out=np.full_like(table, np.inf), where=np.isfinite(best))
    grid = np.asarray(ratios, dtype=float)
    return {solver: np.asarray((relative[i][None, :] <= grid[:, None]).mean(axis=1)) for i, solver in enumerate(costs)}
