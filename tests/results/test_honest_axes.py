"""Axes that say nothing a quantity cannot be, means that are called what they are, shares without a logarithm."""

from __future__ import annotations

import math

import pytest
from curves_page import opening, write_page
from test_problems import SMALL, field
from test_report_points import figure, table

from batchlab.results.report.points import points_payload
from batchlab.results.show.extent import Extent
from batchlab.results.show.field_plots import FieldProfiles
from batchlab.results.show.figure import load_figure
from batchlab.results.show.kinds import Kind

LOW = {0.01: (0.01, 0.02), 0.1: (0.05, 0.06), 1.0: (0.9, None), 3.0: (0.99, None)}
"""Accuracies from near 0 to near 100 %, with lost runs, which take a strip of words below."""
TICKS = """view => {
  const data = JSON.parse(document.querySelector("script.curves-data").textContent);
  const scene = batchlab.scene(data, batchlab.dots(data, view, 0), data.names, "light");
  const [low, high] = scene.yRange();
  return [low, high, scene.yTicks(low, high, 9).map(({ at }) => at)];
}"""


@pytest.fixture
def runs(lab, curve):
    for rate, values in LOW.items():
        for seed, value in enumerate(values):
            for name in ("adam", "shb", "sgd"):
                state = "diverged" if value is None else "done"
                rows = curve([0.1, math.nan if value is None else value])
                lab.run(f"{name}{rate}x{seed}", rows, state, optimizer=name, lr=rate, seed=seed)
    return lab.store


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_no_tick_is_beyond_what_an_accuracy_can_be(runs, scale):
    made = load_figure(runs, metric="test_accuracy", x=["optimizer.lr"], extent=Extent(scale))
    drawn = made.figure()
    drawn.canvas.draw()
    (axes,) = drawn.axes
    low, high = axes.get_ylim()
    assert scale == "log" or low < -10, "room for the words on what was lost"
    assert high > 100
    ticks = [tick for tick in [*axes.get_yticks(), *axes.get_yticks(minor=True)] if low <= tick <= high]
    assert len(ticks) > 2
    assert min(ticks) >= 0
    assert max(ticks) <= 100
    (axes,) = load_figure(runs, metric="test_accuracy", extent=Extent("", (-20.0, 120.0))).figure().axes
    assert [axes.get_yticks().min(), axes.get_yticks().max()] == [0, 100], "of curves too"


@pytest.mark.parametrize(
    ("metric", "scale", "said"),
    [
        ("test_accuracy", "linear", "mean over seeds"),
        ("test_accuracy", "log", "arithmetic mean over seeds"),
    ],
)
def test_the_still_picture_says_which_mean(runs, metric, scale, said):
    made = load_figure(runs, metric=metric, x=["optimizer.lr"], extent=Extent(scale))
    assert made.figure().legends[0].get_title().get_text().startswith(said)
    assert made.points().notes[0].startswith(said)


@pytest.mark.parametrize("kind", [Kind.PROFILE, Kind.IMPROVEMENT])
def test_shares_of_all_have_no_logarithm(runs, kind):
    with pytest.raises(
        ValueError, match=r"draws shares, and 0 % has no place on a logarithmic axis: leave out --scale"
    ):
        load_figure(runs, metric="test_accuracy", kind=kind, extent=Extent("log"))


@pytest.fixture
def opened(chromium, runs, frame_of, tmp_path):
    sensitivity = load_figure(runs, metric="test_accuracy", x=["optimizer.lr"])
    profile = FieldProfiles(field(frame_of, {"a": SMALL["a"], "worst": {"p": [0.1] * 3, "q": [0.1] * 3}}))
    payloads = [points_payload(drawing.points()) for drawing in (sensitivity, profile)]
    with opening(chromium, write_page(tmp_path / "axes.html", payloads)) as at:
        yield at


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_nor_is_one_on_the_page(opened, scale):
    page = opened()
    figure(page)
    low, high, ticks = page.evaluate(TICKS, {"y": scale})
    shown = [10**tick for tick in ticks] if scale == "log" else ticks
    assert scale == "log" or low < -10
    assert (10**high if scale == "log" else high) > 100
    assert len(shown) > 2
    assert min(shown) >= 0
    assert max(shown) <= 100 * (1 + 1e-9)


