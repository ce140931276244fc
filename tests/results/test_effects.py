"""What `table --baseline` says of each cell, in every format; and that what mixes methods is never tested."""

import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from batchlab.results.compare.table import load_table
from batchlab.results.show.render import FORMATS, render
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.words import listing

BASE = [0.80, 0.85, 0.90, 0.95]
OTHERS = {"adam": [0.81, 0.862, 0.911, 0.963], "sgd": [0.81, 0.83, 0.93, 0.95]}


def frame(made):
    return pd.read_csv(io.StringIO(render(table_sheet(made), "csv")))


def test_effects_are_paired_differences_with_intervals_for_all_cells_together(lab, curve):
    for name, finals in {"shb": BASE, **OTHERS}.items():
        for seed, final in enumerate(finals):
            lab.run(f"{name}{seed}", curve([0.1, final]), optimizer=name, seed=seed)
    made = load_table(lab.store, baseline="optimizer=shb")
    found = frame(made).set_index("optimizer")
    for name, finals in OTHERS.items():
        d = np.subtract(finals, BASE)
        ends = reference.t.interval(1 - 0.05 / 2, 3, d.mean(), reference.sem(d))
        effect = found.loc[name, ["effect", "effect_low", "effect_high"]].tolist()
        assert effect == pytest.approx([d.mean(), *ends])
        assert (found.baseline[name], found.effect_is_ratio[name]) == ("optimizer=shb", False)
    assert found.loc["shb", ["effect", "p_holm", "baseline"]].isna().all()
    shown = {row[0].text: row[1].detail for row in table_sheet(made).rows}
    assert re.search(r"\nΔ \+1\.15 \[\+0\.\d\d, \+1\.\d\d\]  p <0\.001$", shown["adam"])
    assert "p " not in shown["shb"]
    for format in FORMATS:
        text = render(table_sheet(made), format)
        assert ("0.0115" if format == "csv" else "+1.15") in text


def test_effects_of_losses_are_ratios_and_less_is_below_one(lab, curve):
    for name, factor in (("shb", 1.0), ("adam", 0.5)):
        for seed in range(4):
            rows = curve([2.0, factor * (1 + seed) * (1 + 0.01 * seed * (name == "adam"))], "train_loss")
            lab.run(f"{name}{seed}", rows, optimizer=name, seed=seed)
    made = load_table(lab.store, metrics=["train_loss"], baseline="optimizer=shb")
    adam = frame(made).set_index("optimizer").loc["adam"]
    logs = np.log(0.5 * (1 + 0.01 * np.arange(4)))
    ends = np.exp(reference.t.interval(0.95, 3, logs.mean(), reference.sem(logs)))
    assert [adam.effect, adam.effect_low, adam.effect_high] == pytest.approx([np.exp(logs.mean()), *ends])
    assert adam.effect_is_ratio
    assert adam.advantage > 0
    assert "× 0.507 [" in table_sheet(made).rows[0][1].detail


def test_where_outcomes_have_no_number_it_is_said_how_often_which_is_better(lab, curve):
    for seed in range(4):
        lab.run(f"shb{seed}", curve([0.5 + 0.01 * seed]), optimizer="shb", seed=seed)
        lab.run(f"adam{seed}", curve([0.6]), "diverged" if seed == 3 else "done", optimizer="adam", seed=seed)
    made = load_table(lab.store, baseline="optimizer=shb")
    detail = {row[0].text: row[1].detail for row in table_sheet(made).rows}["adam"]
    assert "better in 3, worse in 1 of 4 seeds  p " in detail
    adam = frame(made).set_index("optimizer").loc["adam"]
    assert math.isnan(adam.effect_low)
    assert "signed ranks" in adam.note
    assert adam.note.endswith("1 diverged")


