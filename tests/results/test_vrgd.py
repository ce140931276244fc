"""VRGD's reproduction on runs whose right verdicts are known."""

import math

import numpy as np
import pytest
from vrgd_book import Book, network, toy

from batchlab.results.compare.caveats import SOURCES
from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.outcomes import Fate
from batchlab.results.papers import vrgd_toy
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.papers.vrgd_plots import Weights
from batchlab.results.show.render import FORMATS, render
from batchlab.results.store.runs import SweepEntry


@pytest.fixture
def book():
    return Book()


def verdicts(made):
    return [(item.claim.text, item.verdict) for item in made.claims]


# -- the toy ---------------------------------------------------------------------------------------------------------


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
    ours, apart = row[4].detail.split(", ")
    assert float(ours.split(" ")[1]) == pytest.approx(81, abs=0.3)
    assert apart.endswith(" sd")
    assert "ours beneath" in table5.title
    assert "ResNet-56, 182 epochs. Ours: cifar10" in table5.notes[-1]


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
    assert [file.name for file in made.save_plots(tmp_path)] == [f"vrgd-{i}.png" for i in range(1, 5)]


def test_weights_are_means_and_ratios_means_of_ten_steps(book):
    steps = np.arange(30)
    for seed in range(2):
        ratios = np.exp(np.sin(steps + seed))
        rows = [
            {"samples": int(t), "steps": int(t), "w1": float(t + seed), "w2": 0.5, "gsnr_w1": float(r)}
            for t, r in zip(steps, ratios, strict=True)
        ]
        book.run({"method": "sgd"}, rows, optimizer={"name": "sgd"}, seed=seed)
    drawing = Weights(book.frame(), (1, 2), "weights")
    above, below = drawing.points().panels
    first, second = ([(point.x, point.y) for point in line.points] for line in above.lines)
    assert first == [(t, t + 0.5) for t in steps]
    assert second == [(t, 0.5) for t in steps]
    logs = np.mean([np.sin(steps), np.sin(steps + 1)], axis=0)
    wanted = [math.exp(logs[t - 9 : t + 1].mean()) for t in range(9, 30)]
    assert [point.x for point in below.lines[0].points] == [*range(9, 30)]
    assert [point.y for point in below.lines[0].points] == pytest.approx(wanted)
    assert below.y.log
    assert below.lines[1].points == []
    axes = drawing.figure().axes
    assert [line.get_ydata().tolist() for line in axes[0].lines] == [[y for _, y in first], [y for _, y in second]]


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


def test_tuning_runs_alone_draw_nothing_and_are_no_error(book, tmp_path):
    """What was stopped while it tuned has rows, but none of a judged run."""
    toy(book, {"sgd": 0.05, "one": 0.04}, seeds=0)
    made = book.made()
    assert made.save_plots(tmp_path) == []
    assert {item.verdict for item in made.claims} == {Verdict.UNDECIDED}


def test_a_race_that_is_not_run_yet_names_the_runs_it_takes(book):
    """Who adds seeds until a claim is decided must know what to train: VR-SGD's run and the SGD's it races."""
    toy(book, {"sgd": 0.05, "one": 0.04}, states={("sgd", lr): "pending" for lr in (0.1, 0.2)})
    same, _ = [item for item in book.made().claims if item.claim.better.where.get("method") == vrgd_toy.VR["one"]]
    assert same.verdict is Verdict.UNDECIDED
    assert {run.state.value for run in same.runs} == {"pending"}
    assert all(run.info[SOURCES] for run in same.runs)
