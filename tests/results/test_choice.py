"""`--tuned KEY`: chosen on the first half of the seeds, judged on the others, from as many values for each."""

import itertools
import math

import pytest

from batchlab.results.compare.frame import MISSING
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import load_table
from batchlab.results.show.table_sheet import table_sheet

KEY = "optimizer.lr"
RATES = (0.1, 0.2, 0.3)


def fill(lab, curve, best, seeds=range(5), rates=RATES, name="test_accuracy", bad=(), state="diverged"):
    """best: optimizer -> rate; seeds that judge tell another story than those that choose."""
    for optimizer, good in best.items():
        for rate in rates if isinstance(rates, tuple) else rates[optimizer]:
            for seed in seeds:
                value = 0.9 - abs(rate - good) if seed < 2 else 0.5 + rate / 10
                value += 0.001 * seed
                lost = (optimizer, rate, seed) in bad
                lab.run(
                    f"{optimizer}{rate}{seed}", curve([0.1, value], name), state if lost else "done", None,
                    optimizer=optimizer, seed=seed, lr=rate,
                )  # fmt: skip


def means(table):
    return {cell.row[0]: cell.summary.mean for cell in table.cells.values()}


def test_the_first_half_chooses_and_only_the_others_are_judged(lab, curve):
    fill(lab, curve, {"adam": 0.1, "shb": 0.3})
    table = load_table(lab.store, tuned=KEY)
    cells = {cell.row[0]: cell for cell in table.cells.values()}
    assert all(list(cell.values) == [2, 3, 4] for cell in cells.values())
    assert means(table) == pytest.approx({"adam": 0.513, "shb": 0.533})
    assert table.mixed == []
    notes = table_sheet(table).notes
    chosen = "on seeds 0 and 1, not judged here, from 3 values each: adam 0.1, shb 0.3"
    assert f"optimizer.lr was chosen by test_accuracy {chosen}" in notes
    assert "chosen by a test metric: use validation_accuracy (dataset.validation=0.1)" in notes


def test_a_validation_metric_chooses_without_a_word(lab, curve):
    fill(lab, curve, {"adam": 0.1, "shb": 0.3}, name="validation_accuracy")
    notes = table_sheet(load_table(lab.store, metrics=["validation_accuracy"], tuned=KEY)).notes
    assert not any("test metric" in note for note in notes)


def test_it_is_tested_against_a_baseline_and_by_column(lab, curve):
    fill(lab, curve, {"adam": 0.1, "shb": 0.3})
    table = load_table(lab.store, cols=["model"], tuned=KEY, baseline="optimizer=shb")
    cell = next(cell for cell in table.cells.values() if cell.row == ("adam",))
    assert cell.test.n == 3
    assert any("adam · resnet8 0.1" in note for note in table.notes)


def test_of_a_metric_that_is_better_down_the_least_logarithm(lab, curve):
    for rate, losses in ((0.1, (1.0, 1.0)), (0.2, (0.01, 3.0))):  # means 1.0 and 1.5, geometric 1.0 and 0.17
        for seed in range(4):
            rows = curve([2.0, losses[seed % 2]], "train_loss")
            lab.run(f"a{rate}{seed}", rows, seed=seed, lr=rate)
    assert any("shb 0.2" in note for note in load_table(lab.store, metrics=["train_loss"], tuned=KEY).notes)


@pytest.mark.parametrize("state", ["diverged", "failed", "interrupted"])
def test_a_value_that_lost_a_choosing_run_is_not_chosen(lab, curve, state):
    fill(lab, curve, {"adam": 0.1, "shb": 0.3}, bad={("shb", 0.3, 1)}, state=state)
    assert any("adam 0.1, shb 0.2" in note for note in load_table(lab.store, tuned=KEY).notes)


def test_a_cell_without_any_is_shown_as_what_it_is(lab, curve):
    bad = {("shb", rate, seed) for rate in RATES for seed in range(5)}
    fill(lab, curve, {"adam": 0.1, "shb": 0.3}, bad=bad)
    table = load_table(lab.store, tuned=KEY)
    assert any("adam 0.1, shb 0.1*" in note for note in table.notes)
    cell = next(cell for cell in table.cells.values() if cell.row == ("shb",))
    assert cell.losses.diverged == 3
    assert math.isnan(cell.summary.mean)


def test_a_missing_choosing_run_rules_its_value_out(lab, curve):
    fill(lab, curve, {"shb": 0.3})
    import shutil

    shutil.rmtree(lab.store.run("shb0.31").folder)
    assert any("shb 0.2" in note for note in load_table(lab.store, tuned=KEY).notes)


def test_unequal_budgets_are_refused_with_the_way_out(lab, curve):
    fill(lab, curve, {"adam": 0.1, "shb": 0.3}, rates={"adam": (0.1, 0.2, 0.3), "shb": (0.2, 0.3)})
    with pytest.raises(ValueError, match=r"unequal budgets.*adam 3, shb 2.*seeds 0 and 1.*--where optimizer\.lr=VALUE"):
        load_table(lab.store, tuned=KEY)
    table = load_table(lab.store, tuned=KEY, where=["optimizer.lr=0.2,0.3"])
    assert any("from 2 values each: adam 0.2, shb 0.3" in note for note in table.notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tuned": KEY, "rows": [KEY]}, "it is an axis of the table"),
        ({"tuned": "optimizer.zeal"}, "no run has the axis optimizer.zeal"),
        ({"tuned": KEY, "metrics": ["steps"], "where": ["seed=0"]}, "there is 1 seed; the first half of at least 2"),
        ({"tuned": KEY, "metrics": ["lr_used"]}, "neither better up nor down"),
    ],
)
def test_mistakes_name_the_way_out(lab, curve, arguments, message):
    for seed in range(2):
        rows = [row | {"lr_used": 0.1} for row in curve([0.1, 0.5])]
        lab.run(f"a{seed}", rows, seed=seed)
    with pytest.raises(ValueError, match=message):
        load_table(lab.store, **arguments)


def test_two_seeds_are_one_and_one(lab, curve):
    fill(lab, curve, {"adam": 0.1}, seeds=range(2))
    table = load_table(lab.store, tuned=KEY)
    (cell,) = table.cells.values()
    assert list(cell.values) == [1]
    assert any("on seed 0, not judged here" in note for note in table.notes)
    assert MISSING not in str(table.notes)
    assert Metric("test_accuracy") in table.metrics


def test_validation_chooses_in_the_place_of_a_test_metric(lab, curve):
    for optimizer, rate, seed in itertools.product(("adam", "shb"), (0.1, 0.2), range(4)):
        liked = 0.9 if rate == 0.2 else 0.5  # by validation; the test set likes the other
        rows = [row | {"validation_accuracy": liked} for row in curve([0.1, 1 - liked + 0.01 * seed])]
        lab.run(f"{optimizer}{rate}{seed}", rows, optimizer=optimizer, lr=rate, seed=seed)
    table = load_table(lab.store, rows=["optimizer"], metrics=["test_accuracy"], tuned=KEY)
    assert any("chosen by validation_accuracy on seeds 0 and 1" in note for note in table.notes)
    assert any("adam 0.2, shb 0.2" in note for note in table.notes)
    assert not any("test metric" in note for note in table.notes)
