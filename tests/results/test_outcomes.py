"""Runs that never arrive, diverge or fail are outcomes of their side: these tests fail if only survivors count."""

import math

import pytest

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Fate, Outcome, by_seed, compare_outcomes, merged, restricted_mean, tally
from batchlab.results.compare.stats import paired_test
from batchlab.results.compare.table import build_table
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.table_sheet import table_sheet

ARRIVAL = Metric("there", "steps", ">=", 1.0)
BUDGET = 20.0
A, B = Side("A", {"method": "A"}), Side("B", {"method": "B"})
NEVER, LOST = None, "diverged"


def race(frame_of, **sides):
    """By side an arrival for each seed: a number of steps, NEVER (20 were in vain) or a state of runs that are lost."""
    runs = []
    for method, seeds in sides.items():
        for seed, step in enumerate(seeds):
            labels = {"method": method, "seed": seed}
            if isinstance(step, str):
                runs.append((labels, {}, step))
            else:
                row = {"there": float(step is not NEVER), "steps": BUDGET if step is NEVER else float(step)}
                runs.append((labels, row))
    return frame_of(runs)


def verdict(frame, better=A, rival=B, **more):
    (item,) = judge(frame, [Claim("A is quicker", "", "ours", better, (rival,), ARRIVAL, **more)])
    return item


def test_a_side_that_seldom_arrives_does_not_win_by_its_survivors(frame_of):
    """A arrives in 3 of 8 seeds, in 6 steps; B in 8 of 8, in 10. Of survivors A is 0.6 of B."""
    frame = race(frame_of, A=[6, 6, 6] + [NEVER] * 5, B=[10] * 8)
    item = verdict(frame)
    assert item.verdict is Verdict.UNDECIDED
    assert item.p == pytest.approx(26 / 256)  # 5 ranks of 6 against 3 of 2: of all 256 signs 13 have 6 or less
    row = claims_sheet([item]).rows[0]
    assert row[2].text.startswith("A ≥ 12.7")  # the geometric mean of 6, 6, 6 and 20 five times
    assert row[3].text == "better in 3 of 8 seeds, worse in 5"
    assert verdict(frame, B, A).p == item.p


def test_nor_in_a_table(frame_of):
    frame = race(frame_of, A=[6, 6, 6] + [NEVER] * 5, B=[10] * 8)
    table = build_table(frame, rows=["method"], metrics=[ARRIVAL], baseline="method=B")
    cell = table.cells[("A",), (), ARRIVAL]
    assert (cell.summary.n, cell.summary.mean) == (8, (3 * 6 + 5 * 20) / 8)
    assert cell.test.ranks
    assert cell.p_holm == pytest.approx(26 / 256)
    sheet = table_sheet(table)
    first = {row[0].text: row[1] for row in sheet.rows}["A"]
    assert first.text.startswith("≥ 14.8")
    assert "[" not in first.detail, "an interval of a bound says nothing"
    assert any("≥" in note and "budget" in note for note in sheet.notes)


def test_who_alone_arrives_is_better(frame_of):
    item = verdict(race(frame_of, A=[6] * 8, B=[NEVER] * 8))
    assert (item.verdict, item.p) == (Verdict.HOLDS, pytest.approx(2 / 2**8))
    assert claims_sheet([item]).rows[0][2].text == "A 6.000, B ≥ 20.00"


def test_six_better_and_none_worse_holds_though_fourteen_never_arrive(frame_of):
    """Ties are no evidence either way, and do not turn the verdict round."""
    item = verdict(race(frame_of, A=[6] * 6 + [NEVER] * 14, B=[NEVER] * 20))
    assert (item.verdict, item.p) == (Verdict.HOLDS, pytest.approx(2 / 2**6))
    assert claims_sheet([item]).rows[0][3].text == "better in 6 of 20 seeds, worse in 0, neither in 14"


@pytest.mark.parametrize("state", ["failed", "diverged", "damaged"])
def test_five_of_eight_favoured_runs_lost(frame_of, state):
    item = verdict(race(frame_of, A=[6.0, 6.1, 6.2] + [state] * 5, B=[10.0, 10.3, 10.1] * 2 + [10.2, 10.1]))
    assert item.verdict is Verdict.UNDECIDED
    row = claims_sheet([item]).rows[0]
    assert "A 6.099 († lost in 5 of 8)" in row[2].text
    assert row[3].text == "better in 3 of 8 seeds, worse in 5"
    assert f"5 runs {state}" in row[-1].detail


