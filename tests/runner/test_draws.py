"""Points of intervals and functions of values, against scipy's Halton sequence and numpy's spacing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from scipy.stats.qmc import Halton

from batchlab.runner.options import Search
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.draws import PRIMES, Interval, drawn, shares
from batchlab.runner.plan.grid.functions import rounded
from batchlab.runner.plan.grid.parsing import parse


def values(text: str) -> list[float]:
    (sweep,) = parse([f"a={text}"])
    return [setting.value for setting in sweep.settings]


def first(n: int, dimension: int, search: Search, seed: int) -> list[float]:
    return list(itertools.islice(shares(dimension, search, seed), n))


def test_haltons_sequence_is_scipys_but_for_its_first_point() -> None:
    theirs = Halton(len(PRIMES), scramble=False).random(201)[1:]
    ours = np.stack([first(200, i, Search.HALTON, 0) for i in range(len(PRIMES))], axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dimension", [0, 1, 4])
def test_another_seed_moves_all_points_by_the_same(dimension: int) -> None:
    plain, moved = (np.array(first(50, dimension, Search.HALTON, seed)) for seed in (0, 7))
    shift = (moved - plain) % 1.0
    np.testing.assert_allclose(shift, shift[0], atol=1e-12)
    assert 0 < shift[0] < 1


def test_random_points_are_uniform_and_another_coordinate_has_others() -> None:
    one, other = (first(2000, i, Search.RANDOM, 3) for i in range(2))
    assert kstest(one, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.08
    assert one != first(2000, 0, Search.RANDOM, 4)


def test_frozen_points() -> None:
    """Runs on disk are these: another version must draw them again."""
    lr = Interval("lr", 1e-4, 1e-1, log=True)
    assert drawn([lr], [False], 4, Search.HALTON, 0) == [(0.003162,), (0.0005623,), (0.01778,), (0.0002371,)]
    assert drawn([lr], [False], 3, Search.HALTON, 1) == [(0.04587,), (0.008156,), (0.0002579,)]
    assert drawn([lr], [False], 3, Search.RANDOM, 0) == [(0.0001421,), (0.0009322,), (0.001793,)]


ENDS = st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9)).filter(lambda e: e[0] < 0.9 * e[1]).map(tuple)


@settings(max_examples=80)
@given(ENDS, st.booleans(), st.booleans(), st.sampled_from([*Search]), st.integers(0, 5), st.integers(1, 12))
def test_points_lie_within_are_round_and_nested(
    ends: tuple[float, float], log: bool, whole: bool, search: Search, seed: int, n: int
) -> None:
    interval = Interval("a", *ends, log=log)
    within = math.floor(ends[1]) - math.ceil(ends[0]) + 1
    if whole and within < 2 * n:
        with pytest.raises(ConfigError, match=r"different point|no whole number"):
            drawn([interval], [True], 2 * n, search, seed)
        return
    more = drawn([interval], [whole], 2 * n, search, seed)
    assert more[:n] == drawn([interval], [whole], n, search, seed)
    assert len({*more}) == 2 * n
    for (value,) in more:
        assert ends[0] <= value <= ends[1]
        assert value == int(value) if whole else value in (rounded(value), *ends)


def test_the_middle_of_a_logarithm_is_the_geometric_mean() -> None:
    assert Interval("a", 1e-4, 1e-2, log=True).at(0.5) == 1e-3
    assert Interval("a", 0, 10).at(0.5) == 5
    assert [Interval("a", 1, 3).at(u, whole=True) for u in (0, 0.3, 0.34, 0.66, 0.67, 0.999)] == [1, 1, 2, 2, 3, 3]


def test_ten_intervals_at_most_are_even() -> None:
    eleven = [Interval("a", 0, 1)] * 11
    with pytest.raises(ConfigError, match="--search random"):
        drawn(eleven, [False] * 11, 2, Search.HALTON, 0)
    assert len(drawn(eleven, [False] * 11, 2, Search.RANDOM, 0)) == 2


@settings(max_examples=80)
@given(ENDS, st.integers(2, 9), st.booleans())
def test_spaces_are_numpys_with_four_digits_and_exact_ends(ends: tuple[float, float], n: int, down: bool) -> None:
    start, stop = ends[::-1] if down else ends
    for name, theirs in (("logspace", np.geomspace(start, stop, n)), ("linspace", np.linspace(start, stop, n))):
        found = values(f"{name}({start!r},{stop!r},{n})")
        assert (found[0], found[-1], len(found)) == (start, stop, n)
        np.testing.assert_allclose(found, theirs, rtol=6e-4)
        assert all(value == float(f"{value:.4g}") for value in found[1:-1])


def test_values_that_people_can_read() -> None:
    assert values("logspace(1e-4,1e-1,7)") == [0.0001, 0.0003162, 0.001, 0.003162, 0.01, 0.03162, 0.1]
    assert values("linspace(0,1,5)") == [0, 0.25, 0.5, 0.75, 1]
    assert [(value, type(value)) for value in values("logspace(16,128,4)")] == [(v, int) for v in (16, 32, 64, 128)]
    assert values("sort(logspace(1,100,3),reverse=true)") == [100, 10, 1]


def test_ranges_of_fractions_are_what_was_written_without_their_end() -> None:
    assert values("range(0.1,0.4,0.1)") == [0.1, 0.2, 0.3]
    assert values("range(0.4,0.1,-0.1)") == [0.4, 0.3, 0.2]
    assert values("range(0.3,step=0.1)") == [0.0, 0.1, 0.2]
    assert values("range(1e-5,4e-5,1e-5)") == [1e-5, 2e-5, 3e-5]
    assert values("sort(range(0.1,0.4,0.1),reverse=true)") == [0.3, 0.2, 0.1]
    assert [(v, type(v)) for v in values("range(3)")] == [(i, int) for i in range(3)], "Hydra's"


@given(st.integers(-500, 500), st.integers(1, 40), st.integers(0, 30), st.integers(0, 4))
def test_ranges_of_fractions_are_those_of_whole_numbers(start: int, step: int, num: int, digits: int) -> None:
    """Against ranges of whole numbers, of which these are so many tenths, hundredths, ..."""
    ends = [f"{number / 10**digits:.{digits + 1}f}" for number in (start, start + num * step, step)]
    if num:
        assert values(f"range({','.join(ends)})") == [i / 10**digits for i in range(start, start + num * step, step)]


ALONE = "stands alone, not within a list, a block or a choice"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("logspace(0,1,3)", "the ends themselves, not exponents"),
        ("logspace(-4,-1,4)", "the ends themselves, not exponents"),
        ("linspace(0,1,1)", "2 to 10,000 values, not 1"),
        ("linspace(1,1,3)", "two ends"),
        ("linspace(0,inf,3)", "two ends"),
        ("linspace(1,1.0001,9)", "not told apart"),
        ("logspace(1,2)", "missing a required argument: 'num'"),
        ("logspace(1,x,3)", "stop: str is incompatible with"),
        ("logspace(1,2,3),5", ALONE),
        ("interval(0,1),5", ALONE),
        ("[linspace(16,32,2)]", ALONE),
        ("[range(1,3)]", ALONE),
        ("[range(0.1,0.3,0.1)],[4]", ALONE),
        ("[[choice(a,b)]]", ALONE),
        ("{a:range(0,2)}", ALONE),
        ("{a:[interval(0,2)]},{a:1}", ALONE),
        ("choice([logspace(1e-4,1e-2,3)])", ALONE),
        ("range(0,0.3,step=0)", "a step that is not 0"),
        ("range(0,inf)", "a range takes numbers"),
        ("range(0,1,1e-9)", "at most 10,000 values, not 1,000,000,000"),
        ("range(0.4,0.1,0.1)", "matches nothing"),
        ("interval(1,1)", "from a number to a greater one"),
        ("interval(0,inf)", "from a number to a greater one"),
        ("tag(log,interval(0,1))", "begins above 0"),
        ("tag(lin,interval(0,1))", "the only tag of an interval is log"),
        ("range(0,3,step=0)", "must not be zero"),
    ],
)
def test_what_has_no_values_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([f"optimizer.lr={text}"])
    assert str(caught.value).startswith(f"optimizer.lr={text}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_four_digits_are_what_a_share_is_rounded_to() -> None:
    assert math.isclose(rounded(math.pi), 3.142)
