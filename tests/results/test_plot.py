"""Curves by hand, figures by what is drawn."""

import math
from itertools import product

import numpy as np
import pytest

from batchlab.results.compare.curves import curves
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import summarize
from batchlab.results.show import plot
from batchlab.results.show.extent import Extent
from batchlab.results.show.figure import load_figure


def drawn(lab, metric="test_accuracy", clock="samples", hue="optimizer", log=False):
    return curves(load(lab.store), Metric.parse(metric), clock, hue, log=log)


def test_runs_with_the_same_rows_are_averaged_row_by_row(lab, curve):
    values = [[0.1, 0.5, 0.9], [0.2, 0.3, 0.7], [0.0, 0.1, 0.8]]
    for seed, own in enumerate(values):
        lab.run(f"a{seed}", curve(own), seed=seed)
    (line,) = drawn(lab)
    assert line.n == 3
    assert line.x.tolist() == [0, 64, 128]
    for i, column in enumerate(zip(*values, strict=True)):
        summary = summarize(column)
        assert (line.mean[i], line.low[i], line.high[i]) == pytest.approx((summary.mean, summary.low, summary.high))


def test_repeats_are_averaged_before_the_interval(lab, curve):
    values = [[0.1, 0.5], [0.2, 0.3], [0.0, 0.1]]
    for seed, own in enumerate(values):
        for again in (False, True):
            rows = curve([value + 0.02 * again for value in own])
            lab.run(f"a{seed}{again}", rows, seed=seed, train_accuracy=again)
    (line,) = drawn(lab)
    assert line.n == 3
    for i, column in enumerate(zip(*values, strict=True)):
        summary = summarize([value + 0.01 for value in column])
        assert (line.mean[i], line.low[i], line.high[i]) == pytest.approx((summary.mean, summary.low, summary.high))
    made = load_figure(lab.store, metric="test_accuracy")
    assert made.notes[0] == "6 runs of 3 seeds: repeats were averaged"
    legend = made.figure().legends[0].get_title().get_text()
    assert made.notes[0] in legend
    assert "mean over seeds" in legend


def test_a_mean_is_drawn_only_where_every_run_has_rows(lab, curve):
    lab.run("a", curve([0.0, 0.4, 0.8], samples=10), seed=0)  # 0 to 20
    lab.run("b", curve([0.0, 0.5, 1.0, 1.0], samples=8)[1:], seed=1)  # 8 to 24
    (line,) = drawn(lab)
    assert line.x.tolist() == [8, 10, 16, 20]
    first, second = np.interp(line.x, [0, 10, 20], [0, 0.4, 0.8]), np.interp(line.x, [8, 16, 24], [0.5, 1, 1])
    assert line.mean == pytest.approx((first + second) / 2)


def test_a_running_minimum_is_a_step_function(lab, curve):
    lab.run("a", curve([3.0, 1.0, 2.0, 0.5], "train_loss", samples=10), seed=0)
    lab.run("b", curve([3.0, 2.0, 2.5, 1.0], "train_loss", samples=9), seed=1)
    (line,) = drawn(lab, "min:train_loss")
    assert line.x.tolist() == [0, 9, 10, 18, 20, 27]
    assert line.mean.tolist() == [3.0, 2.5, 1.5, 1.5, 1.5, 1.0]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 1e-4, 1e-16, 0.0, -1e-17], "log"),  # rounding at the end
        ([1.0, 0.5, 0.3], "linear"),
        ([1.0, -1.0, 0.01, -2.0, -3.0], "linear"),
    ],
)
def test_a_gap_is_drawn_on_a_logarithm_down_to_rounding(lab, curve, values, scale):
    lab.run("a", curve(values, "gap"))
    axes = load_figure(lab.store, metric="gap", x=["passes"]).figure().axes[0]
    assert axes.get_yscale() == scale
    shown = [value for value in values if value > 0] if scale == "log" else values
    assert list(axes.lines[0].get_ydata()) == pytest.approx(shown)


def test_a_logarithmic_axis_has_geometric_means(lab, curve):
    for seed, level in enumerate([1.0, 100.0]):
        lab.run(f"a{seed}", curve([level, level / 10], "train_loss"), seed=seed)
    (line,) = drawn(lab, "train_loss", log=True)
    assert line.mean == pytest.approx([10.0, 1.0])
    assert (line.low > 0).all()


