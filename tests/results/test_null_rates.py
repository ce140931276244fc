"""How often what is not there is found: simulations of whole tables and claims."""

import numpy as np
import pytest

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import build_table
from batchlab.results.compare.tuning import tuned
from batchlab.results.show.claims_sheet import claims_sheet

PASSES, ACCURACY = Metric("passes"), Metric("test_accuracy")


def claims(metric, n=12):
    return [
        Claim(str(i), "", "ours", Side("A", {"side": f"A{i}"}), (Side("B", {"side": f"B{i}"}),), metric)
        for i in range(n)
    ]


def two_sided(frame_of, values):
    """values: claim -> (A by seed, B by seed)."""
    return frame_of(
        [
            ({"side": f"{name}{i}", "seed": seed}, {"passes": float(x), "test_accuracy": float(x)})
            for i, pair in enumerate(values)
            for name, own in zip("AB", pair, strict=True)
            for seed, x in enumerate(own)
        ]
    )


def test_constant_sides_decide_nothing_at_three_seeds(frame_of):
    """12 passes against 14, and 354 images of 355 against 353: through claims, not only in the test itself."""
    for metric, a, b in ((PASSES, 12, 14), (ACCURACY, 354 / 355, 353 / 355)):
        (item,) = judge(two_sided(frame_of, [([a] * 3, [b] * 3)]), claims(metric, 1))
        assert item.verdict is Verdict.UNDECIDED
        assert item.p_holm == pytest.approx(0.0513, abs=1e-4)
        table = build_table(
            two_sided(frame_of, [([a] * 3, [b] * 3)]), rows=["side"], metrics=[metric], baseline="side=A0"
        )
        assert table.cells[("B0",), (), metric].p_holm == pytest.approx(0.0513, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "n", "draw"),
    [
        (PASSES, 3, lambda g, size: g.choice([12.0, 14.0], size)),
        (PASSES, 5, lambda g, size: g.choice([12.0, 14.0], size)),
        (ACCURACY, 3, lambda g, size: g.binomial(355, 0.97, size) / 355),
        (ACCURACY, 5, lambda g, size: np.round(355 * (0.97 + 0.004 * g.normal(size=size))) / 355),
        (PASSES, 3, lambda g, size: np.exp(0.3 * g.normal(size=size))),
    ],
)
def test_any_of_twelve_null_claims_is_decided_at_most_as_often_as_said(frame_of, metric, n, draw):
    generator, repetitions = np.random.default_rng(0), 1500
    wrong = 0
    for _ in range(repetitions):
        frame = two_sided(frame_of, draw(generator, (12, 2, n)))
        wrong += any(item.verdict is not Verdict.UNDECIDED for item in judge(frame, claims(metric)))
    assert wrong / repetitions <= 0.055


def pooled(frame_of, generator, methods=("A", "B"), rates=5, seeds=3):
    """What a seed does to a method it does at every rate."""
    luck = generator.normal(size=(len(methods), 1, seeds))
    values = 0.9 + 0.01 * (luck + 0.5 * generator.normal(size=(len(methods), rates, seeds)))
    return frame_of(
        [
            ({"method": method, "rate": rate, "seed": seed}, {"test_accuracy": float(values[i, rate, seed])})
            for i, method in enumerate(methods)
            for rate in range(rates)
            for seed in range(seeds)
        ]
    )


def test_five_rates_of_three_seeds_are_three_seeds(frame_of):
    frame = pooled(frame_of, np.random.default_rng(0))
    table = build_table(frame, rows=["method"], metrics=[ACCURACY], baseline="method=A")
    cell = table.cells[("B",), (), ACCURACY]
    assert (cell.summary.n, cell.test.n, cell.test.df) == (3, 3, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("tuned", "seeds"), [(None, 3), ("rate", 6)])
def test_rates_are_no_evidence(frame_of, tuned, seeds):
    """Pairs of seed and rate found a difference in a third of the cases, judging on the seeds that chose in 10 %."""
    generator, repetitions = np.random.default_rng(1), 3000
    found = 0
    for _ in range(repetitions):
        frame = pooled(frame_of, generator, seeds=seeds)
        table = build_table(frame, rows=["method"], metrics=[ACCURACY], baseline="method=A", tuned=tuned)
        found += table.cells[("B",), (), ACCURACY].p_holm < 0.05
    assert found / repetitions == pytest.approx(0.05, abs=0.012)


def chosen(frame_of, generator, n, rates, tuning=2):
    """The verdict on two methods alike in all, each at the rate of `rates` that `tuning` further seeds choose.

    Seeds that choose for each other (each by all but itself) decide 9 % at n = 3 and 17 % at n = 10 with 3 rates, 11
    and 24 % with 9: what one is judged by has chosen for all the others.
    """
    values = 0.9 + 0.01 * generator.normal(size=(2, rates, tuning + n))
    frame = frame_of(
        [
            ({"side": f"{name}0", "rate": rate, "seed": seed, "tuning": seed < tuning}, {"test_accuracy": float(x)})
            for name, offered in zip("AB", values, strict=True)
            for rate, own in enumerate(offered)
            for seed, x in enumerate(own)
        ]
    )
    (item,) = judge(tuned(frame, ACCURACY, "rate", ["side"]).frame, claims(ACCURACY, 1))
    assert item.comparisons[0].seeds == n
    return item.verdict


@pytest.mark.slow
@pytest.mark.parametrize("rates", [3, 9])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_chosen_rate_is_no_evidence(frame_of, n, rates):
    generator, repetitions = np.random.default_rng(3), 2500
    wrong = sum(chosen(frame_of, generator, n, rates) is not Verdict.UNDECIDED for _ in range(repetitions))
    assert wrong / repetitions == pytest.approx(0.05, abs=0.013)  # three standard errors


def test_a_chosen_rate_is_no_evidence_in_short(frame_of):
    """Seeds that choose for each other decide about 67 of 400 here, which is 11 standard errors away."""
    generator = np.random.default_rng(3)
    wrong = sum(chosen(frame_of, generator, 10, 3) is not Verdict.UNDECIDED for _ in range(400))
    assert wrong <= 33  # 3 standard errors above 20


def test_intervals_hold_together(frame_of):
    """Of 12 claims each interval is one of 1 - 0.05 / 12; and so in tables."""
    from batchlab.results.compare.stats import paired_test

    generator = np.random.default_rng(2)
    values = 0.9 + 0.01 * generator.normal(size=(12, 2, 4))
    judged = judge(two_sided(frame_of, values), claims(ACCURACY))
    wide = paired_test(*values[0], level=1 - 0.05 / 12)
    shown = claims_sheet(judged).records[0]
    assert (shown["ci_low"], shown["ci_high"]) == pytest.approx((wide.low, wide.high))
    assert "12 claims" in " ".join(claims_sheet(judged).notes)
    table = build_table(two_sided(frame_of, values), rows=["side"], metrics=[ACCURACY], baseline="side=A0")
    test = table.cells[("B0",), (), ACCURACY].test
    wide = paired_test(values[0][1], values[0][0], level=1 - 0.05 / 23)
    assert (test.low, test.high) == pytest.approx((wide.low, wide.high))
