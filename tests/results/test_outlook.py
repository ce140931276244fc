"""What it would take to decide: seeds against scipy's noncentral t and a simulation, minutes of runs side by side."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.decide import Plan, decide
from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outlook import minutes_a_seed, outlook
from batchlab.results.compare.power import needed_one_sided
from batchlab.results.compare.sequential import Looks
from batchlab.results.compare.smallest import Smallest
from batchlab.results.show.claims_sheet import outlook_text
from batchlab.results.show.effects import effect
from batchlab.results.store.run import State
from batchlab.results.words import duration

ACCURACY = Metric("test_accuracy")


def one(frame_of, differences, level=0.05, info=None, name="test_accuracy", base=0.5, **more):
    """One claim on pairs that differ by this, at a level."""
    claim = Claim("A beats B", "", "ours", Side("A", {"side": "A"}), (Side("B", {"side": "B"}),), Metric(name), **more)
    runs = [
        ({"side": side, "seed": seed}, {name: base + (side == "A") * d}, "done", info(side, seed) if info else {})
        for side in "AB"
        for seed, d in enumerate(differences)
    ]
    (item,) = judge(frame_of(runs), [claim])
    return replace(item, level=level)


def scaled(mean, spread, n=6):
    """n differences of just this mean and standard deviation."""
    noise = np.random.default_rng(n).normal(size=n)
    return mean + spread * (noise - noise.mean()) / noise.std(ddof=1)


def fewest(sees):
    """The least n from 2 that does."""
    return next(n for n in range(2, 2000) if sees(n))


def two_sided(effect, level):
    def sees(n):
        edge = stats.t.ppf(1 - level / 2, n - 1)
        law = stats.nct(n - 1, effect * math.sqrt(n))
        return law.sf(edge) + law.cdf(-edge) >= 0.8

    return fewest(sees)


@pytest.mark.parametrize("level", [0.05, 0.01, 0.002])
@pytest.mark.parametrize("effect", [0.3, 0.6, 1.0, -0.8])
def test_seeds_that_show_a_difference(frame_of, effect, level):
    """At the level of the look, with a chance of 80 %, were the effect and its spread what they look like."""
    seeds, _ = outlook(one(frame_of, scaled(0.01 * effect, 0.01), level))
    assert seeds == max(7, two_sided(effect, level))


def test_one_more_than_there_are_at_least(frame_of):
    """What should have been decided and was not takes more than it has."""
    assert outlook(one(frame_of, scaled(0.05, 0.01), 1e-9))[0] > 6
    assert outlook(one(frame_of, scaled(0.05, 0.01), 0.05))[0] == 7


def test_a_margin_is_what_it_is_measured_from(frame_of):
    near = outlook(one(frame_of, scaled(0.012, 0.01), margin=0.006))[0]
    assert near == max(7, two_sided(0.6, 0.05))
    far = outlook(one(frame_of, scaled(-0.001, 0.01), margin=0.009, within=True))[0]
    assert far == max(7, two_sided(0.8, 0.05))


@pytest.mark.parametrize("level", [0.05, 0.005])
@pytest.mark.parametrize("gap", [0.5, 0.8, 1.5])
def test_seeds_that_show_no_difference(frame_of, gap, level):
    """Where the effect is nearer to nothing than to the smallest one, it is quicker told from that."""
    differences = scaled(0.001, 0.01)

    def sees(n):
        return stats.nct(n - 1, gap * math.sqrt(n)).sf(stats.t.ppf(1 - level, n - 1)) >= 0.8

    seeds, _ = outlook(one(frame_of, differences, level), 0.001 + gap * 0.01)
    assert seeds == max(7, fewest(sees))
    assert outlook(one(frame_of, differences, level), 0.0005)[0] > 500, "beyond the smallest effect this is no way"


def test_so_many_seeds_do_decide():
    """Simulated: with the fewest pairs it is seen in 80 % of cases, with one less it is not."""
    generator, level = np.random.default_rng(8), 0.02
    n = needed_one_sided(0.9, level)
    found = []
    for pairs in (n, n - 1):
        values = generator.normal(0.9, 1.0, (60_000, pairs))
        t = values.mean(1) / values.std(1, ddof=1) * math.sqrt(pairs)
        found.append((t > stats.t.ppf(1 - level, pairs - 1)).mean())
    assert found[0] > 0.8 - 0.005
    assert found[1] < 0.8 + 0.005


@pytest.mark.parametrize(("name", "same"), [("train_loss", True), ("test_loss", True), ("test_accuracy", False)])
def test_the_same_numbers_in_every_seed(frame_of, name, same):
    """That is said instead of an interval; of accuracies, which may be equal by chance, more seeds may decide."""
    claim = Claim("A beats B", "", "ours", Side("A", {"side": "A"}), (Side("B", {"side": "B"}),), Metric(name))
    runs = [({"side": side, "seed": i}, {name: value}) for side in "AB" for i, value in enumerate((0.25, 0.5, 0.625))]
    (item,) = judge(frame_of(runs), [claim])
    assert item.p == 1
    assert (item.needed is None) is same
    assert effect(item, item.comparisons[0]).endswith("the same numbers in every seed")
    looks = Plan(Looks((3, 5, 8)), tuple(range(8)), Smallest.parse(["5%", "0.01"]))
    runs = [({"side": side, "seed": i}, {name: 0.3 + i / 7}) for side in "AB" for i in range(8)]
    (ruled,) = decide(frame_of(runs), lambda frame: judge(frame, [claim]), looks)
    if same:
        assert ruled.verdict is Verdict.NO_DIFFERENCE, "that there is none takes seeds as well"
        assert ruled.ruling.look == 1


def test_nothing_to_go_by(frame_of):
    """No p or no spread: then no number is made up. Of ranks it is known how many must go one way."""
    lost = [({"side": s, "seed": k}, {"test_accuracy": 0.5 + 0.01 * k}) for s in "AB" for k in range(4)]
    lost[1] = (lost[1][0], {}, "diverged")
    sides = Side("A", {"side": "A"}), (Side("B", {"side": "B"}),)
    (ranks,) = judge(frame_of(lost), [Claim("", "", "ours", *sides, ACCURACY)])
    assert ranks.comparisons[0].test.ranks
    n, minutes = outlook(ranks)
    assert n == 6, "2^-5 is 0.031: six seeds that all go one way"
    assert math.isnan(minutes)
    (untested,) = judge(frame_of(lost[:1]), [Claim("", "", "ours", *sides, ACCURACY)])
    assert outlook(untested)[0] is None
    assert outlook(one(frame_of, [0.0] * 4))[0] is None, "equal in all, at no smallest effect"


def span(seed, start, stop, run_id=None):
    """A run from minute to minute of a day."""
    times = (f"2026-01-01T{int(m) // 60:02d}:{int(m) % 60:02d}:{round(m % 1 * 60):02d}+00:00" for m in (start, stop))
    info = dict(zip(("started", "ended"), times, strict=True))
    return RunRow(run_id or f"{seed}-{start}-{stop}", State.DONE, None, info, {"seed": seed}, {}, {})


@pytest.mark.parametrize(
    ("runs", "minutes"),
    [
        ([span(0, 0, 10), span(1, 10, 20)], 10),  # one after the other
        ([span(0, 0, 10), span(1, 0, 10)], 5),  # side by side
        ([span(0, 0, 10), span(1, 5, 15), span(2, 6, 7)], 5),  # overlapping, and one within
        ([span(0, 0, 10), span(1, 100, 110)], 10),  # what lies between two sessions is nobody's time
        ([span(0, 0, 3), span(0, 3, 6), span(1, 6, 9), span(1, 9, 12)], 6),  # two runs each
        ([span(1, 20, 25), span(0, 0, 10)], 7.5),  # whatever their order
        ([span(0, 0, 8, "a"), span(0, 0, 8, "a")], 8),  # a run that is on two sides is one
        ([span(0, 0, 0.5), span(1, 0.5, 1)], 0.5),
    ],
)
def test_minutes_a_seed(runs, minutes):
    assert minutes_a_seed(runs) == pytest.approx(minutes)


def test_runs_that_do_not_say_when_have_no_part_in_it():
    silent = RunRow("x", State.DONE, None, {}, {"seed": 7}, {}, {})
    odd = RunRow("y", State.DONE, None, {"started": "noon", "ended": None}, {"seed": 8}, {}, {})
    assert minutes_a_seed([span(0, 0, 4), silent, odd]) == pytest.approx(4)
    assert math.isnan(minutes_a_seed([silent, odd]))
    assert math.isnan(minutes_a_seed([]))


def test_the_minutes_are_of_the_seeds_that_are_missing(frame_of):
    """Two minutes a run, both sides one after the other: four a seed."""

    def info(side, seed):
        return span(seed, 4 * seed + 2 * (side == "B"), 4 * seed + 2 * (side == "B") + 2).info

    item = one(frame_of, scaled(0.006, 0.01), 0.05, info)
    seeds, minutes = outlook(item)
    assert minutes == pytest.approx(4 * (seeds - 6))
    assert item.verdict is Verdict.UNDECIDED
    assert (
        outlook_text(replace(item, needed=seeds, minutes=minutes))
        == f"about {seeds} seeds would decide, {duration(60 * minutes)} more"
    )


LOOKS = (3, 5, 8, 12)


@pytest.mark.parametrize("look", [0, 1, 2])
@pytest.mark.parametrize("spread", [0.004, 0.005, 0.006, 0.008, 0.01, 0.016, 0.03, 0.06])
@pytest.mark.parametrize("lacking", [0, 1])
def test_in_looks_it_is_the_seeds_of_a_look_to_come(frame_of, spread, look, lacking):
    """Nothing is decided between two looks, and a seed that was left out does not come back."""
    n = LOOKS[look]
    values = [*scaled(0.012, spread, n - lacking), *[None] * lacking]
    runs = [
        (
            {"side": side, "seed": seed},
            {} if d is None and side == "A" else {"test_accuracy": 0.5 + (side == "A") * d if d else 0.5},
            "done",
            span(seed, 10 * seed + 5 * (side == "B"), 10 * seed + 5 * (side == "B") + 5).info,
        )
        for side in "AB"
        for seed, d in enumerate(values)
    ]
    claimed = Claim("A beats B", "", "ours", Side("A", {"side": "A"}), (Side("B", {"side": "B"}),), ACCURACY)
    (item,) = decide(frame_of(runs), lambda part: judge(part, [claimed]), Plan(Looks(LOOKS), tuple(range(12))))
    if item.verdict is not Verdict.UNDECIDED:
        pytest.skip("decided")
    assert (item.seeds, item.ruling.look) == (n - lacking, look)
    pairs = max(n - lacking + 1, two_sided(0.012 / spread, Looks(LOOKS).levels()[look]))
    later = [seeds for seeds in LOOKS if seeds > n and seeds - lacking >= pairs]
    text = outlook_text(item)
    if not later:
        assert text == f"about {pairs} seeds would decide, beyond this plan's 12"
        return
    assert item.needed == later[0]
    assert item.minutes == pytest.approx(10 * (later[0] - n))
    place = LOOKS.index(later[0])
    which = "the next look" if place == look + 1 else f"look {place + 1} of 4"
    assert text == f"{later[0]} seeds would decide: {which}, {duration(60 * item.minutes)} more"


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0.001, "1 s"),
        (0.2, "12 s"),
        (3.5, "3 min 30 s"),
        (179, "2 h 59 min"),
        (500, "8 h 20 min"),
        (6000, "100 h 00 min"),
    ],
)
def test_the_minutes_are_said_as_every_other_time_is(frame_of, minutes, said):
    item = replace(one(frame_of, scaled(0.006, 0.01)), needed=9, minutes=minutes)
    assert outlook_text(item) == f"about 9 seeds would decide, {said} more"
