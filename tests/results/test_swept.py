"""What a table has where nobody said what: what was swept, and what was measured; no mean over two methods."""

import math
from itertools import product

import numpy as np
import pytest

from batchlab.results.compare.load import load, swept_keys
from batchlab.results.compare.swept import NONE, swept_axes
from batchlab.results.compare.table import load_table
from batchlab.results.report.own import overview
from batchlab.results.report.parts import Parts
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.runs import SweepEntry

RATES = {"shb": (0.1, 0.3), "adam": (0.001, 0.003)}


def level(optimizer, lr, seed):
    return 0.8 + 0.01 * (optimizer == "shb") + lr / 10 + 0.001 * math.sin(7 * seed + 100 * lr)


def means_of(table):
    return {cell.row: cell.summary.mean for cell in table.cells.values()}


@pytest.fixture
def grid(lab, curve):
    """Two optimizers with two rates each, of which a run's seed is 0, 1 or 2."""
    entries = []
    for optimizer, rates in RATES.items():
        for lr, seed in product(rates, range(3)):
            name = f"{optimizer}-{lr}-{seed}"
            own = {"beta": 0.9} if optimizer == "adam" else {}
            lab.run(name, curve([0.5, level(optimizer, lr, seed)]), optimizer=optimizer, lr=lr, seed=seed, **own)
            entries.append(SweepEntry(name, {}, [f"optimizer={optimizer}", f"optimizer.lr={lr}", f"seed={seed}"]))
    lab.store.write_sweep("rates", entries)
    return lab


@pytest.mark.parametrize("sweep", [None, "rates"])
def test_rates_have_rows_of_their_own(grid, sweep):
    table = load_table(grid.store, sweep=sweep)
    assert table.row_axes == ("optimizer", "optimizer.lr")
    assert table.mixed == []
    expected = {
        (optimizer, lr): np.mean([level(optimizer, lr, seed) for seed in range(3)])
        for optimizer, rates in RATES.items()
        for lr in rates
    }
    assert means_of(table) == pytest.approx(expected)


def test_the_page_has_the_same_rows(grid):
    frame = load(grid.store, "rates")
    page = overview(Parts(), frame, swept_keys(grid.store, frame, "rates"))
    (record, *_) = table_sheet(load_table(grid.store)).records
    assert "test accuracy [%] by optimizer, optimizer.lr" in page
    assert list(record)[:2] == swept_axes(frame, swept_keys(grid.store, frame, "rates"))


def test_what_is_asked_for_is_pooled_as_it_says_and_has_no_p(grid):
    table = load_table(grid.store, rows=["optimizer"], baseline="optimizer=shb")
    sheet = table_sheet(table)
    assert table.mixed == ["optimizer.lr"]
    assert all(math.isnan(record["p_holm"]) and not record["best"] for record in sheet.records)
    assert all(record["note"].startswith("mean over runs that differ in optimizer.lr") for record in sheet.records)


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ({"cols": ["optimizer.lr"]}, ("optimizer",)),
        ({"cols": ["optimizer"]}, ("optimizer.lr",)),
        ({"tuned": "optimizer.lr"}, ("optimizer",)),
        ({"where": ["optimizer=adam"]}, ("optimizer.lr",)),
        ({"where": ["optimizer=adam", "optimizer.lr=0.001"]}, ("optimizer",)),
    ],
)
def test_what_is_an_axis_or_chosen_already_is_no_row(grid, asked, rows):
    assert load_table(grid.store, **asked).row_axes == rows


def test_of_several_sweeps_and_of_none_rows_are_what_the_runs_differ_in(grid, lab, curve):
    expected = means_of(load_table(grid.store, sweep="rates"))
    grid.store.write_sweep("other", [SweepEntry("shb-0.1-0", {}, ["optimizer.lr=0.1"])])
    assert means_of(load_table(grid.store)) == expected, "nothing is averaged over a rate"
    others = [f"other-{seed}" for seed in range(2)]
    for seed, name in enumerate(others):
        lab.run(name, curve([0.5, 0.9]), optimizer="shb", lr=0.1, size=64, seed=seed)
    table = load_table(grid.store)
    assert (table.row_axes, table.mixed) == (("optimizer", "optimizer.lr", "optimizer.size"), []), "nor of no sweep"
    grid.store.write_sweep("others", [SweepEntry(name, {}, ["optimizer.size=64"]) for name in others])
    assert load_table(grid.store, where=["optimizer=shb"]).row_axes == ("optimizer.lr", "optimizer.size")


