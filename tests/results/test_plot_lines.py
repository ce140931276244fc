"""Which lines a plot has when nobody says so, what each is a mean of, and that no two look the same."""

from itertools import product

import pytest
from test_plot import drawn

from batchlab.results.compare.stats import summarize
from batchlab.results.show.figure import load_figure
from batchlab.results.store.runs import SweepEntry


@pytest.mark.parametrize("hue", ["optimizer", "seed"])
def test_a_line_that_mixes_methods_says_so(lab, curve, hue):
    for schedule in ("constant", "exponential"):
        for seed in range(2):
            lab.run(f"{schedule}{seed}", curve([0.1, 0.2]), batch_schedule=schedule, seed=seed)
    made = load_figure(lab.store, metric="test_accuracy", hue=hue)
    mixed = "lines mix runs that differ in batch_schedule"
    assert made.notes == [f"{mixed}: add it to --hue, or use --where"]
    legend = made.figure().legends[0].get_title().get_text()
    assert mixed in legend
    assert "mean over seeds" in legend, "within each of which they were averaged"
    clean = load_figure(lab.store, metric="test_accuracy", hue=f"{hue},batch_schedule")
    assert clean.notes == []
    assert "mean over seeds" in clean.figure().legends[0].get_title().get_text()


def test_what_varies_within_a_seed_is_no_seed(lab, curve):
    """Three seeds at two rates: n 3, with the interval of three means."""
    values = {0.1: [0.1, 0.5, 0.3], 0.2: [0.5, 0.7, 0.9]}
    for lr, own in values.items():
        for seed, value in enumerate(own):
            lab.run(f"{lr}-{seed}", curve([0.0, value]), lr=lr, seed=seed)
    (line,) = drawn(lab)
    summary = summarize([0.3, 0.6, 0.6])
    assert (line.n, line.mean[-1], line.low[-1]) == (3, pytest.approx(summary.mean), pytest.approx(summary.low))


def test_nobody_who_asks_for_no_hue_gets_a_mean_over_a_rate(lab, curve):
    for optimizer, lr, seed in product(("shb", "adam"), (0.1, 0.2), range(2)):
        own = {"beta": 0.9} if optimizer == "adam" else {}
        lab.run(f"{optimizer}{lr}{seed}", curve([0.1, lr]), optimizer=optimizer, lr=lr, seed=seed, **own)
    made = load_figure(lab.store, metric="test_accuracy")
    assert (made.hue, made.panel, made.notes) == ("optimizer,optimizer.lr", None, [])
    assert {line.n for line in made._drawn[0][0]} == {2}
    over = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"])
    assert (over.hue, over.notes) == ("optimizer", []), "what is on the x-axis tells no lines apart"
    asked = load_figure(lab.store, metric="test_accuracy", hue="optimizer")
    assert asked.notes == ["lines mix runs that differ in optimizer.lr: add it to --hue, or use --where"]


def test_rates_of_one_optimizer_alone_do_not_take_its_place(lab, curve):
    for optimizer, lr in (("shb", 0.1), ("shb", 0.2), ("adam", 0.001), ("adam", 0.01)):
        lab.run(f"{optimizer}{lr}", curve([0.1, lr]), optimizer=optimizer, lr=lr)
    assert load_figure(lab.store, metric="test_accuracy").hue == "optimizer,optimizer.lr"


@pytest.mark.parametrize("labelled", [False, True])
def test_data_sets_have_panels_of_their_own(lab, curve, labelled):
    entries = []
    for data, lr, seed in product(("digits", "text"), (0.1, 0.2), range(2)):
        lab.run(f"{data}{lr}{seed}", curve([0.1, lr]), dataset=data, model=f"of {data}", lr=lr, seed=seed)
        entries.append(SweepEntry(f"{data}{lr}{seed}", {"problem": f"on {data}"}, [f"optimizer.lr={lr}"]))
    if labelled:
        lab.store.write_sweep("s", entries)
    made = load_figure(lab.store, metric="test_accuracy")
    assert made.panel == ("problem" if labelled else "dataset")
    assert made.hue.split(",")[-1] == "optimizer.lr"
    assert len(made._drawn) == 2
    assert made.notes == []


