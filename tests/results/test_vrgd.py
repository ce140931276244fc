"""VRGD's reproduction on runs whose right verdicts are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.outcomes import Fate
from batchlab.results.papers import vrgd_toy
from batchlab.results.papers.catalogue import build, reproduce
from batchlab.results.show.render import FORMATS, render
from batchlab.results.store.record import to_arrow
from batchlab.results.store.run import State
from batchlab.results.store.runs import SweepEntry


class Book:
    """Runs with any configuration, in memory: what `load` makes of a sweep."""

    def __init__(self):
        self.runs, self.rows, self.layers, self.parts = [], [], [], []

    def run(self, labels, rows, *, optimizer, batch=2048, groups=8, dataset="digits", seed=0, state="done", layers=()):
        config = {
            "optimizer": optimizer,
            "lr_schedule": {"name": "constant"},
            "batch_schedule": {"name": "constant", "size": batch},
            "dataset": {"name": dataset},
            "train": {"groups": groups},
            "seed": seed,
        }
        place = slice(len(self.rows), len(self.rows) + len(rows))
        self.parts.append(slice(len(self.layers), len(self.layers) + len(layers)))
        self.runs.append(RunRow(f"run{len(self.runs):04}", State(state), None, {}, config, labels, {}, place))
        self.rows += rows
        self.layers += layers

    def frame(self):
        def layers(name):
            runs = [replace(run, rows=part) for run, part in zip(self.runs, self.parts, strict=True)]
            table = to_arrow(self.layers, {})
            return Frame(runs, table, frozenset(table.column_names), [], True)

        table = to_arrow(self.rows, {})
        return Frame(self.runs, table, frozenset(table.column_names), [], True, layers)

    def made(self):
        return build("vrgd", self.frame())


@pytest.fixture
def book():
    return Book()


def verdicts(made):
    return [(item.claim.text, item.verdict) for item in made.claims]


TUNING = (101, 102)


def labelled(seed, tuning):
    return {} if tuning is None else {"tuning": seed in tuning}


# -- the toy ---------------------------------------------------------------------------------------------------------


def walk(rate, noise, order=True, steps=100):
    """Loss 10 e^(-rate t); the weights jump from 0 to about 5.5 and creep to their targets, as in the real toy.

    order=0: all begin as far from them.
    """
    rows = []
    for t in range(steps + 1):
        row = {"samples": 2048 * t, "steps": t, "epoch": t / 100, "gradients": 2048 * t, "train_seconds": 0.01 * t}
        row |= {f"w{i}": i + (5.5 - i if order else 4.5) * math.exp(-rate * t) if t else 0.0 for i in range(1, 11)}
        rows.append(row | ({"train_loss": 10 * math.exp(-rate * t + noise)} if t else {}))
    return rows


def toy(book, rates, *, seeds=3, settings=(), order=True, states=(), tuning=TUNING):
    """rates: {method: rate of its loss at lr 0.2}; settings: {(gamma, k): rate} of VR-SGD with the upper clip 1.

    tuning: seeds that choose; None: a sweep from before there were any.
    """
    generator, states = np.random.default_rng(0), dict(states)
    for seed in (*(tuning or ()), *range(seeds)):
        for lr in (0.1, 0.2):
            for method, rate in rates.items():
                optimizer = {"name": "sgd", "lr": lr}
                if method != "sgd":
                    optimizer = {"name": "vr_sgd", "lr": lr, "upper": method, "gamma": 0.1, "control": False}
                rows = walk(rate * lr / 0.2, 0.01 * generator.normal(), order)
                state = states.get((method, lr), "done")
                book.run(
                    {"part": "toy"} | labelled(seed, tuning), rows, optimizer=optimizer, seed=seed, state=state,
                    dataset="linear_regression",
                    groups=1 if method == "sgd" else 64,
                )  # fmt: skip
        for (gamma, groups), rate in dict(settings if seed < 100 else ()).items():
            optimizer = {"name": "vr_sgd", "lr": 0.2, "upper": "one", "gamma": gamma, "control": False}
            rows = walk(rate, 0.01 * generator.normal())
            book.run(
                {"part": "toy"} | labelled(seed, tuning), rows, optimizer=optimizer, seed=seed, groups=groups,
                dataset="linear_regression",
            )  # fmt: skip


def test_speed_is_steps_to_sgds_last_loss(book):
    """Where the order of arrivals alone decides, six claims take 8 seeds: 6 x 2 / 2^8 = 0.047."""
    toy(book, {"sgd": 0.05, "one": 0.04, "inverse": 0.12, "none": 0.06}, seeds=8)
    made = [item for item in book.made().claims if item.claim.text.startswith("VR-SGD reaches")]
    assert [item.claim.better.label for item in made[::2]] == list(vrgd_toy.VR.values())
    assert [item.verdict.value for item in made] == ["does not hold"] * 2 + ["holds"] * 2 + ["does not hold"] * 2
    one, inverse, none = (item.comparisons[0].ours for item in made[1::2])  # each at its best: lr 0.2
    assert one == pytest.approx(100)  # never there
    assert inverse == pytest.approx(42, abs=1)  # 0.05 x 100 / 0.12
    assert none == pytest.approx(84, abs=1)


def test_a_run_that_diverges_is_not_quick(book):
    states = {("inverse", 0.1): "diverged", ("inverse", 0.2): "diverged"}
    toy(book, {"sgd": 0.05, "inverse": 0.12}, states=states, seeds=7)
    made = [item for item in book.made().claims if item.claim.better.label == vrgd_toy.VR["inverse"]]
    assert {item.verdict for item in made} == {Verdict.DOES_NOT_HOLD}  # though it passed SGD's loss before its end
    fates = [outcome.fate for item in made for outcome in item.comparisons[0].outcomes.values()]
    assert fates == [Fate.LOST] * 14


def test_the_order_of_the_weights(book):
    toy(book, {"sgd": 0.05, "one": 0.05, "inverse": 0.12, "none": 0.12}, seeds=5)
    made = book.made()
    found = dict(verdicts(made))
    assert found["VR-SGD: w5 and w6 converge first"] is Verdict.HOLDS
    assert found["VR-SGD: w1 and w10 converge last"] is Verdict.HOLDS
    sheet = next(sheet for sheet in made.sheets() if "each weight" in sheet.title)
    sgd = [cell.text for cell in sheet.rows[0]]
    assert [row[0].text for row in sheet.rows] == ["0.2", "", "", "", "best", "", "", ""]
    # 4.5 e^(-0.05 t) = 0.5 at t = 43.9, 3.5 at 38.9; w5 and w6 jump to within it
    assert sgd == ["0.2", "SGD", "44", "39", "33", "22", "1", "1", "22", "33", "39", "44"]


def test_an_order_that_is_not_there_does_not_hold(book):
    toy(book, {"sgd": 0.05, "one": 0.05}, order=False)
    found = dict(verdicts(book.made()))
    assert found["VR-SGD: w5 and w6 converge first"] is not Verdict.HOLDS
    assert found["VR-SGD: w1 and w10 converge last"] is not Verdict.HOLDS


def test_ablations_are_compared_on_the_seeds_they_share(book):
    other = {(0.01, 64): 0.03, (0.04, 64): 0.05, (0.2, 64): 0.05, (0.5, 64): 0.02}
    ks = {(0.1, 8): 0.01, (0.1, 32): 0.05, (0.1, 256): 0.05, (0.1, 512): 0.09}
    toy(book, {"sgd": 0.05, "one": 0.05}, settings=other | ks)
    book.runs.pop()  # the last seed lacks k = 512: its two others are compared
    made = {item.claim.text: item for item in book.made().claims}
    gamma, k = (
        made[f"the best {name} (upper clip 1)"] for name in ("gamma is about 0.04 to 0.2", "k is about 32 to 256")
    )
    assert gamma.verdict is Verdict.HOLDS
    assert gamma.comparisons[0].seeds == 3
    assert k.verdict is Verdict.DOES_NOT_HOLD  # 512 is better
    assert k.comparisons[0].seeds == 2
    assert k.comparisons[0].dropped == 0
    unasked = made["the best k is about 32 to 256 (upper clip 1/γ)"]
    assert unasked.verdict is Verdict.UNDECIDED
    assert "no runs" in unasked.reason


# -- the network -----------------------------------------------------------------------------------------------------

GRID = {"low": 0.1, "middle": 0.3, "high": 0.9}


def network(
    book, gain, control=0.03, *, seeds=3, batches=(32, 256, 1442), dataset="digits", states=(), best="middle",
    judged_best=None, tuning=TUNING,
):  # fmt: skip
    """Accuracy: 0.9 for the base at batch 32, 0.1 less per size; VR has `gain[batch]` more, its control `control` less.

    The best learning rate is `best`, for all; each step away from it costs 0.05. `judged_best`: the best of the judged
    seeds, where that is another.
    """
    generator, states = np.random.default_rng(1), dict(states)
    names = list(GRID)
    for pair, base in (("momentum", "shb"), ("adam", "adam")):
        for i, batch in enumerate(batches):
            for name, lr in GRID.items():
                for seed in (*(tuning or ()), *range(seeds)):
                    own = best if seed in (tuning or ()) else judged_best or best
                    level = 0.9 - 0.1 * i - 0.05 * abs(names.index(name) - names.index(own))
                    for variant, change in (("base", 0.0), ("VR", gain[batch]), ("control", gain[batch] - control)):
                        optimizer = {"name": base, "lr": lr}
                        if variant != "base":
                            optimizer = {"name": f"vr_{pair}", "lr": lr, "control": variant == "control"}
                        value = level + change + 0.001 * generator.normal()
                        rows = [
                            {"samples": 100 * t, "steps": t, "epoch": float(t), "test_accuracy": value * t}
                            for t in (0, 1)
                        ]
                        layers = [
                            {"samples": 1, "steps": 1, "layer": layer, "size": size, "mean": mean, "clipped_low": 0.1,
                             "clipped_high": 0.2}
                            for layer, size, mean in (("conv", 30, 0.4), ("fc", 10, 0.8))
                        ]  # fmt: skip
                        book.run(
                            {"part": "network", "pair": pair} | labelled(seed, tuning), rows, optimizer=optimizer,
                            batch=batch, seed=seed,
                            dataset=dataset, state=states.get((variant, batch, seed), "done"),
                            layers=layers if variant != "base" else (),
                        )  # fmt: skip


def test_gains_that_grow_with_the_batch_hold(book):
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05})
    made = book.made()
    assert {verdict for _, verdict in verdicts(made)} == {Verdict.HOLDS}
    first = made.claims[0]
    assert 100 * first.comparisons[0].test.difference == pytest.approx(5, abs=0.3)
    lead = next(sheet for sheet in made.sheets() if "VR's lead" in sheet.title)
    assert [cell.text.split(" ")[0] for cell in lead.rows[2]][:2] == ["", "all"]
    assert float(lead.rows[2][4].text.split(" ")[0]) == pytest.approx(5, abs=0.3)
    rates = next(sheet for sheet in made.sheets() if "learning rates" in sheet.title)
    assert rates.title == "Network: learning rates, chosen on seeds 101 and 102"
    assert {cell.text for row in rates.rows for cell in row[2:]} == {"0.3"}
    multiplier = next(sheet for sheet in made.sheets() if "mean multiplier" in sheet.title)
    assert multiplier.records[0]["mean"] == pytest.approx(0.5)  # (30 x 0.4 + 10 x 0.8) / 40


def test_gains_that_shrink_do_not(book):
    network(book, {32: 0.05, 256: 0.02, 1442: -0.03}, control=0.0, seeds=6)
    found = verdicts(book.made())
    assert found[0] == ("VR helps more the larger the batch", Verdict.DOES_NOT_HOLD)
    apart = [verdict for text, verdict in found if "away from its control" in text]
    assert apart == [Verdict.DOES_NOT_HOLD] * 4  # two pairs, at their best and at the same rates


def test_an_optimum_at_the_edge_is_marked(book):
    network(book, {32: 0.0, 256: 0.0, 1442: 0.0}, best="high")
    rates = next(sheet for sheet in book.made().sheets() if "learning rates" in sheet.title)
    assert {cell.text for row in rates.rows for cell in row[2:]} == {"0.9*"}


def test_the_judged_seeds_choose_nothing(book):
    """They all prefer 0.9, and each is judged at 0.1, which the tuning runs prefer: no seed chooses for another."""
    network(book, {32: 0.0, 256: 0.0, 1442: 0.0}, best="low", judged_best="high")
    made = book.made()
    rates = next(sheet for sheet in made.sheets() if "learning rates" in sheet.title)
    assert {cell.text for row in rates.rows for cell in row[2:]} == {"0.1*"}
    table = next(table for table in made.tables if "each at its best" in table.title)
    base = next(cell for cell in table.cells.values() if cell.row == ("Momentum", "base") and cell.col == (32,))
    assert base.summary.mean == pytest.approx(0.8, abs=0.005)
    assert sorted(base.values) == [0, 1, 2]


def test_tuning_runs_are_shown_and_judged_nowhere(book):
    toy(book, {"sgd": 0.05, "one": 0.05, "inverse": 0.12, "none": 0.06})
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05})
    made = book.made()
    for table in made.tables:
        for cell in getattr(table, "cells", {}).values():
            assert cell.summary.n == 3, table.title
            assert set(cell.values) == {0, 1, 2}
    judged = {seed for item in made.claims for c in item.comparisons for seed in c.outcomes}
    assert judged == {0, 1, 2}
    assert all(item.reason == "" for item in made.claims if item.comparisons)
    frames = [plot.frame for plot in made.plots]
    assert len(frames) == 4
    assert {run.value("seed") for frame in frames for run in frame.runs} == {0, 1, 2}


def test_of_a_sweep_without_tuning_runs_what_needs_a_choice_says_so(book, tmp_path):
    toy(book, {"sgd": 0.05, "one": 0.05, "inverse": 0.12, "none": 0.06}, seeds=8, tuning=None)
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05}, dataset="cifar10", tuning=None)
    made = book.made()
    chosen = [item for item in made.claims if "no tuning runs" in item.reason]
    texts = {item.claim.text for item in chosen}
    assert {"VR-SGD: w5 and w6 converge first", "VR helps more the larger the batch"} < texts
    assert {item.verdict for item in chosen} == {Verdict.UNDECIDED}
    same = [item for item in made.claims if item.claim.rivals[0].label == "control, at the same lr"]
    assert [item.verdict for item in same] == [Verdict.HOLDS] * 2
    quick = "VR-SGD reaches at about step 50 SGD's loss of step 100"
    same = [item for item in made.claims if item.claim.text == quick and "no tuning" not in item.claim.better.label]
    assert [item.verdict for item in same][1] is Verdict.HOLDS
    for format in FORMATS:
        text = "".join(render(sheet, format) for sheet in made.sheets())
        assert "no tuning run" in text
    titles = [table.title for table in made.tables]
    assert not any("each at its best" in title for title in titles)
    assert "no tuning run" in made.published[0].notes[1]
    assert [file.name for file in made.save_plots(tmp_path)] == [f"vrgd-{i}.png" for i in (1, 2, 3)]


def test_unequal_tuning_is_said_beside_the_verdicts_it_concerns(book):
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05})
    lost = next(run for run in book.runs if run.value("seed") == 102 and run.value("optimizer") == "shb")
    book.runs.remove(lost)
    book.parts.pop()
    said = {item.claim.text: item.reason for item in book.made().claims if item.reason}
    assert set(said) == {"VR helps more the larger the batch", "VR beats its base optimizer (over all batch sizes)"}
    assert all("chosen from 5 and 6 tuning runs" in reason for reason in said.values())


def test_diverged_runs_are_counted_and_one_seed_decides_nothing(book):
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05}, states={("base", 1442, 2): "diverged"})
    made = book.made()
    growth = made.claims[0]
    assert growth.comparisons[0].dropped == 1
    assert growth.lost == {}, "VR is done, and its lead over what diverged has no number"
    beats = made.claims[1]
    assert beats.lost == {"diverged": 2}  # one a pair
    assert sum(outcome.fate is Fate.LOST for outcome in beats.comparisons[0].of_rival.values()) == 1
    lead = next(sheet for sheet in made.sheets() if "VR's lead" in sheet.title)
    assert "† 1 not done" in lead.rows[0][4].detail


def test_one_seed(book):
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05}, seeds=1)
    made = book.made()
    assert {verdict for _, verdict in verdicts(made)} == {Verdict.UNDECIDED}
    for sheet in made.sheets():
        render(sheet, "markdown")


def test_table_5_stands_beside_ours_on_its_data_alone(book):
    network(book, {256: 0.0, 2048: 0.01}, batches=(256, 2048), dataset="cifar10")
    table5 = book.made().published[0]
    row = {line[0].text: line for line in table5.rows}["VR-Momentum"]
    assert [cell.text for cell in row[1:]] == ["93.79", "93.71", "93.50", "93.28", "92.70", "90.57"]
    assert [bool(cell.detail) for cell in row[1:]] == [True, False, False, True, False, False]
    assert float(row[4].detail.split(" ")[0]) == pytest.approx(81, abs=0.3)
    assert "ours beneath" in table5.title


def test_on_digits_table_5_says_that_none_is_ours(book):
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05})
    made = book.made()
    assert not any(cell.detail for row in made.published[0].rows for cell in row)
    assert "another data set" in made.published[0].notes[1]
    assert any("digits" in note for note in made.notes)


# -- all of it -------------------------------------------------------------------------------------------------------


def test_it_prints_in_every_format_and_draws(book, tmp_path):
    toy(book, {"sgd": 0.05, "one": 0.04, "inverse": 0.12, "none": 0.12}, seeds=2)
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05}, seeds=2)
    made = book.made()
    for format in FORMATS:
        text = "".join(render(sheet, format) for sheet in made.sheets())
        assert "reconstructions" in text or format == "csv"
    assert [file.name for file in made.save_plots(tmp_path)] == [f"vrgd-{i}.png" for i in (1, 2, 3, 4)]


def test_nothing_yet(lab):
    lab.store.write_sweep("vrgd-laptop", [])
    made = reproduce(lab.store, "vrgd", "vrgd-laptop")
    assert {verdict for _, verdict in verdicts(made)} == {Verdict.UNDECIDED}
    assert made.save_plots(lab.store.root) == []
    for sheet in made.sheets():
        render(sheet, "markdown")


def test_runs_without_rows_yet(lab):
    """Begun, and stopped at once."""
    lab.run("a", [], "interrupted", optimizer="sgd")
    lab.run("b", [], "interrupted", optimizer="adam")
    labels = [{"part": "toy"}, {"part": "network", "pair": "adam"}]
    lab.store.write_sweep("vrgd-laptop", [SweepEntry(i, own) for i, own in zip("ab", labels, strict=True)])
    made = reproduce(lab.store, "vrgd", "vrgd-laptop")
    for sheet in made.sheets():
        render(sheet, "markdown")
    assert made.save_plots(lab.store.root) == []