def test_rows_of_unequal_length_are_named(lab, curve):
    """No cell mixes them, as a rate tells them apart; who reads the rows compares them all the same."""
    for lr, epochs in ((0.1, 1), (0.2, 1), (0.3, 2)):
        lab.run(f"r{lr}", curve([0.1, lr]), lr=lr, epochs=epochs)
    table = load_table(lab.store)
    assert table.row_axes == ("optimizer.lr",)
    assert any("differ in train.epochs too" in note for note in table.notes), table.notes
    assert not any("differ in" in note for note in load_table(lab.store, where=["train.epochs=1"]).notes)


def test_of_keys_that_say_the_same_one_is_a_row_and_a_rate_is_the_first(lab, curve):
    """Seven keys differ, in two ways: two of them tell all methods apart."""
    for i, (lr, size) in enumerate(product((0.1, 0.2), (1, 2))):
        for seed in range(2):
            own = {f"a{j}": size for j in range(5)} | {"z": -lr}
            lab.run(f"{i}-{seed}", curve([0.5, 0.9]), optimizer="shb", lr=lr, seed=seed, **own)
    table = load_table(lab.store)
    assert table.row_axes == ("optimizer.lr", "optimizer.a0")
    assert {cell.summary.n for cell in table.cells.values()} == {2}
    assert table.mixed == []


def test_who_has_no_such_key_is_not_left_out(lab, curve):
    """A key of one optimizer is an axis, and the other one has a row."""
    entries = []
    for name, (optimizer, own) in {
        "a": ("shb", {}),
        "b": ("adam", {"beta": 0.8}),
        "c": ("adam", {"beta": 0.9}),
    }.items():
        for seed in range(2):
            lab.run(f"{name}{seed}", curve([0.5, 0.9]), optimizer=optimizer, seed=seed, **own)
            beta = [f"optimizer.beta={value}" for value in own.values()]
            entries.append(SweepEntry(f"{name}{seed}", {}, [f"optimizer={optimizer}", *beta]))
    lab.store.write_sweep("s", entries)
    table = load_table(lab.store, sweep="s")
    assert table.rows == [("shb", NONE), ("adam", 0.8), ("adam", 0.9)]
    assert (table.unplaced, table.mixed) == (0, [])


def test_what_a_recipe_says_beside_its_grid_tells_runs_apart_too(lab, curve):
    """A manifest's overrides are the grid's alone: its blocks may differ in a choice and in a key that it has not."""
    for name, (optimizer, size) in {"a": ("shb", 32), "b": ("adam", 32), "c": ("adam", 64)}.items():
        for seed in range(2):
            lab.run(f"{name}{seed}", curve([0.5, 0.9]), optimizer=optimizer, size=size, seed=seed)
    entries = [SweepEntry(f"{name}{seed}", {"part": "x"}, [f"seed={seed}"]) for name in "abc" for seed in range(2)]
    lab.store.write_sweep("s", entries)
    assert load_table(lab.store, sweep="s").row_axes == ("optimizer", "optimizer.size")


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        ([{"test_accuracy", "train_loss"}] * 2, ["test_accuracy"]),
        ([{"train_loss", "gap", "test_loss"}] * 2, ["test_loss", "train_loss", "gap"]),
        ([{"test_accuracy", "gap"}, {"gap"}], ["gap"]),
        ([{"test_loss"}, {"gap"}], ["test_loss", "gap"]),
        ([set(), set()], ["test_accuracy"]),
    ],
)
def test_the_metrics_are_those_that_were_measured(lab, curve, measured, shown):
    for seed, names in enumerate(measured):
        rows = [row | dict.fromkeys(names, 0.5) for row in curve([0.5], "other")]
        lab.run(f"r{seed}", rows, seed=seed)
    if shown == ["test_accuracy"] and not measured[0]:
        with pytest.raises(ValueError, match="test_accuracy"):
            load_table(lab.store)
        return
    assert [metric.name for metric in load_table(lab.store).metrics] == shown


def test_who_has_no_such_key_has_a_line_on_the_page_too(lab, curve):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.5, 0.9]), optimizer="adam", seed=seed, beta=0.9)
        lab.run(f"b{seed}", curve([0.5, 0.8]), optimizer="adam", seed=seed)
    page = overview(Parts(), load(lab.store))
    assert "test accuracy [%] by optimizer.beta" in page
    assert "left out" not in page
