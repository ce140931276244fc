"""Sensitivity curves: points by hand, what is chosen by whom, what is marked."""

import math
from itertools import product

import numpy as np
import pytest

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.sensitivity import lines, said, swept
from batchlab.results.compare.stats import summarize
from batchlab.results.show.extent import FEW, Extent
from batchlab.results.show.figure import load_figure
from batchlab.results.show.kinds import Kind
from batchlab.results.show.numbers import named
from batchlab.results.show.sensitivity_plot import Sensitivity
from batchlab.results.show.sensitivity_points import TRIED
from batchlab.results.show.summaries import summaries
from batchlab.results.store.runs import SweepEntry

ACCURACY = Metric("test_accuracy")
LEVELS = {0.01: [0.5, 0.6, 0.7], 0.1: [0.8, 0.9, 0.85], 1.0: [0.3, None, 0.2], 10.0: [None, None, None]}


def grid(lab, curve, optimizer="shb", shift=0.0):
    for rate, values in LEVELS.items():
        for seed, value in enumerate(values):
            rows = curve([0.1, math.nan if value is None else value + shift])
            state = "diverged" if value is None else "done"
            lab.run(f"{optimizer}{rate}x{seed}", rows, state, optimizer=optimizer, lr=rate, seed=seed)


def test_points_by_hand(lab, curve):
    grid(lab, curve)
    (line,) = lines(load(lab.store), ACCURACY, "optimizer.lr", "optimizer")
    assert [point.value for point in line.points] == [0.01, 0.1, 1.0, 10.0]
    assert [point.n for point in line.points] == [3, 3, 2, 0]
    assert [point.diverged for point in line.points] == [0, 0, 1, 3]
    summary = summarize(LEVELS[0.01])
    first = line.points[0]
    assert (first.mean, first.low, first.high) == pytest.approx((0.6, summary.low, summary.high))
    assert line.points[2].mean == pytest.approx(0.25), "of those that did not diverge"
    assert math.isnan(line.points[3].mean)
    assert (line.chosen, line.edge, line.judged) == (0.1, False, None)
    assert "best of those tried, by test accuracy" in said(load(lab.store), ACCURACY)


def test_a_value_that_diverged_is_never_chosen(lab, curve):
    lab.run("a", curve([0.1, 0.5]), lr=0.1, seed=0)
    lab.run("b", curve([0.1, 0.4]), lr=0.1, seed=1)
    lab.run("c", curve([0.1, 0.9]), lr=1.0, seed=0)
    lab.run("d", curve([0.1, math.nan]), "diverged", lr=1.0, seed=1)
    (line,) = lines(load(lab.store), ACCURACY, "optimizer.lr", "optimizer")
    assert (line.chosen, line.edge) == (0.1, True)


def test_the_figure_marks_what_diverged_and_what_is_chosen(lab, curve):
    grid(lab, curve)
    made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"])
    figure = made.figure()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "optimizer.lr"
    counts = {text.get_position()[0]: text.get_text() for text in axes.texts}
    assert counts == {1.0: "×1", 10.0: "×3"}
    ring = next(line for line in axes.lines if line.get_markersize() == 11)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx((0.1, 85))
    hollow = next(line for line in axes.lines if line.get_markerfacecolor() == "white")
    assert hollow.get_xdata().tolist() == [1.0, 10.0]
    (entry,) = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entry == "shb (n 0 to 3, 4 runs diverged; ring 0.1)"
    said_there = figure.legends[0].get_title().get_text()
    assert "×k, hollow" in said_there
    assert "no others judge it" in said_there
    assert made.notes == []


def test_bars_stay_inside_a_share(lab, curve):
    for seed, value in enumerate([0.9, 0.99, 1.0]):
        for rate in (0.1, 1.0):
            lab.run(f"{rate}x{seed}", curve([0.1, value]), lr=rate, seed=seed)
    figure = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"]).figure()
    bars = figure.axes[0].collections[0].get_segments()
    assert max(np.max(bar[:, 1]) for bar in bars) == 100
    assert "intervals end where the quantity does" in figure.legends[0].get_title().get_text()