def test_a_logarithmic_axis_without_a_whole_decade_has_numbers_too(lab, curve):
    lab.run("a", curve([0.19, 0.14], "train_loss"), optimizer="shb")
    lab.run("b", curve([9.0, 8.0], "train_loss"), optimizer="adam")
    figure = load_figure(lab.store, metric="train_loss", panel="optimizer").figure()
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
        assert sum(bool(tick.label1.get_text()) and low < tick.get_loc() < high for tick in ticks) >= 2


def test_diverged_and_unfinished_runs_are_tracks_not_parts_of_the_mean(lab, curve):
    lab.run("a", curve([0.1, 0.2]), seed=0)
    lab.run("b", curve([0.1, 0.9, math.nan]), "diverged", seed=1)
    lab.run("c", curve([0.1]), "interrupted", seed=2)
    (line,) = drawn(lab)
    assert (line.n, line.diverged, len(line.lost)) == (1, 1, 2)
    assert line.mean.tolist() == [0.1, 0.2]
    assert line.lost[0].y.tolist() == [0.1, 0.9]
    assert np.isnan(line.low).all()


def test_other_clocks_and_long_runs(lab, curve):
    lab.run("a", curve(np.linspace(0, 1, 2000).tolist()))
    (line,) = drawn(lab, clock="seconds")
    assert len(line.x) == 300
    assert (line.x[0], line.x[-1]) == (0.0, 0.5 * 1999)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_files(lab, curve, tmp_path, suffix):
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.1, 0.5 + 0.1 * seed]), seed=seed)
    path = load_figure(lab.store, metric="test_accuracy").save(tmp_path / "deep" / f"figure{suffix}")
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)


def test_a_figure_says_what_it_shows(lab, curve):
    for seed in range(3):
        lab.run(f"a{seed}", curve([1.0, 0.1 + 0.01 * seed], "full_gradient_norm"), seed=seed)
    lab.run("b0", curve([1.0, 0.5, math.inf], "full_gradient_norm"), "diverged", optimizer="adam")
    made = load_figure(lab.store, metric="min:full_gradient_norm", x=["steps", "seconds"])
    figure = made.figure()
    assert [axes.get_xlabel() for axes in figure.axes] == ["steps", "training time [s]"]
    assert figure.axes[0].get_ylabel() == "running minimum of full gradient norm"
    assert figure.axes[0].get_yscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["adam (n 0, 1 diverged)", "shb (n 3)"]
    low, high = figure.axes[0].get_ylim()
    assert low < 0.1
    assert high > 1.0
    svg = made.svg()
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "width=" not in svg.split(">")[0]


def test_two_runs_have_no_band_and_fill_the_page(lab, curve):
    for seed, level in enumerate([1.0, 1.2]):
        lab.run(f"a{seed}", curve([level, level * 1e-4], "train_loss"), seed=seed)
    with np.errstate(all="raise"):
        low, high = load_figure(lab.store, metric="train_loss").figure().axes[0].get_ylim()
    assert 1e-5 < low < 1e-4
    assert 1 < high < 10


def test_an_accuracys_axis_ends_near_100_percent(lab, curve):
    for seed, level in enumerate([0.5, 0.97, 0.99]):
        lab.run(f"a{seed}", curve([0.1, level]), seed=seed)
    low, high = load_figure(lab.store, metric="test_accuracy").figure().axes[0].get_ylim()
    assert -5 < low < 10
    assert 99 < high < 105


def test_a_band_ends_where_the_quantity_does(lab, curve):
    """Three seeds whose t interval leaves 0 to 1, by scipy's own quantile."""
    values = [0.90, 0.99, 1.0]
    for seed, value in enumerate(values):
        lab.run(f"a{seed}", curve([0.5, value]), seed=seed)
    half = 4.302652729911275 * np.std(values, ddof=1) / np.sqrt(3)
    assert np.mean(values) + half > 1
    figure = load_figure(lab.store, metric="test_accuracy").figure()
    corners = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert corners.max() == 100.0
    assert corners.min() == pytest.approx(100 * (np.mean(values) - half), abs=1e-6) or corners.min() < 50.01
    assert "intervals end where the quantity does" in figure.legends[0].get_title().get_text()


@pytest.mark.parametrize(
    ("name", "values", "least"),
    [
        ("test_loss", [0.01, 0.02, 0.9], 0.0),
        ("advantage", [0.01, 0.02, 0.9], None),
        ("test_loss", [-0.1, 0.0, 0.9], None),
    ],
)
def test_a_loss_has_no_band_below_zero_unless_it_is_below_itself(lab, curve, name, values, least):
    for seed, value in enumerate(values):
        lab.run(f"a{seed}", curve([1.0, value], name), seed=seed)
    figure = load_figure(lab.store, metric=name).figure()
    lowest = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1].min()
    assert (lowest == least) if least is not None else lowest < -0.1
    said = figure.legends[0].get_title().get_text()
    assert ("intervals end" in said) == (least is not None)
    assert "beyond the plot" not in said, "a single line's band is seen whole"
    whole = load_figure(lab.store, metric=name, extent=Extent("", (-9.0, 9.0))).figure().legends[0].get_title()
    assert ("intervals end" in whole.get_text()) == (least is not None)
    assert "beyond the plot" not in whole.get_text()


