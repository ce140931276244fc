"""Claims decided in looks: each verdict is that of the first look it falls at, and what comes later changes nothing."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.decide import Plan, decide, equivalence
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.sequential import Looks
from batchlab.results.compare.smallest import Smallest

ACCURACY = Metric("test_accuracy")
LOOKS = Looks((3, 5, 8))
HALF_A_POINT = Smallest(difference=0.5)
NOISE = np.array([0.0011, -0.0007, 0.0002, -0.0013, 0.0009, 0.0004, -0.0012, 0.0006])
"""Eight seeds' worth, of standard deviation 0.00095: half a point, 0.005, is far away."""
WIDE = 20 * np.array([1.1, -0.9, 0.4, -1.2, 0.8, -0.5, 1.0, -0.7]) / 100
"""Of which nothing can be said."""


def claims(n=1, metric=ACCURACY, **more):
    return [
        Claim(f"A{i} beats B{i}", "", "ours", Side("A", {"side": f"A{i}"}), (Side("B", {"side": f"B{i}"}),), metric)
        for i in range(n)
    ]


def measure(asked):
    return lambda frame: judge(frame, asked)


def plan(looks=LOOKS, smallest=HALF_A_POINT):
    return Plan(looks, tuple(range(looks.seeds[-1])), smallest)


def told(item):
    """All that a page says of a claim, NaN being itself."""
    return repr((item.verdict, item.p, item.p_holm, item.level, item.ruling, item.comparisons, item.needed))


def frame(frame_of, *differences, states=None, info=None):
    """A frame whose pair i differs by these amounts, seed by seed; `states` by (side, seed)."""
    states, runs = states or {}, []
    for i, own in enumerate(differences):
        for seed, difference in enumerate(own):
            base = 0.7 + 0.01 * math.sin(7 * i + seed)
            for name, value in (("A", base + difference), ("B", base)):
                state = states.get((f"{name}{i}", seed), "done")
                numbers = {"test_accuracy": float(value)} if state == "done" else {}
                runs.append(({"side": f"{name}{i}", "seed": seed}, numbers, state, info or {}))
    return frame_of(runs)


def one(frame_of, differences, smallest=HALF_A_POINT, **more):
    (item,) = decide(frame(frame_of, differences, **more), measure(claims()), plan(smallest=smallest))
    return item


@pytest.mark.parametrize(
    ("differences", "verdict", "look"),
    [
        (0.05 + NOISE, Verdict.HOLDS, 0),
        (-0.05 - NOISE, Verdict.DOES_NOT_HOLD, 0),
        (0.01 + 3 * NOISE, Verdict.HOLDS, 1),
        (-0.01 + 3 * NOISE, Verdict.DOES_NOT_HOLD, 1),
        (NOISE, Verdict.NO_DIFFERENCE, 0),
        (3 * NOISE, Verdict.NO_DIFFERENCE, 1),
        (WIDE, Verdict.UNDECIDED, 2),
    ],
)
def test_the_first_look_at_which_it_falls(frame_of, differences, verdict, look):
    item = one(frame_of, differences)
    n = LOOKS.seeds[look]
    assert (item.verdict, item.ruling.look, item.seeds) == (verdict, look, n)
    assert not item.ruling.open, "decided, or after the last look"
    p = stats.ttest_1samp(differences[:n], 0).pvalue
    assert item.p == pytest.approx(p)
    assert item.comparisons[0].test.difference == pytest.approx(differences[:n].mean()), "measured on its look's seeds"
    if verdict in (Verdict.HOLDS, Verdict.DOES_NOT_HOLD):
        assert p <= item.level == pytest.approx(LOOKS.levels()[look])
        assert all(
            stats.ttest_1samp(differences[:m], 0).pvalue > LOOKS.levels()[i] for i, m in enumerate((3, 5)[:look])
        )