def test_points_that_a_range_leaves_out_are_counted(lab, curve):
    grid(lab, curve)
    made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"], extent=Extent("", (50.0, 100.0)))
    assert "1 point outside the plot" in made.figure().legends[0].get_title().get_text()  # 25 % at 1.0
    left = "1 interval goes on beyond the plot"  # of 0.01: 35 % to 85 %
    assert made.notes == ["1 point outside the plot: another --ylim shows them", f"{left}: another --ylim shows more"]
    assert left in made.figure().legends[0].get_title().get_text()
    wide = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"], extent=Extent("", (0.0, 100.0)))
    assert wide.notes == []


def test_a_value_at_which_everything_diverged_has_its_place_on_the_axis(lab, curve):
    for seed in range(3):
        for rate in (0.1, 0.3):
            lab.run(f"{rate}x{seed}", curve([0.1, 0.5 + rate / 2 + 0.1 * seed]), lr=rate, seed=seed)
        lab.run(f"gone{seed}", [], "diverged", lr=1e6, seed=seed)
    made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"])
    (axes,) = made.figure().axes
    low, high = axes.get_xlim()
    assert low < 0.1
    assert 1e6 < high < 1e8
    assert [(text.get_position()[0], text.get_text()) for text in axes.texts] == [(1e6, "×3")]
    assert made.notes == []


def test_an_interval_that_ends_in_the_room_of_the_counts_is_whole(lab, curve):
    for i, rate in enumerate(0.1 * 1.1**k for k in range(FEW)):  # of two lines: more intervals than are all held
        for seed, value in enumerate((0.471, 0.52, 0.569) if i == 0 else (0.619, 0.62, 0.621)):
            lab.run(f"{rate}x{seed}", curve([0.1, value]), lr=rate, seed=seed)
            lab.run(f"{rate}y{seed}", curve([0.1, 0.62]), optimizer="adam", lr=rate, seed=seed)
    made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"])
    low = 100 * summarize([0.471, 0.52, 0.569]).low
    assert low < made.figure().axes[0].get_ylim()[0]
    assert made.notes == ["1 interval goes on beyond the plot: --ylim LOW,HIGH shows more"]
    lab.run("gone", curve([0.1, math.nan]), "diverged", lr=0.9)
    made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"])
    assert low > made.figure().axes[0].get_ylim()[0]
    assert made.notes == []


def test_a_target_never_reached_counts_as_the_budget(lab, curve):
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.1, 0.9]), lr=0.1, seed=seed)
        lab.run(f"b{seed}", curve([0.1, 0.2, 0.9 if seed else 0.3]), lr=1.0, seed=seed)
    (line,) = lines(load(lab.store), Metric.parse("steps_to:test_accuracy>=0.5"), "optimizer.lr", "optimizer")
    assert [point.mean for point in line.points] == pytest.approx([2, 4])
    assert [point.missed for point in line.points] == [0, 1]
    assert math.isnan(line.points[1].low)


def test_a_key_of_words_has_places_in_order_and_no_line(lab, curve):
    for i, schedule in enumerate(("constant", "cosine", "linear")):
        lab.run(schedule, curve([0.1, 0.5 + 0.1 * i]), lr_schedule=schedule)
    figure = load_figure(lab.store, metric="test_accuracy", x=["lr_schedule"]).figure()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["constant", "cosine", "linear"]
    assert axes.lines[0].get_linestyle() == "None"
    assert list(axes.lines[0].get_ydata()) == pytest.approx([50, 60, 70])


def test_words_have_no_ends_and_methods_stand_side_by_side_at_them(lab, curve):
    for i, schedule in enumerate(("constant", "cosine")):
        for optimizer in ("adam", "shb"):
            lab.run(f"{schedule}{optimizer}", curve([0.1, 0.5 + 0.1 * i]), optimizer=optimizer, lr_schedule=schedule)
    figure = load_figure(lab.store, metric="test_accuracy", x=["lr_schedule"]).figure()
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["adam (n 1)", "shb (n 1)"], "nobody tuned a word"
    places = [x for line in figure.axes[0].lines for x in line.get_xdata()]
    assert len(set(places)) == 4
    assert all(abs(x - round(x)) < 0.3 for x in places)
    assert "ring" not in figure.legends[0].get_title().get_text()