def test_a_value_whose_runs_all_diverged_before_a_row_is_named(lab, curve):
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.1, 0.9]), lr=0.1, seed=seed)
        lab.run(f"b{seed}", [], "diverged", lr=1e6, seed=seed)
    lab.run("c0", [], "failed", lr=10.0)
    lab.run("c1", [], "diverged", lr=10.0, seed=1)
    lab.run("d", curve([0.1, math.nan])[1:], "diverged", lr=3.0, dataset="mnist")
    made = load_figure(lab.store, metric="test_accuracy", hue="optimizer.lr", where=["dataset=digits"])
    said = "no line: 10 (1 diverged, 1 not done), 1e6 (3 diverged)"
    assert made.notes == [said]
    assert said in made.figure().legends[0].get_title().get_text()
    lab.run("e", curve([0.1, 0.9]), lr=3.0, seed=1, dataset="mnist", optimizer="adam")
    panels = load_figure(lab.store, metric="test_accuracy", panel="dataset", where=["optimizer.lr=0.1,3"])
    assert panels.notes == ["no line: shb in dataset mnist (1 diverged)"]


def test_the_interval_at_the_end_of_a_line_has_the_mark_of_its_line(lab, curve):
    """Of three keys some lines have a colour and a dash in common, and only their marks tell them apart."""
    for i, (name, schedule, rate) in enumerate(product(("adam", "shb"), ("constant", "cosine"), range(1, 6))):
        for seed in range(3):
            rows = curve([0.1, 0.3 + 0.02 * i + 0.01 * seed])
            lab.run(f"r{i}x{seed}", rows, optimizer=name, lr_schedule=schedule, lr=0.01 * rate, seed=seed)
    figure = load_figure(lab.store, metric="test_accuracy", hue="optimizer,optimizer.lr,lr_schedule").figure()
    (axes,) = figure.axes
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    marks = [line.get_marker() for line in figure.legends[0].get_lines()]
    assert [dot.get_marker() for dot in dots] == [{"": "_", "None": "_"}.get(mark, mark) for mark in marks]
    assert len({*marks}) > 1


def test_of_many_lines_an_interval_stands_beside_each_end(lab, curve):
    """Against scipy's quantile; ticks end with the clock."""
    lines = range(plot.BANDS + 1)
    for i in lines:
        for seed in range(3):
            lab.run(f"r{i}x{seed}", curve([0.1, 0.3 + 0.02 * i + 0.01 * seed]), optimizer=f"o{i}", seed=seed)
    figure = load_figure(lab.store, metric="test_accuracy").figure()
    (axes,) = figure.axes
    bars = [bar for collection in axes.collections for bar in collection.get_segments()]
    assert len(axes.collections) == len(bars) == len(lines), "no band"
    half = 100 * 4.302652729911275 * 0.01 / np.sqrt(3)
    for i, bar in enumerate(bars):
        middle = 100 * (0.31 + 0.02 * i)
        assert bar[:, 1] == pytest.approx([middle - half, middle + half])
        assert bar[0, 0] > 64
    assert max(axes.get_xticks()) <= 64
    assert "at the right the 95 % t interval of each line's end" in figure.legends[0].get_title().get_text()
    few = load_figure(lab.store, metric="test_accuracy", where=["optimizer=o0,o1"]).figure()
    assert len(few.axes[0].collections) == 2
    assert "at the right" not in few.legends[0].get_title().get_text()


def test_a_line_of_one_point_is_seen(lab, curve):
    for seed, value in enumerate([0.2, 0.3, 0.4]):
        lab.run(f"a{seed}", curve([0.1, value])[1:], seed=seed)
    (axes,) = load_figure(lab.store, metric="test_accuracy").figure().axes
    assert [(line.get_marker(), list(line.get_ydata())) for line in axes.lines] == [("o", [pytest.approx(30)])]
    summary = summarize([0.2, 0.3, 0.4])
    (bar,) = axes.collections[-1].get_segments()
    assert bar[:, 1] == pytest.approx([100 * summary.low, 100 * summary.high])