def test_later_runs_change_nothing_of_a_verdict(frame_of):
    """What is decided at a look is said with the numbers of that look, whatever the seeds after it say."""
    for early in (0.05 + NOISE[:3], 0.0003 * np.array([1, -1, 0.5])):
        before = one(frame_of, early)
        assert before.verdict is not Verdict.UNDECIDED
        for later in (-0.2, 0.2):
            after = one(frame_of, np.concatenate([early, later + NOISE[3:]]))
            assert told(after) == told(before)
    flipped = one(frame_of, np.concatenate([WIDE[:3], 0.05 + NOISE[3:] / 9]))
    assert flipped.verdict is Verdict.UNDECIDED, "all looks are on all seeds so far, and these scatter"


def in_words(differences, looks, smallest):
    """The rule again, from its description: Holm over looks of paired t-tests, and of two one-sided ones."""
    number = len(differences)
    fell = {}
    for kind, alpha in (("apart", looks.alpha), ("alike", 2 * looks.alpha)):
        left = set(range(number))
        for look, n in enumerate(looks.seeds):
            p = []
            for own in differences:
                d = own[:n]
                both = [
                    stats.ttest_1samp(d, smallest, alternative="less").pvalue,
                    stats.ttest_1samp(d, -smallest, alternative="greater").pvalue,
                ]
                p.append(stats.ttest_1samp(d, 0).pvalue if kind == "apart" else 2 * max(both))
            while now := {i for i in left if p[i] <= looks.levels(alpha / len(left))[look]}:
                for i in now:
                    fell[kind, i] = look
                left -= now
    verdicts = []
    for i, own in enumerate(differences):
        apart, alike = fell.get(("apart", i), 99), fell.get(("alike", i), 99)
        if apart == alike == 99:
            verdicts.append((Verdict.UNDECIDED, len(looks.seeds) - 1))
        elif apart <= alike:
            up = own[: looks.seeds[apart]].mean() > 0
            verdicts.append((Verdict.HOLDS if up else Verdict.DOES_NOT_HOLD, apart))
        else:
            verdicts.append((Verdict.NO_DIFFERENCE, alike))
    return verdicts


def test_a_family_as_the_rule_says(frame_of):
    """Random families of one to five claims, against a transcription of the rule that shares nothing but the levels."""
    generator, seen = np.random.default_rng(5), set()
    for _ in range(40):
        number = int(generator.integers(1, 6))
        shifts = generator.choice([-0.02, -0.004, 0.0, 0.004, 0.01], number)
        spreads = generator.choice([0.001, 0.004, 0.02], number)
        differences = shifts[:, None] + spreads[:, None] * generator.normal(size=(number, 8))
        found = decide(frame(frame_of, *differences), measure(claims(number)), plan())
        told = [(item.verdict, item.ruling.look) for item in found]
        assert told == in_words(differences, LOOKS, 0.005)
        assert {item.family for item in found} == {number}
        seen.update(told)
    assert len(seen) >= 9, "nearly all verdicts at all looks have come up"


def test_readings_and_groups_are_families_of_their_own(frame_of):
    """Two claims at whole runs and one in another group: the lone one has all of alpha."""
    alone, half = LOOKS.levels(0.05)[0], LOOKS.levels(0.025)[0]
    differences = next(
        own
        for shift in np.linspace(0.002, 0.2, 4000)
        if half < stats.ttest_1samp(own := shift + NOISE[:3], 0).pvalue < alone
    )
    made = frame(frame_of, differences, WIDE[:3], differences)
    first, third = claims(3)[:2], claims(3)[2:]
    both = lambda part: [*judge(part, first, "one"), *judge(part, third, "two")]  # noqa: E731
    found = decide(made, both, plan(smallest=Smallest()))
    assert [item.verdict for item in found] == [Verdict.UNDECIDED, Verdict.UNDECIDED, Verdict.HOLDS]
    assert [item.family for item in found] == [2, 2, 1]


def test_equivalence_is_two_one_sided_tests(frame_of):
    generator = np.random.default_rng(6)
    for shift in (-0.009, -0.002, 0.0, 0.003, 0.02):
        d = shift + 0.004 * generator.normal(size=6)
        (item,) = judge(frame(frame_of, d), claims())
        below = stats.ttest_1samp(d, 0.005, alternative="less").pvalue
        above = stats.ttest_1samp(d, -0.005, alternative="greater").pvalue
        assert equivalence(item, HALF_A_POINT) == pytest.approx(min(1.0, 2 * max(below, above)))
    assert math.isnan(equivalence(item, Smallest(share=0.05))), "none is stated for differences"


