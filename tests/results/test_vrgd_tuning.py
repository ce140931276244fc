"""Learning rates of vrgd are chosen on tuning runs, which are shown and judged nowhere."""

import pytest
from vrgd_book import Book, network, toy

from batchlab.results.compare.claims import Verdict
from batchlab.results.papers.vrgd_network import TRAINING
from batchlab.results.show.plot import Plot
from batchlab.results.show.render import FORMATS, render


@pytest.fixture
def book():
    return Book()


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
    frames = [plot.frame for plot in (*made.plots, *made.panes)]
    assert len(frames) == 6
    assert {run.value("seed") for frame in frames for run in frame.runs} == {0, 1, 2}


@pytest.mark.parametrize(("places", "metrics"), [(1, ["test_accuracy"]), (2, ["test_accuracy", "train_loss"])])
def test_what_a_run_measured_once_is_no_curve(book, places, metrics):
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05})
    for row in book.rows:
        if row["steps"] >= 2 - places:
            row["train_loss"] = 1.0
    made = book.made()
    assert [str(plot.metric) for plot in made.panes if isinstance(plot, Plot) and plot.title == TRAINING] == metrics


def test_of_a_sweep_without_tuning_runs_what_needs_a_choice_says_so(book, tmp_path):
    toy(book, {"sgd": 0.05, "one": 0.05, "inverse": 0.12, "none": 0.06}, seeds=8, tuning=None)
    network(book, {32: 0.0, 256: 0.02, 1442: 0.05}, dataset="cifar10", tuning=None)
    made = book.made()
    chosen = [item for item in made.claims if "no tuning runs" in item.reason]
    texts = {item.claim.text for item in chosen}
    assert {"VR-SGD: w5 and w6 converge first", "VR helps more the larger the batch"} < texts
    assert {item.verdict for item in chosen} == {Verdict.UNDECIDED}
    same = [item for item in made.claims if item.claim.side == "at the same lr"]
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