def test_points_whose_dashes_are_not_seen_have_other_marks_and_stand_side_by_side(lab, curve):
    for i in range(10):
        lab.run(f"r{i}", curve([0.1, 0.2])[1:], optimizer=f"o{i}")
    figure = load_figure(lab.store, metric="test_accuracy").figure()
    (axes,) = figure.axes
    looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
    assert len(looks) == 10
    assert {(line.get_color(), line.get_marker()) for line in figure.legends[0].get_lines()} == looks
    assert len({line.get_xdata()[0] for line in axes.lines}) == 10
    assert list(axes.get_xticks()) == [64]
    lab.run("more", curve([0.1, 0.2]), lr_schedule="cosine", optimizer="o0")
    words = load_figure(lab.store, metric="test_accuracy", x=["lr_schedule"], hue="optimizer").figure()
    assert len({(line.get_color(), line.get_marker()) for line in words.legends[0].get_lines()}) == 10


def test_runs_that_lack_a_key_of_the_hue_are_counted(lab, curve):
    lab.run("a", curve([0.1, 0.2]), beta=0.9)
    lab.run("b", curve([0.1, 0.2]), optimizer="adam")
    for keys in ({"hue": "optimizer,optimizer.beta"}, {"hue": "seed", "panel": "optimizer.beta"}):
        made = load_figure(lab.store, metric="test_accuracy", **keys)
        assert "1 run without optimizer.beta left out" in made.notes
        assert "1 run without optimizer.beta left out" in made.figure().legends[0].get_title().get_text()


def test_numbers_are_written_one_way(lab, curve):
    for i, rate in enumerate((1.0, 1e-05, 1e9)):
        lab.run(f"r{i}", curve([0.2, 3e-5 * 10**i], "train_loss"), lr=rate)
    figure = load_figure(lab.store, metric="train_loss", hue="optimizer,optimizer.lr").figure()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["shb 1e-5 (n 1)", "shb 1 (n 1)", "shb 1e9 (n 1)"]
    figure.draw_without_rendering()
    ticks = [tick.label1.get_text() for tick in figure.axes[0].yaxis.get_major_ticks()]
    assert {"1e-5", "0.001", "0.1"} & set(ticks)
    assert not any("$" in tick for tick in ticks)
    panels = load_figure(lab.store, metric="train_loss", panel="optimizer.lr").figure().axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["optimizer.lr 1e-5", "optimizer.lr 1", "optimizer.lr 1e9"]


def test_no_tick_stands_between_steps(lab, curve):
    lab.run("a", curve([0.1, 0.2], samples=1))
    figure = load_figure(lab.store, metric="test_accuracy", x=["steps", "samples"]).figure()
    figure.draw_without_rendering()
    assert all(tick == round(tick) for axes in figure.axes for tick in axes.get_xticks())


def test_scale_and_range_are_as_asked(lab, curve):
    for seed, level in enumerate([1.0, 100.0]):
        lab.run(f"a{seed}", curve([level, level / 10], "train_loss"), seed=seed)
    axes = load_figure(lab.store, metric="train_loss", extent=Extent.parse("linear", "0,60")).figure().axes[0]
    assert (axes.get_yscale(), axes.get_ylim()) == ("linear", (0, 60))
    assert list(axes.lines[0].get_ydata()) == pytest.approx([50.5, 5.05]), "the mean is that of the scale"
    axes = load_figure(lab.store, metric="train_loss", extent=Extent.parse("", "0,60")).figure().axes[0]
    assert axes.get_yscale() == "linear", "a range from 0 has no logarithm"
    lab.run("b", curve([0.1, 0.9]), optimizer="adam")
    axes = load_figure(lab.store, metric="test_accuracy", extent=Extent.parse("log", "")).figure().axes[0]
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("scale", "ylim", "message"),
    [
        ("cubic", "", "no scale cubic: choose linear or log"),
        ("", "1", "write LOW,HIGH"),
        ("", "a,b", "write LOW,HIGH"),
        ("", "2,1", "less than the second"),
        ("", "1,inf", "less than the second"),
        ("log", "0,1", "begins above 0"),
    ],
)
def test_an_extent_that_is_none(scale, ylim, message):
    with pytest.raises(ValueError, match=message):
        Extent.parse(scale, ylim)


def test_a_logarithmic_axis_of_nothing_above_zero(lab, curve):
    lab.run("a", curve([0.0, -1.0], "gap"))
    with pytest.raises(ValueError, match="leave out --scale"):
        load_figure(lab.store, metric="gap", extent=Extent.parse("log", "")).figure()