def test_no_difference_needs_to_be_told_from_the_effect(frame_of):
    """The same scatter around zero: decided where half a point is far away, not where nothing is stated."""
    assert one(frame_of, NOISE, HALF_A_POINT).verdict is Verdict.NO_DIFFERENCE
    for smallest in (Smallest(difference=0.05), Smallest(share=0.5), Smallest()):
        assert one(frame_of, NOISE, smallest).verdict is Verdict.UNDECIDED
    item = one(frame_of, NOISE)
    assert item.ruling.smallest == "0.5 points"
    assert 0 < item.ruling.p_equal < 0.05


def test_a_real_difference_that_is_small_is_said_to_be_one(frame_of):
    """Below the smallest effect, but certain: at the same look being apart comes first."""
    assert one(frame_of, 0.002 + NOISE / 400).verdict is Verdict.HOLDS


def test_against_several_rivals(frame_of):
    """No different from one of two is not better than both; beaten needs both."""
    runs = []
    for seed, noise in enumerate(NOISE):
        for side, value in (("A", 0.8), ("B", 0.8 + noise), ("C", 0.7 + noise)):
            runs.append(({"side": side, "seed": seed}, {"test_accuracy": value + 0.01 * math.sin(seed)}))
    a, b, c = (Side(name, {"side": name}) for name in "ABC")
    asked = [
        Claim("A beats B and C", "", "ours", a, (b, c), ACCURACY),
        Claim("A beats C", "", "ours", a, (c,), ACCURACY),
    ]
    both, weaker = decide(frame_of(runs), measure(asked), plan())
    assert (both.verdict, weaker.verdict) == (Verdict.NO_DIFFERENCE, Verdict.HOLDS)
    (least,) = [equivalence(item, HALF_A_POINT) for item in judge(frame_of(runs), asked[:1])]
    d = -NOISE
    sides = [
        stats.ttest_1samp(d, 0.005, alternative="less").pvalue,
        stats.ttest_1samp(d, -0.005, alternative="greater").pvalue,
    ]
    assert least == pytest.approx(2 * 2 * max(sides)), "twice for two sides, twice for two rivals"


def test_runs_that_were_lost_are_outcomes_of_their_look(frame_of):
    """Seven of eight A diverge or fail: by signed ranks p is least at 2 / 2^8, below the last look's level alone."""
    lost = {("A0", seed): ("diverged", "failed")[seed % 2] for seed in range(8)}
    item = one(frame_of, 0.05 + NOISE, states=lost)
    assert (item.verdict, item.ruling.look) == (Verdict.DOES_NOT_HOLD, 2)
    assert item.p == pytest.approx(2 / 2**8)
    assert item.comparisons[0].test.ranks
    assert item.lost == {"diverged": 4, "failed": 4}
    first = one(frame_of, (0.05 + NOISE)[:3], states=lost)
    assert (first.verdict, first.ruling.look, first.ruling.open) == (Verdict.UNDECIDED, 0, True)
    assert first.p == pytest.approx(2 / 2**3)
    both = one(frame_of, (0.05 + NOISE)[:3], states={("A0", 2): "diverged", ("B0", 2): "failed"})
    assert (both.ruling.look, both.seeds) == (0, 3), "a seed that everybody lost is there all the same"
    late = one(frame_of, 0.05 + NOISE, states={("A0", 6): "diverged"})
    assert (late.verdict, late.ruling.look) == (Verdict.HOLDS, 0), "a loss after the look is none of its outcomes"