def test_a_rival_that_always_diverges_has_lost(frame_of):
    item = verdict(race(frame_of, A=[10] * 8, B=[LOST] * 8))
    assert (item.verdict, item.p) == (Verdict.HOLDS, pytest.approx(2 / 2**8))
    row = claims_sheet([item]).rows[0]
    assert row[2].text == "A 10.00, B lost in all of 8 seeds"
    assert row[3].text == "better in 8 of 8 seeds, worse in 0"
    turned = verdict(race(frame_of, A=[10] * 8, B=[LOST] * 8), B, A)
    assert turned.verdict is Verdict.DOES_NOT_HOLD


def test_a_side_of_which_every_run_was_lost_loses_against_a_bound(frame_of):
    """No run recorded the column at all."""
    item = verdict(race(frame_of, A=["failed"] * 6), A, Side("the bound", {}, 15.0))
    assert item.verdict is Verdict.DOES_NOT_HOLD


def test_and_in_a_table_the_lost_cell_is_tested(frame_of):
    table = build_table(
        race(frame_of, A=[10] * 8, B=[LOST] * 8), rows=["method"], metrics=[ARRIVAL], baseline="method=A"
    )
    lost = table.cells[("B",), (), ARRIVAL]
    assert (lost.losses.diverged, lost.p_holm, lost.test.difference) == (8, pytest.approx(2 / 2**8), -math.inf)
    assert not lost.best


def test_unfinished_runs_are_no_outcome(frame_of):
    item = verdict(race(frame_of, A=[6.0, 6.1, 6.2, "running"], B=[10.0, 10.1, 10.3, "interrupted"]))
    assert (item.comparisons[0].seeds, item.comparisons[0].dropped) == (3, 1)
    assert not item.comparisons[0].test.ranks


def sides(a, b):
    return dict(enumerate(a)), dict(enumerate(b))


def at(value):
    return Outcome(float(value))


GONE, OUT = Outcome(math.nan, Fate.LOST), Outcome(20.0, Fate.NEVER)


def test_what_the_budget_cannot_tell_is_a_tie():
    """An arrival after 30 steps says nothing of a run that had only 20; one after 20 does."""
    a, b = sides([at(30)] * 6, [OUT] * 6)
    assert tally(a, b, up=False, log=True) == (0, 0, 6)
    assert compare_outcomes(a, b, up=False, log=True).p == 1
    a, b = sides([at(20)] * 6, [OUT] * 6)
    assert tally(a, b, up=False, log=True) == (6, 0, 0)
    assert tally(*sides([OUT, GONE], [OUT, GONE]), up=False, log=True) == (0, 0, 2)


def test_a_margin_asks_for_more_than_the_budget_shows():
    """16 steps against more than 20: at least 1.25 times as many, perhaps not 1.5 times."""
    a, b = sides([at(16)] * 6, [OUT] * 6)
    assert compare_outcomes(a, b, up=False, log=True, hypothesis=math.log(1.2)).p == pytest.approx(2 / 2**6)
    assert compare_outcomes(a, b, up=False, log=True, hypothesis=math.log(1.5)).p == 1
    assert compare_outcomes(b, a, up=False, log=True, hypothesis=-math.log(1.5)).p == 1


def test_the_worse_fate_loses():
    ordered = [at(3), at(5), OUT, GONE]
    for i, first in enumerate(ordered):
        for second in ordered[i + 1 :]:
            assert tally(*sides([first] * 2, [second] * 2), up=False, log=True) == (2, 0, 0)
            assert tally(*sides([second] * 2, [first] * 2), up=False, log=True) == (0, 2, 0)


def test_numbers_go_by_the_paired_t_test():
    a, b = [1.0, 1.2, 0.9], [2.0, 2.6, 1.7]
    test = compare_outcomes(*sides(map(at, a), map(at, b)), up=False, log=True)
    assert test == paired_test([-math.log(x) for x in a], [-math.log(x) for x in b])
    assert test.difference > 0, "less is better: an advantage"


def test_merged_takes_the_worst_fate_and_the_mean():
    assert merged([at(4), at(9)], log=True) == Outcome(pytest.approx(6.0))
    assert merged([at(4), OUT], log=False) == Outcome(12.0, Fate.NEVER)
    assert merged([at(4), OUT, GONE], log=False).fate is Fate.LOST
    assert restricted_mean([at(4), OUT, GONE], log=False) == 12


def test_a_seed_that_lacks_what_another_has_is_left_out(frame_of):
    frame = frame_of(
        [({"method": "A", "rate": rate, "seed": seed}, {"steps": 1.0}) for seed in range(3) for rate in (1, 2)]
    )
    found = by_seed([(run, at(1)) for run in frame.runs[:-1]], ["rate"], log=False)
    assert list(found) == [0, 1]