@pytest.mark.parametrize("hue", ["optimizer", "optimizer,lr_schedule"])
def test_a_run_without_a_hue_is_left_out_and_named(lab, curve, hue):
    """Rows damaged, configuration gone."""
    lab.run("a", curve([0.1, 0.2]))
    damaged = lab.run("b", curve([0.1, 0.2]), optimizer="adam")
    damaged.config.unlink()
    damaged.metrics.write_bytes(b"PAR1")
    made = load_figure(lab.store, metric="test_accuracy", hue=hue)
    assert len(made.figure().legends[0].get_texts()) == 1
    assert [str(damaged.metrics) in note for note in made.notes] == [True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "mean:test_accuracy"}, "one number per run"),
        ({"metric": "test_acc"}, "no run has the metric test_acc"),
        ({"metric": "test_accuracy", "x": ["hours"]}, "no x-axis hours: choose samples"),
        ({"metric": "test_accuracy", "hue": "optimiser"}, "no run has the axis optimiser"),
    ],
)
def test_mistakes_name_the_way_out(lab, curve, arguments, message):
    lab.run("a", curve([0.1, 0.2]))
    with pytest.raises(ValueError, match=message):
        load_figure(lab.store, **arguments).figure()


def test_bad_files(lab, curve, tmp_path):
    lab.run("a", curve([0.1, 0.2]))
    made = load_figure(lab.store, metric="test_accuracy")
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf"):
        made.save(tmp_path / "figure.gif")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="another file with -o"):
        made.save(tmp_path / "file" / "figure.png")


def test_nothing_to_draw_says_so(lab, curve):
    lab.run("a", curve([math.nan]))
    with pytest.raises(ValueError, match="batchlab status"):
        load_figure(lab.store, metric="test_accuracy").figure()


def test_of_many_runs_that_did_not_finish_some_are_drawn_and_the_legend_says_so(lab, curve, monkeypatch):
    monkeypatch.setattr(plot, "THIN", 3)
    for seed in range(7):
        lab.run(f"a{seed}", curve([0.1, 0.2 + 0.1 * seed]), seed=seed, state="diverged")
    made = load_figure(lab.store, metric="test_accuracy").figure()
    *thin, crosses = [line for line in made.axes[0].lines if len(line.get_xdata())][-4:]
    ends = [20, 50, 80]  # of the first, the middle and the last one, in percent
    assert [line.get_ydata()[-1] for line in thin] == pytest.approx(ends)
    assert crosses.get_ydata() == pytest.approx(ends)
    said = made.legends[0].get_title().get_text()
    assert "thin lines did not finish (3 of a line's are drawn)" in said
    assert "7 diverged" in made.legends[0].get_texts()[0].get_text()


def test_the_last_value_of_a_running_extreme_is_held_for_a_moment(lab, curve):
    """A step without a length would be a stroke at the edge."""
    for seed in range(3):
        lab.run(f"a{seed}", curve([0.1, 0.5 + 0.1 * seed, 0.9]), seed=seed)
    held = 128 * 1.02
    (axes,) = load_figure(lab.store, metric="max:test_accuracy").figure().axes
    (line,) = axes.lines
    assert line.get_xdata()[-2:] == pytest.approx([128, held])
    assert line.get_ydata()[-2:] == pytest.approx([90, 90])
    assert axes.collections[0].get_paths()[0].vertices[:, 0].max() == pytest.approx(held)
    assert line.get_markevery() == [0, 1, 2], "no mark where nothing was measured"
    assert axes.get_xlim()[1] > held
    (plain,) = load_figure(lab.store, metric="test_accuracy").figure().axes[0].lines
    assert plain.get_xdata()[-1] == 128


@pytest.mark.parametrize(
    ("seeds", "state", "said"),
    [
        (1, "done", "mean over seeds"),
        (3, "done", "mean over seeds, 95 % t interval (from n = 3 on)"),
        (1, "interrupted", "mean over seeds; thin lines did not finish"),
        (1, "diverged", "mean over seeds; thin lines did not finish, × diverged"),
        (3, "diverged", "mean over seeds, 95 % t interval (from n = 3 on);\nthin lines did not finish, × diverged"),
    ],
)
def test_only_what_is_drawn_is_explained(lab, curve, seeds, state, said):
    for seed in range(seeds):
        lab.run(f"a{seed}", curve([0.1, 0.5 + 0.01 * seed]), seed=seed)
    lab.run("b", curve([0.1, 0.4]), state, seed=seeds)
    assert load_figure(lab.store, metric="test_accuracy").figure().legends[0].get_title().get_text() == said