@pytest.mark.parametrize("state", ["pending", "interrupted", "running", "crashed"])
def test_a_look_is_not_reached_while_a_run_of_it_is_not_over(frame_of, state):
    cut = one(frame_of, 0.01 + 3 * NOISE[:5], states={("B0", 4): state})
    assert (cut.verdict, cut.ruling.look, cut.ruling.open) == (Verdict.UNDECIDED, 0, True)
    assert cut.seeds == 3, "what there is of the look is not peeked at"
    assert cut.ruling.missing == {"r9"}
    none = one(frame_of, 0.05 + NOISE, states={("A0", 1): state})
    assert (none.verdict, none.ruling.look) == (Verdict.UNDECIDED, None), "nor any look after it"
    assert none.ruling.missing == {"r2"}


def test_a_look_lacks_seeds_that_nobody_planned_yet(frame_of):
    """A frame of the store alone holds no pending runs: then none can be named, and the look has still not come."""
    item = one(frame_of, 0.01 + 3 * NOISE[:4])
    assert (item.ruling.look, item.ruling.open, item.ruling.missing) == (0, True, frozenset())


def test_claims_without_runs_and_without_a_p_are_not_open(frame_of):
    busy = one(frame_of, 0.05 + NOISE, info={"contention": 3.0})
    assert busy.verdict is Verdict.HOLDS, "accuracy is not a time"
    runs = [
        (
            {"side": f"{side}0", "seed": seed},
            {"train_seconds": 1.0 + (side == "A") + noise},
            "done",
            {"contention": 3.0},
        )
        for side in "AB"
        for seed, noise in enumerate(NOISE[:3])
    ]
    (timed,) = decide(frame_of(runs), measure(claims(metric=Metric("train_seconds"))), plan())
    assert math.isnan(timed.p)
    assert (timed.verdict, timed.ruling.open, timed.ruling.missing) == (Verdict.UNDECIDED, False, frozenset())
    assert "busy machine" in timed.reason
    (nobody,) = decide(
        frame_of([({"side": "B0", "seed": 0}, {"test_accuracy": 0.5})]).where(side="X"), measure(claims()), plan()
    )
    assert (nobody.verdict, nobody.ruling) == (Verdict.UNDECIDED, None)


def test_a_claim_that_cannot_be_tested_keeps_its_share(frame_of):
    """Of two claims one is of a metric that nobody measured: the other has half of alpha, at every look."""
    asked = [*claims(), *claims(metric=Metric("f1"))]
    found = decide(frame(frame_of, 0.01 + 3 * NOISE), measure(asked), plan())
    assert found[0].level == pytest.approx(LOOKS.levels(0.025)[found[0].ruling.look])
    assert not found[1].ruling.open


def test_a_plan_comes_back_as_it_was_written():
    looks = Looks((4, 9), 0.1, "obrien_fleming", 3.0)
    written = Plan(looks, tuple(range(5, 14)), Smallest(0.25, 0.1), "2026-01-01T00:00:00+00:00", 7)
    assert Plan.of(json.loads(json.dumps(written.record()))) == written
    for damaged in ({}, written.record() | {"looks": None}, written.record() | {"looks": [3, 2]}):
        with pytest.raises(ValueError, match=r"damaged|rise"):
            Plan.of(damaged)


def test_a_look_sees_its_seeds_and_the_runs_that_tune(frame_of):
    runs = [({"side": "A0", "seed": seed, "tuning": seed > 90}, {"test_accuracy": 0.5}) for seed in (0, 1, 2, 3, 7, 99)]
    seen = Plan(Looks((2, 3)), (7, 0, 1)).at(frame_of(runs), 0)
    assert [run.value("seed") for run in seen.runs] == [0, 7, 99], "seeds in the plan's order, not the least ones"