@pytest.mark.slow
def test_the_page_says_that_means_stay_arithmetic(opened):
    said = "means are arithmetic ones on this logarithmic axis too"
    for scale, there in (("linear", False), ("log", True)):
        place = figure(opened(f"#y={scale}"))
        assert (said in place.locator(".curves-notes").inner_text()) == there


@pytest.mark.slow
def test_a_profile_stays_linear(opened):
    place = figure(opened("#y=log"), 1)
    assert place.locator(".curves-bar label:visible").count() == 0
    shares = {float(row["y"]) for row in table(place)}
    assert 0.0 in shares, "a line at 0 is kept"
    assert "arithmetic" not in place.locator(".curves-notes").inner_text()


@pytest.mark.parametrize(
    ("values", "scale", "said"),
    [
        ([1.2e4, 1e5, 3e6], "log", {"1e5", "1e6"}),
        ([2.0, 0.01, 3e-5], "log", {"1e-4", "1e-2", "1e0"}),
        ([0.0, 7e5, 1.9e6], "linear", {"0", "5e5", "1e6", "1.5e6"}),
        ([20.0, 100.0, 5000.0], "log", {"100", "1000"}),
    ],
)
def test_the_ticks_of_an_axis_are_written_in_one_style(lab, curve, values, scale, said):
    lab.run("a", curve(values, "train_loss"))
    figure = load_figure(lab.store, metric="train_loss", extent=Extent(scale)).figure()
    figure.canvas.draw()
    (axes,) = figure.axes
    labels = {label.get_text() for which in ("major", "minor") for label in axes.get_yticklabels(which=which)} - {""}
    assert said <= labels
    assert len({"e" in label for label in labels - {"0"}}) == 1


@pytest.mark.slow
def test_so_are_those_on_the_page(opened):
    page, read = opened(), "ends => batchlab.ticks(...ends).map(({ text }) => text)"
    figure(page)
    assert page.evaluate(read, [4, 6.5, 4, True]) == ["1e4", "1e5", "1e6"]
    assert page.evaluate(read, [-5, 0.3, 9, True]) == ["1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1e0"]
    assert page.evaluate(read, [0, 2e6, 4, False]) == ["0", "5e5", "1e6", "1.5e6", "2e6"]
    assert page.evaluate(read, [1, 4, 5, True]) == ["10", "100", "1,000", "10,000"]


@pytest.mark.slow
def test_a_pointer_reads_as_many_digits_of_each_value(opened):
    page = opened()
    figure(page)
    said = TICKS.replace(
        "[low, high, scene.yTicks(low, high, 9).map(({ at }) => at)]",
        "view.map((y) => batchlab.words.valued({ value: y }, scene))",
    )
    assert page.evaluate(said, [8.2374, 64.8, 0.5, 100]) == ["8.24 %", "64.80 %", "0.50 %", "100.00 %"]
    assert page.evaluate(said, [-0.001]) == ["0.00 %"]


@pytest.mark.parametrize("contenders", [3, 12])
def test_words_on_what_was_lost_leave_most_of_the_height_to_what_was_not(lab, curve, contenders):
    """However many lines lost runs: of twelve the words once took nine tenths of the height, and of thirteen all."""
    for i in range(contenders):
        for rate, value in ((0.1, 0.5 + i / 50), (1.0, None)):
            state = "diverged" if value is None else "done"
            rows = curve([0.1, math.nan if value is None else value])
            lab.run(f"{i}x{rate}", rows, state, optimizer=f"o{i:02}", lr=rate, seed=0)
    (axes,) = load_figure(lab.store, metric="test_accuracy", x=["optimizer.lr"]).figure().axes
    low, high = axes.get_ylim()
    lowest = min(y for line in axes.lines for y in line.get_ydata() if y > low)  # what was lost has none
    assert (lowest - low) / (high - low) < 0.45
    said = [text for text in axes.texts if text.get_text() == "×1"]
    assert len(said) == contenders
    assert max(text.get_position()[1] for text in said) < 0.31
