"""The one rule: verdicts on data whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from batchlab.results.compare.claims import Claim, Side, Verdict, observed
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import holm, paired_test
from batchlab.results.show.claims_sheet import claims_sheet, family_text
from batchlab.results.show.render import FORMATS, render

SHB, ADAM = Side("SHB", {"optimizer": "shb"}), Side("Adam", {"optimizer": "adam"})
ACCURACY = Metric("test_accuracy")


def claim(better=ADAM, rivals=(SHB,), metric=ACCURACY, **more):
    return Claim("Adam is better", "Table 1", "read", better, rivals, metric, **more)


def fill(lab, curve, values, name="test_accuracy", **more):
    for optimizer, finals in values.items():
        for seed, final in enumerate(finals):
            rows = curve([0.5, final], name)
            lab.run(
                f"{optimizer}{seed}{''.join(map(str, more.values()))}", rows, optimizer=optimizer, seed=seed, **more
            )


BASE = [0.80, 0.84, 0.88, 0.82]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.020, 0.021, 0.019, 0.022], Verdict.HOLDS),
        ([-0.020, -0.021, -0.019, -0.022], Verdict.DOES_NOT_HOLD),
        ([0.02, -0.03, 0.01, 0.02], Verdict.UNDECIDED),
    ],
)
def test_verdicts_on_known_truths(lab, curve, differences, verdict):
    better = [x + d for x, d in zip(BASE, differences, strict=True)]
    fill(lab, curve, {"shb": BASE, "adam": better})
    (judged,) = judge(load(lab.store), [claim()])
    assert judged.verdict is verdict
    assert judged.p_holm == pytest.approx(paired_test(better, BASE).p)
    (comparison,) = judged.comparisons
    assert comparison.ours == pytest.approx(np.mean(better))
    assert comparison.test.difference == pytest.approx(np.mean(differences))


def test_a_margin_asks_for_more(lab, curve):
    fill(lab, curve, {"shb": BASE, "adam": [x + d for x, d in zip(BASE, [0.020, 0.021, 0.019, 0.022], strict=True)]})
    judged = judge(load(lab.store), [claim(margin=m) for m in (0.01, 0.02, 0.05, -0.01)])
    verdicts = [Verdict.HOLDS, Verdict.UNDECIDED, Verdict.DOES_NOT_HOLD, Verdict.HOLDS]
    assert [item.verdict for item in judged] == verdicts


def test_within_a_margin(lab, curve):
    fill(lab, curve, {"shb": BASE, "adam": [x + d for x, d in zip(BASE, [0.001, -0.001, 0.002, 0.0], strict=True)]})
    judged = judge(load(lab.store), [claim(margin=m, within=True) for m in (0.01, 0.0008)])
    assert [item.verdict for item in judged] == [Verdict.HOLDS, Verdict.UNDECIDED]
    fill(lab, curve, {"sgd": [x - 0.05 for x in BASE[:3]] + [BASE[3] - 0.051]})
    far = claim(better=Side("SGD", {"optimizer": "sgd"}), margin=0.01, within=True)
    (judged,) = judge(load(lab.store), [far])
    assert judged.verdict is Verdict.DOES_NOT_HOLD


def test_apart_by_a_margin_whichever_is_better(lab, curve):
    steps = [0.05, 0.05, 0.05, 0.051]
    better = [x + d for x, d in zip(BASE, steps, strict=True)]
    worse = [x - d for x, d in zip(BASE, steps, strict=True)]
    near = [x + d for x, d in zip(BASE, [0.001, -0.001, 0.002, 0.0], strict=True)]
    fill(lab, curve, {"shb": BASE, "adam": near, "sgd": worse, "lamb": better})
    sides = [Side(name, {"optimizer": name}) for name in ("lamb", "sgd", "adam")]
    judged = judge(load(lab.store), [claim(better=side, margin=0.01, apart=True) for side in sides])
    assert [item.verdict for item in judged] == [Verdict.HOLDS, Verdict.HOLDS, Verdict.DOES_NOT_HOLD]
    (unsure,) = judge(load(lab.store), [claim(better=sides[2], margin=0.0008, apart=True)])
    assert unsure.verdict is Verdict.UNDECIDED


def test_opposite_differences_do_not_cancel_in_a_distance(lab, curve):
    """Adam is 5 points above SHB under one schedule and 5 below under the other: on the mean of both they are alike."""
    for schedule, sign in (("constant", 1), ("cosine", -1)):
        shifted = [x + sign * (0.05 + 0.001 * (seed % 2)) for seed, x in enumerate(BASE)]
        fill(lab, curve, {"shb": BASE, "adam": shifted}, lr_schedule=schedule)
    asked = [claim(margin=0.01, match=("lr_schedule",), **{kind: True}) for kind in ("within", "apart")]
    near, far = judge(load(lab.store), asked)
    assert (near.verdict, far.verdict) == (Verdict.DOES_NOT_HOLD, Verdict.HOLDS)
    assert [comparison.stratum for comparison in near.comparisons] == [("constant",), ("cosine",)]
    least = min(comparison.test.p for comparison in far.comparisons)
    assert far.p == near.p == pytest.approx(2 * least)  # one of two is enough, so it is paid for
    assert claims_sheet([far]).rows[0][2].text == "Adam 88.55, SHB 83.50 (constant)"


def test_a_distance_within_in_every_stratum(lab, curve):
    for schedule, off in (("constant", 0.001), ("cosine", -0.001)):
        shifted = [x + off * (1 + seed % 2) for seed, x in enumerate(BASE)]
        fill(lab, curve, {"shb": BASE, "adam": shifted}, lr_schedule=schedule)
    asked = [claim(margin=0.01, match=("lr_schedule",), **{kind: True}) for kind in ("within", "apart")]
    near, far = judge(load(lab.store), asked)
    assert (near.verdict, far.verdict) == (Verdict.HOLDS, Verdict.DOES_NOT_HOLD)
    assert near.p == max(comparison.test.p for comparison in near.comparisons)


@pytest.mark.parametrize(("broken", "p"), [("adam", 28 / 64), ("shb", 2 / 64)])
def test_a_run_that_diverged_counts_for_its_side(lab, curve, broken, p):
    """Five seeds better and one lost: by signed ranks 1 + ... + 5 against 6; all six on one side have p = 1/32."""
    fill(lab, curve, {"shb": [*BASE, 0.83], "adam": [x + 0.02 + 0.001 * i for i, x in enumerate([*BASE, 0.83])]})
    lab.run("lost", curve([0.5], "test_accuracy"), optimizer=broken, seed=5, state="diverged")
    lab.run("other", curve([0.5, 0.8]), optimizer="shb" if broken == "adam" else "adam", seed=5)
    (judged,) = judge(load(lab.store), [claim()])
    assert judged.comparisons[0].test.ranks
    assert judged.p == pytest.approx(p)
    assert judged.verdict is (Verdict.HOLDS if broken == "shb" else Verdict.UNDECIDED)


def test_repeats_of_some_seeds_drop_no_other(lab, curve):
    better = [x + d for x, d in zip(BASE, [0.020, 0.021, 0.019, 0.022], strict=True)]
    fill(lab, curve, {"shb": BASE, "adam": better})
    (before,) = judge(load(lab.store), [claim()])
    lab.run("again", curve([0.5, better[0]]), optimizer="adam", seed=0)
    (after,) = judge(load(lab.store), [claim()])
    assert after.comparisons == before.comparisons


def test_at_a_budget_all_are_read_at_the_same_place(lab):
    """Adam is evaluated every 10 steps up to 120, SHB after 91 and 182: at 120 steps SHB is between the two."""
    for seed in range(3):
        for optimizer, places in (("adam", range(0, 130, 10)), ("shb", (0, 91, 182))):
            rows = [
                {"samples": k, "steps": k, "epoch": k / 10, "test_accuracy": 0.5 + k / 1000 + seed / 100}
                for k in places
            ]
            lab.run(f"{optimizer}{seed}", rows, optimizer=optimizer, seed=seed)
    (judged,) = judge(load(lab.store), [claim(at="steps")])
    assert judged.budget == 120
    assert (judged.comparisons[0].ours, judged.comparisons[0].theirs) == pytest.approx((0.63, 0.63))


@pytest.mark.parametrize(
    ("bound", "verdict"), [(0.7, Verdict.HOLDS), (0.84, Verdict.UNDECIDED), (0.95, Verdict.DOES_NOT_HOLD)]
)
def test_a_bound_in_place_of_runs(lab, curve, bound, verdict):
    fill(lab, curve, {"adam": BASE})
    (judged,) = judge(load(lab.store), [claim(rivals=(Side("the bound", {}, bound),))])
    assert judged.verdict is verdict
    (comparison,) = judged.comparisons
    assert (comparison.seeds, comparison.ours, comparison.theirs) == (4, pytest.approx(np.mean(BASE)), bound)
    assert comparison.test.p == pytest.approx(paired_test(BASE, [bound] * 4).p)


def test_a_bound_on_the_logarithm_beside_runs(lab, curve):
    fill(lab, curve, {"shb": [3.0, 3.3], "adam": [1.0, 1.1]}, "train_loss")
    sides = (Side("two", {}, 2.0), SHB)
    (judged,) = judge(load(lab.store), [claim(rivals=sides, metric=Metric("train_loss"))])
    assert judged.verdict is Verdict.HOLDS
    assert [c.rival.label for c in judged.comparisons] == ["two", "SHB"]
    assert judged.comparisons[0].theirs == pytest.approx(2.0)
    assert judged.comparisons[0].test.difference == pytest.approx(np.log(2) - np.log([1.0, 1.1]).mean())
    assert judge(load(lab.store), [claim(better=Side("RMSprop", {"optimizer": "rmsprop"}), rivals=sides)])[0].reason


def test_a_metric_that_is_better_down_is_compared_as_a_ratio(lab, curve):
    fill(lab, curve, {"shb": [1.0, 10.0, 100.0], "adam": [0.5, 5.1, 49.0]}, "train_loss")
    (judged,) = judge(load(lab.store), [claim(metric=Metric("train_loss"))])
    assert judged.verdict is Verdict.HOLDS
    expected = np.mean(np.log([1.0 / 0.5, 10 / 5.1, 100 / 49]))
    assert judged.comparisons[0].test.difference == pytest.approx(expected)
    sheet = claims_sheet([judged])
    assert sheet.rows[0][3].text.startswith(f"× {math.exp(-expected):.3f} [")


def test_holm_is_over_the_claims_of_one_reading(lab, curve):
    differences = [0.02, 0.035, 0.01, 0.03]
    fill(lab, curve, {"shb": BASE, "adam": [x + d for x, d in zip(BASE, differences, strict=True)]})
    frame = load(lab.store)
    three = [claim(), claim(margin=0.001), claim(margin=0.002), claim(at="steps")]
    judged = judge(frame, three)
    assert [item.p_holm for item in judged[:3]] == pytest.approx(holm([item.p for item in judged[:3]]))
    assert judged[3].p_holm == pytest.approx(judged[3].p)


def test_several_rivals_must_all_be_beaten(lab, curve):
    rise = [0.020, 0.021, 0.019, 0.022]
    fill(lab, curve, {"shb": BASE, "adam": [x + d for x, d in zip(BASE, rise, strict=True)]})
    fill(lab, curve, {"sgd": [x + d for x, d in zip(BASE, [0.05, 0.052, 0.049, 0.051], strict=True)]})
    rivals = (SHB, Side("SGD", {"optimizer": "sgd"}))
    (judged,) = judge(load(lab.store), [claim(rivals=rivals)])
    assert judged.verdict is Verdict.DOES_NOT_HOLD
    assert len(claims_sheet([judged]).rows[0][2].text.splitlines()) == 2


def test_one_rival_that_is_not_told_apart_leaves_it_undecided(lab, curve):
    rise = [0.020, 0.021, 0.019, 0.022]
    fill(lab, curve, {"shb": BASE, "adam": [x + d for x, d in zip(BASE, rise, strict=True)]})
    fill(lab, curve, {"sgd": [x + d for x, d in zip(BASE, [0.03, 0.001, 0.04, -0.01], strict=True)]})
    (judged,) = judge(load(lab.store), [claim(rivals=(SHB, Side("SGD", {"optimizer": "sgd"})))])
    tests = [comparison.test for comparison in judged.comparisons]
    assert tests[0].p < 0.001
    assert judged.p == tests[1].p > 0.05
    assert judged.verdict is Verdict.UNDECIDED


def test_matching_averages_the_differences_of_strata(lab, curve):
    for level, schedule in ((0.0, "constant"), (0.1, "cosine")):
        base = [x + level for x in BASE]
        better = [x + 0.01 * (1 + level * 10) + 0.001 * i for i, x in enumerate(base)]
        fill(lab, curve, {"shb": base, "adam": better}, lr_schedule=schedule)
    (judged,) = judge(load(lab.store), [claim(match=("lr_schedule",))])
    (comparison,) = judged.comparisons
    assert comparison.seeds == 4  # seeds are the replicates, not schedules
    assert comparison.test.difference == pytest.approx(0.015 + 0.0015)


def test_equal_budgets_look_no_further_than_every_run_went(lab, curve):
    for seed in range(3):
        lab.run(f"s{seed}", curve([0.1, 0.6, 0.6 + 0.001 * seed]), seed=seed)
        lab.run(f"a{seed}", curve([0.1, 0.5, 0.55, 0.99, 0.99]), optimizer="adam", seed=seed)
    whole, steps = judge(load(lab.store), [claim(), claim(at="steps")])
    assert whole.verdict is Verdict.HOLDS
    assert steps.budget == 4
    assert steps.verdict is Verdict.DOES_NOT_HOLD
    assert steps.comparisons[0].ours == pytest.approx(0.55)


def test_a_seed_with_a_run_that_is_not_over_is_left_out_and_counted(lab, curve):
    fill(lab, curve, {"shb": BASE, "adam": [x + d for x, d in zip(BASE, [0.020, 0.021, 0.019, 0.022], strict=True)]})
    lab.run("adam9", curve([0.1, 0.99]), "interrupted", optimizer="adam", seed=9)
    lab.run("shb9", curve([0.1, 0.2]), optimizer="shb", seed=9)
    (judged,) = judge(load(lab.store), [claim()])
    assert judged.lost == {"interrupted": 1}
    assert (judged.comparisons[0].seeds, judged.comparisons[0].dropped) == (4, 1)
    assert "1 run interrupted, 1 seed left out" in claims_sheet([judged]).rows[0][-1].detail


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (claim(better=Side("Lion", {"optimizer": "lion"})), "no runs of Lion"),
        (claim(metric=Metric("full_gradient_norm")), "full_gradient_norm not measured"),
        (claim(), "1 seed with every run done"),
    ],
)
def test_what_cannot_be_measured_is_undecided_and_says_why(lab, curve, given, reason):
    fill(lab, curve, {"shb": [0.8], "adam": [0.9]})
    judged = judge(load(lab.store), [given])
    assert judged[0].verdict is Verdict.UNDECIDED
    assert reason in judged[0].reason
    for format in FORMATS:
        assert "not decided" in render(claims_sheet(judged), format)


def test_no_runs_at_all(lab):
    (judged,) = judge(load(lab.store), [claim()])
    assert judged.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("holds", "verdict"), [(True, Verdict.HOLDS), (False, Verdict.DOES_NOT_HOLD), (None, Verdict.UNDECIDED)]
)
def test_a_property_of_the_methods_themselves_has_no_seeds(holds, verdict):
    judged = observed(claim(at="method"), holds, "2.000 and 1.001")
    assert judged.verdict is verdict
    row = [cell.text for cell in claims_sheet([judged]).rows[0]]
    assert row == ["Adam is better", "the method itself", "2.000 and 1.001", "", "", "", verdict]


def in_strata(frame_of, **apart):
    """Two sides in strata: by stratum how much A is above B at each of its seeds."""
    return frame_of(
        [
            ({"side": side, "batch": batch, "seed": seed}, {"test_accuracy": 0.5 + (side == "A") * d})
            for batch, own in apart.items()
            for seed, d in enumerate(own)
            for side in "AB"
        ]
    )


FAR, SEEDS, ALONE = [0.05, 0.01, 0.06, 0.02], [0.012, 0.002, 0.031], [0.2]


@pytest.mark.parametrize(
    ("strata", "decides"),
    [
        ({"far": FAR, "near": SEEDS}, "far"),
        ({"near": SEEDS, "few": FAR[:2]}, "near"),
        ({"far": FAR, "alone": ALONE}, "alone"),
        ({"far": FAR, "few": FAR[:2], "alone": ALONE}, "alone"),
    ],
)
@pytest.mark.parametrize("kind", ["apart", "within"])
def test_effect_p_and_n_of_a_row_are_of_one_comparison(frame_of, strata, decides, kind):
    """Three numbers side by side would lend each other what none of them has: an interval of four seeds, an n of 1."""
    sides = (Side("A", {"side": "A"}), (Side("B", {"side": "B"}),))
    asked = claim(*sides, match=("batch",), margin=0.001, **{kind: True})
    (item,) = judge(in_strata(frame_of, **strata), [asked])
    tests = {key: stats.ttest_1samp(own, 0.001).pvalue for key, own in strata.items() if len(own) > 1}
    if kind == "within" and decides != "alone":  # all lie beyond the margin: any of them refutes it
        decides = min(tests, key=tests.get)
    (row,) = claims_sheet([item]).rows
    said = {key: text.text for key, text in zip(("measured", "effect", "p", "n", "verdict"), row[2:], strict=True)}
    own = strata[decides]
    assert said["n"] == str(len(own)) == str(item.seeds)
    assert f"({decides})" in said["measured"]
    if len(own) == 1:
        assert said["effect"] == said["p"] == ""
        assert "1 seed with every run done" in row[-1].detail
        assert said["verdict"] == "not decided"
    else:
        assert float(said["effect"].split()[0]) == pytest.approx(100 * np.mean(own), abs=0.06)
        assert item.p == pytest.approx(min(1.0, len(tests) * tests[decides]))
        assert f"n = {len(own)}" in said["verdict"] or item.verdict is not Verdict.UNDECIDED


def test_of_rivals_with_other_numbers_of_seeds_each_has_its_own_line(frame_of):
    runs = [
        ({"side": side, "seed": seed}, {"test_accuracy": 0.5 + 0.1 * (side == "A") + 0.003 * seed * (side == "C")})
        for side, n in (("A", 4), ("B", 3), ("C", 4))
        for seed in range(n)
    ]
    sides = [Side(name, {"side": name}) for name in "ABC"]
    (item,) = judge(frame_of(runs), [claim(sides[0], tuple(sides[1:]))])
    (row,) = claims_sheet([item]).rows
    assert row[5].text == "3\n4"


def test_over_how_many_claims_p_is_corrected_is_said_once_and_never_beside_it(frame_of):
    """`0.021 of 3` reads as a rank."""
    generator = np.random.default_rng(0)
    runs = [
        ({"side": side, "seed": seed}, {"test_accuracy": float(generator.normal())})
        for side in "AB"
        for seed in range(5)
    ]
    sides = Side("A", {"side": "A"}), (Side("B", {"side": "B"}),)
    items = judge(frame_of(runs), [Claim(f"x{i}", "", "ours", *sides, Metric("test_accuracy")) for i in range(3)])
    sheet = claims_sheet(items)
    place = [column.header[-1] for column in sheet.columns].index("p (Holm)")
    assert [row[place].detail for row in sheet.rows] == [""] * 3
    assert [float(row[place].text) for row in sheet.rows] == pytest.approx([items[0].p_holm] * 3, rel=0.1)
    assert family_text(items) == "3 claims"
    assert "Holm over the claims of one reading: 3 claims; " in sheet.notes[0]
    later = [replace(item, claim=replace(item.claim, at="steps"), family=5) for item in items]
    assert family_text([*items, *later]) == "3 claims of whole runs, 5 of equal steps"
    assert family_text([*items, *(replace(item, family=3) for item in later)]) == "3 claims of each reading"
    assert family_text([*items, replace(items[0], family=7)]) == "3 to 7 claims"
    assert family_text([replace(items[0], family=1)]) == "1 claim"
    assert family_text([replace(items[0], p_holm=math.nan)]) == ""
    pairs = [replace(item, claim=replace(item.claim, pair=True)) for item in items]
    assert family_text(pairs) == "3 pairs"