def test_the_store_alone_gives_the_same_verdicts_at_every_stage(lab, curve):
    """Seed by seed as an interrupted sweep leaves them: what is decided stays, word for word, to the end."""
    asked, differences = claims(2), (0.01 + 3 * NOISE, NOISE / 2)
    for i in range(2):
        asked[i] = Claim(
            str(i), "", "ours", Side("A", {"optimizer": f"a{i}"}), (Side("B", {"optimizer": "b"}),), ACCURACY
        )
    known = {}
    for seed in range(8):
        base = 0.7 + 0.01 * math.sin(seed)
        for name, value in (("b", base), *((f"a{i}", base + own[seed]) for i, own in enumerate(differences))):
            lab.run(f"{name}-{seed}", curve([0.5, value]), optimizer=name, seed=seed)
            found = decide(load(lab.store), measure(asked), plan())
            again = decide(load(lab.store), measure(asked), Plan.of(plan().record()))
            assert list(map(told, found)) == list(map(told, again))
            for i, item in enumerate(found):
                if item.verdict is not Verdict.UNDECIDED:
                    known.setdefault(i, (name, seed, item.verdict, told(item)))
                    assert told(item) == known[i][-1], (i, name, seed)
    assert [known[i][:3] for i in (0, 1)] == [("a0", 4, Verdict.HOLDS), ("a1", 2, Verdict.NO_DIFFERENCE)]


REPETITIONS = 1200


def rate_at_most(wrong, promise=0.055):
    """See that a rate, less 2.5 of its standard errors, is no more than promised."""
    rate = np.mean(wrong)
    assert rate - 2.5 * math.sqrt(rate * (1 - rate) / len(wrong)) <= promise, f"{rate:.4f} of {len(wrong)}"


def simulated(frame_of, shift):
    """Families of four claims on normal differences that share one true mean: who got which verdict."""
    generator = np.random.default_rng(17)
    for _ in range(REPETITIONS):
        differences = shift + 0.004 * generator.normal(size=(4, 8))
        yield {item.verdict for item in decide(frame(frame_of, *differences), measure(claims(4)), plan())}


@pytest.mark.slow
def test_a_difference_that_is_not_there_is_found_at_most_as_often_as_said(frame_of):
    rate_at_most([bool(found & {Verdict.HOLDS, Verdict.DOES_NOT_HOLD}) for found in simulated(frame_of, 0.0)])


@pytest.mark.slow
def test_the_smallest_effect_is_called_no_difference_at_most_as_often_as_said(frame_of):
    rate_at_most([Verdict.NO_DIFFERENCE in found for found in simulated(frame_of, 0.005)])


def sides_of(frame_of, values):
    runs = [
        ({"side": name, "seed": seed}, {"test_accuracy": float(value)})
        for name, own in values.items()
        for seed, value in enumerate(own)
    ]
    return frame_of(runs)


def pairs(*names):
    metric = Metric("test_accuracy")
    return [Claim(f"{x} {y}", "", "ours", Side(x, {"side": x}), (Side(y, {"side": y}),), metric) for x, y in names]


def test_a_look_has_come_when_each_side_has_its_seeds(frame_of):
    """a went on for another pair: its seeds are none of b's."""
    generator = np.random.default_rng(4)
    a, b = (0.9 + 0.002 * generator.normal(size=n) for n in (8, 3))
    plan = Plan(Looks((3, 8)), tuple(range(8)))
    (item,) = decide(sides_of(frame_of, {"a": a, "b": b}), lambda frame: judge(frame, pairs("ab")), plan)
    assert item.verdict is Verdict.UNDECIDED
    assert item.ruling is not None
    assert item.ruling.look == 0


def test_who_ended_is_tested_no_more(frame_of):
    """No difference beyond 5 points at three seeds; at eight, for others, they differ by 2 beyond all doubt."""
    generator = np.random.default_rng(4)
    noise = 0.001 * generator.normal(size=(2, 8))
    shift = np.array([0.0] * 3 + [0.02] * 5)
    plan = Plan(Looks((3, 8)), tuple(range(8)), Smallest(difference=5.0))
    frame = sides_of(frame_of, {"a": 0.9 + shift + noise[0], "b": 0.9 + noise[1]})
    (whole,) = decide(frame, lambda part: judge(part, pairs("ab")), replace(plan, smallest=Smallest()))
    assert whole.verdict is Verdict.HOLDS
    (item,) = decide(frame, lambda part: judge(part, pairs("ab")), plan)
    assert item.verdict is Verdict.NO_DIFFERENCE
    assert item.ruling is not None
    assert item.ruling.look == 0