def test_points_that_mix_methods_choose_nothing(lab, curve):
    entries = []
    for schedule in ("constant", "cosine"):
        for rate in (0.1, 1.0):
            for seed, label in ((101, True), (0, False), (1, False)):
                name = f"{schedule}{rate}x{seed}"
                rows = [row | {"validation_accuracy": rate / 2} for row in curve([0.1, 0.4 + 0.1 * rate])]
                lab.run(name, rows, lr=rate, seed=seed, lr_schedule=schedule)
                entries.append(SweepEntry(name, {"tuning": label}, []))
    lab.store.write_sweep("mixed", entries)
    for hue, chosen in (("optimizer", [None]), ("lr_schedule", [1.0, 1.0])):
        found = lines(load(lab.store, "mixed"), ACCURACY, "optimizer.lr", hue)
        assert [line.chosen for line in found] == chosen
        assert [line.judged is None for line in found] == [value is None for value in chosen]
        made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"], hue=hue, sweep="mixed")
        ringed = [line for line in made.figure().axes[0].lines if line.get_markersize() == 11]
        assert len(ringed) == len([value for value in chosen if value])
        (panel,) = made.points().panels
        marks = {mark for line in panel.lines for point in line.points for mark in point.marks}
        assert marks == ({"ring", "diamond"} if chosen[0] else set())


def test_a_seed_is_not_chosen(lab, curve):
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.1, 0.5 + 0.1 * seed]), seed=seed)
    (line,) = lines(load(lab.store), ACCURACY, "seed", "optimizer")
    assert line.chosen is None


def tuning(lab, curve):
    """Seed 101 chooses 0.1 by validation although its test accuracy is worse; seeds 0 to 2 judge it."""
    entries = []

    def run(name, rate, seed, test, validation, label):
        rows = [row | {"validation_accuracy": validation} for row in curve([test, test])]
        lab.run(name, rows, lr=rate, seed=seed)
        entries.append(SweepEntry(name, {"tuning": label}, []))

    run("t1", 0.1, 101, 0.5, 0.9, True)
    run("t2", 1.0, 101, 0.7, 0.6, True)
    for seed in range(3):
        run(f"j{seed}", 0.1, seed, 0.6 + 0.01 * seed, 0.5, False)
    lab.store.write_sweep("tuned", entries)
    return load(lab.store, "tuned")


def test_tuning_runs_choose_by_validation_and_the_judged_runs_stand_beside(lab, curve):
    frame = tuning(lab, curve)
    (line,) = lines(frame, ACCURACY, "optimizer.lr", "optimizer")
    assert [(point.value, point.n, point.mean) for point in line.points] == [(0.1, 1, 0.5), (1.0, 1, 0.7)]
    assert (line.chosen, line.edge) == (0.1, True)
    assert line.judged is not None
    assert (line.judged.n, line.judged.mean) == (3, pytest.approx(0.61))
    assert (
        said(frame, ACCURACY) == "chosen by validation accuracy on the tuning runs of seed 101, which the lines are of"
    )
    figure = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"], sweep="tuned").figure()
    (entry,) = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entry == "shb (n 1; ring 0.1*, judged n 3)"
    diamond = next(line for line in figure.axes[0].lines if line.get_marker() == "D")
    assert diamond.get_ydata()[0] == pytest.approx(61)


def test_swept_keys_have_three_numbers_within_a_method(lab, curve):
    for rate in (0.1, 0.2, 0.3):
        lab.run(f"a{rate}", curve([0.1, 0.5]), lr=rate)
    assert swept(load(lab.store), "optimizer") == ["optimizer.lr"]
    lab.run("b", curve([0.1, 0.5]), optimizer="adam", lr=0.9)
    assert swept(load(lab.store), "optimizer,optimizer.lr") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": ["optimizer.rate"]}, "no x-axis optimizer.rate: choose samples.*or a key of the runs"),
        ({"x": ["optimizer.lr"]}, "every run has optimizer.lr=0.1: a curve over it takes a sweep"),
        ({"x": ["samples", "optimizer.lr"]}, "one key alone"),
        ({"problems": ["dataset"]}, "--problems goes with --kind"),
        ({"kind": Kind.IQM, "panel": "dataset"}, "leave out --x, --panel"),
        ({"metric": "test_acc", "x": ["seed"], "hue": "optimizer"}, "no run has the metric test_acc"),
    ],
)
def test_mistakes_name_the_way_out(lab, curve, arguments, message):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.1, 0.2]), seed=seed)
    with pytest.raises(ValueError, match=message):
        load_figure(lab.store, **{"metric": "test_accuracy"} | arguments).figure()