def test_two_keys_are_colour_and_dash(lab, curve):
    for optimizer in ("shb", "adam"):
        for schedule in ("constant", "cosine"):
            lab.run(f"{optimizer}{schedule}", curve([0.1, 0.2]), optimizer=optimizer, lr_schedule=schedule)
    figure = load_figure(lab.store, metric="test_accuracy", hue="optimizer,lr_schedule").figure()
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len({color for color, _ in looks}) == 2
    assert len(looks) == 4


@pytest.mark.parametrize(("colors", "dashes"), [(2, 10), (4, 5), (1, 14)])
def test_no_two_lines_look_the_same(lab, curve, colors, dashes):
    """More values than there are colours or dashes."""
    for i in range(colors):
        for j in range(dashes):
            lab.run(f"r{i}x{j}", curve([0.1, 0.2 + 0.001 * j]), optimizer=f"o{i}", lr=j)
    for hue in ("optimizer,optimizer.lr", "optimizer.lr,optimizer"):
        made = load_figure(lab.store, metric="test_accuracy", hue=hue)
        lines = made.figure().axes[0].lines
        looks = {(line.get_color(), str(line._dash_pattern), line.get_marker()) for line in lines}
        assert len(looks) == len(lines) == colors * dashes


def test_lines_that_cannot_be_told_apart_are_refused(lab, curve):
    for j in range(41):
        lab.run(f"r{j}", curve([0.1, 0.2]), optimizer="shb" if j % 2 else "adam", lr=j)
    for hue, panel, wanted in (
        ("optimizer,optimizer.lr", None, "optimizer=adam"),
        ("optimizer.lr", "optimizer", "optimizer.lr=0,1"),
        ("optimizer.lr", None, "optimizer.lr=0,1"),
    ):
        with pytest.raises(ValueError, match=rf"41 lines in one panel.*--where {wanted}\)$"):
            load_figure(lab.store, metric="test_accuracy", hue=hue, panel=panel).figure()


@pytest.mark.parametrize("x", ["samples", "optimizer.width"])
def test_more_lines_of_two_keys_go_into_panels_with_one_axis_and_the_terminal_is_told(lab, curve, x):
    for i, optimizer in enumerate(("adam", "lamb", "shb")):
        for rate in range(1, 9):
            for width in (1, 2):
                rows = curve([0.1, 0.1 * (i + 1) * width])
                lab.run(f"{optimizer}{rate}x{width}", rows, optimizer=optimizer, lr=rate, width=width)
    made = load_figure(lab.store, metric="test_accuracy", x=[x], hue="optimizer,optimizer.lr")
    figure = made.figure()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["optimizer adam", "optimizer lamb", "optimizer shb"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1, "what is compared has one axis"
    assert len(figure.legends[0].get_texts()) == 8
    assert made.notes[0] == (
        "24 lines in one panel, of which the eye tells 20 apart: a panel for each optimizer instead "
        "(--panel optimizer --hue optimizer.lr)"
    )


@pytest.mark.parametrize(("panels", "grid"), [(2, (2, 1)), (4, (2, 2)), (5, (2, 3))])
def test_many_panels_of_one_clock_stand_side_by_side(lab, curve, panels, grid):
    for i in range(panels):
        lab.run(f"r{i}", curve([0.1, 0.2 + 0.1 * i]), optimizer=f"o{i}")
    figure = load_figure(lab.store, metric="test_accuracy", panel="optimizer").figure()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"optimizer o{i}" for i in range(panels)]
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid
    labelled = [bool(axes.get_xlabel()) for axes in figure.axes]
    assert labelled == [i + grid[1] >= panels for i in range(panels)]
    assert figure.axes[-1].get_ylim()[1] > 100 * (0.2 + 0.1 * (panels - 1))