@pytest.mark.parametrize("format", FORMATS)
def test_cells_that_mix_methods_carry_no_p_and_no_star_in_any_format(lab, curve, format):
    """Apart they differ beyond doubt; the same runs pooled over two learning rates are not tested."""
    for name, shift in (("shb", 0.0), ("adam", 0.1)):
        for lr in (0.1, 0.2):
            for seed in range(4):
                rows = curve([0.4 + lr + shift + 0.01 * seed + 0.001 * seed * shift])
                lab.run(f"{name}{lr}{seed}", rows, optimizer=name, seed=seed, lr=lr)
    stars = {"rich": r"\*\d", "markdown": r"\*\*\d", "latex": r"\\textbf\{\d", "html": "<strong>", "csv": ",true,"}

    def marks(**asked):
        text = render(table_sheet(load_table(lab.store, baseline="optimizer=shb", **asked)), format)
        p = r"\bp (0\.|<0|\\<0|&lt;0|\\textless\{\}0)"
        told = pd.read_csv(io.StringIO(text)).p_holm.notna().any() if format == "csv" else re.search(p, text)
        return bool(told), bool(re.search(stars[format], text))

    assert marks(rows=["optimizer"], cols=["optimizer.lr"]) == (True, True)
    assert marks(rows=["optimizer"]) == (False, False)


def test_the_note_of_a_csv_row_says_what_concerns_it_alone(lab, curve):
    for lr in (0.1, 0.2):
        for seed in range(2):
            lab.run(f"shb{lr}{seed}", curve([0.5 + lr]), optimizer="shb", seed=seed, lr=lr)
    for seed in range(3):
        lab.run(f"adam{seed}", curve([0.5]), "failed" if seed == 2 else "done", optimizer="adam", seed=seed)
    notes = frame(load_table(lab.store, rows=["optimizer"])).set_index("optimizer").note
    assert notes["shb"] == "mean over runs that differ in optimizer.lr: not tested"
    assert notes["adam"] == "1 failed"


def test_where_the_baseline_was_lost_a_machine_gets_no_infinite_effect(lab, curve):
    for seed in range(3):
        lab.run(f"shb{seed}", curve([0.5, 0.5]), "failed", optimizer="shb", seed=seed)
        rows = [row | {"train_loss": 1.0 + seed} for row in curve([0.5, 0.6 + 0.01 * seed])]
        lab.run(f"adam{seed}", rows, optimizer="adam", seed=seed)
    made = load_table(lab.store, baseline="optimizer=shb", metrics=["test_accuracy", "train_loss"])
    rows = [row for row in frame(made).itertuples() if row.optimizer == "adam"]
    assert len(rows) == 2
    for row in rows:
        assert [row.advantage, row.effect, row.effect_low, row.effect_high] == pytest.approx(
            [math.nan] * 4, nan_ok=True
        )
        assert row.p_holm > 0, "ranks tell the two apart"
        assert row.note == "test of signed ranks: some outcome has no number"


@pytest.mark.parametrize("metric", ["test_accuracy", "train_loss"])
def test_the_same_numbers_in_every_seed_are_said_of_any_quantity(lab, curve, metric):
    for name in ("shb", "adam"):
        for seed in range(3):
            lab.run(
                f"{name}{seed}", [row | {metric: 0.5 + 0.1 * seed} for row in curve([0.1])], optimizer=name, seed=seed
            )
    made = table_sheet(load_table(lab.store, baseline="optimizer=shb", metrics=[metric]))
    (adam,) = [row[1].detail for row in made.rows if row[0].text == "adam"]
    same = "Δ 0" if metric == "test_accuracy" else "× 1"
    assert adam.endswith(f"{same}, the same numbers in every seed  p 1")


def test_the_columns_whose_logarithms_are_compared_are_named(lab, curve):
    for seed in range(3):
        row = {"test_loss": 0.5 + 0.1 * seed, "train_loss": 0.0 if seed else 1.0, "gradient_norm": 2.0 + seed}
        lab.run(f"shb{seed}", [one | row for one in curve([0.1 * seed])], optimizer="shb", seed=seed)
    made = load_table(lab.store, metrics=["test_accuracy", "test_loss", "train_loss", "gradient_norm"])
    compared = [cell.metric.name for cell in made.cells.values() if cell.log]
    (note,) = [note for note in table_sheet(made).notes if "logarithms" in note]
    assert note == f"{listing([name.replace('_', ' ') for name in compared])}: intervals and tests are of logarithms"
    assert "train_loss" not in compared, "a loss of 0 has none"