def test_a_method_that_always_failed_without_a_row_is_counted_too(lab, curve):
    grid(lab, curve)
    for rate in (0.1, 1.0):
        lab.run(f"f{rate}", [], "failed", optimizer="adam", lr=rate)
    figure = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"]).figure()
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries[0] == "adam (n 0, 2 runs diverged)"


def test_many_panels_stand_side_by_side(lab, curve):
    for dataset in ("a9a", "digits", "mnist", "w8a"):
        for rate in (0.1, 1.0):
            lab.run(f"{dataset}{rate}", curve([0.1, 0.5]), dataset=dataset, lr=rate)
    figure = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"], panel="dataset").figure()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"dataset {name}" for name in ("a9a", "digits", "mnist", "w8a")]
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 2)


def test_ticks_stand_at_the_values_that_were_tried(lab, curve):
    for size in (8, 32, 128):
        lab.run(f"s{size}", curve([0.1, 0.5]), batch_size=size, lr=size / 1000)
    made = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"])
    (axes,) = made.figure().axes
    assert axes.get_xticks() == pytest.approx([0.008, 0.032, 0.128])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.008", "0.032", "0.128"]
    assert len(axes.get_xticks(minor=True)) == 0
    assert [text for _, text in made.points().panels[0].x.ticks] == ["0.008", "0.032", "0.128"]
    assert made.figure().legends[0].get_title().get_text().startswith("mean over seeds\n"), "there is no interval"
    for i in range(TRIED):
        lab.run(f"m{i}", curve([0.1, 0.5]), lr=0.5 + i / 10)
    assert not load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"]).points().panels[0].x.ticks


def zipped(lab, curve, extra=()):
    """Two keys that move together, of two optimizers and two seeds."""
    for optimizer, (lr, size), seed in product(("shb", "adam"), [(0.1, 8), (0.2, 16), (0.4, 32), *extra], range(2)):
        rows = curve([0.1, lr + 0.01 * seed])
        lab.run(f"{optimizer}{lr}x{size}-{seed}", rows, optimizer=optimizer, lr=lr, size=size, seed=seed)
    return lab.store


@pytest.mark.parametrize("x", ["optimizer.lr", "optimizer.size"])
def test_of_keys_that_move_together_neither_is_blamed_alone(lab, curve, x):
    store = zipped(lab, curve)
    made = load_figure(store, metric="test_accuracy", x=[x])
    assert made.hue == "optimizer", "what moves with the axis tells no lines apart"
    other = {"optimizer.lr": "optimizer.size", "optimizer.size": "optimizer.lr"}[x]
    assert f"{other} moves with {x}: no curve tells them apart" in made.notes
    assert [line.chosen for own in made._drawn for line in own] == [None, None], "no value has a ring"
    assert f"{other} moves with" in made.figure().legends[0].get_title().get_text().replace("\n", " ")
    frame = load(store)
    assert [drawing.key for drawing in summaries(frame) if isinstance(drawing, Sensitivity)] == ["optimizer.lr"]


def test_keys_that_were_crossed_move_alone(lab, curve):
    store = zipped(lab, curve, [(0.1, 16)])
    made = load_figure(store, metric="test_accuracy", x=["optimizer.lr"], hue="optimizer,optimizer.size")
    assert not any("moves with" in note for note in made.notes)
    assert any(line.chosen is not None for own in made._drawn for line in own)


def test_numbers_that_do_not_say_what_they_are_of_have_the_ends_of_their_keys(lab, curve):
    frame = load(zipped(lab, curve))
    assert next(iter(named(frame, "optimizer.lr,optimizer.size").values())) == "lr 0.1, size 8"
    assert "adam, lr 0.2, size 16" in named(frame, "optimizer,optimizer.lr,optimizer.size").values()
    assert "adam 0.2" in named(frame, "optimizer,optimizer.lr").values(), "one number speaks for itself"
