"""What leaves a plot, lines that exploded and intervals, leaves it in the browser as in the one that Python draws."""

from __future__ import annotations

import numpy as np
import pytest
from curves_page import rows_of, write_page

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.curves import payload
from batchlab.results.report.points import points_payload
from batchlab.results.show.extent import FEW, Extent
from batchlab.results.show.plot import Plot
from batchlab.results.show.sensitivity_plot import Sensitivity

LOOKED = """view => {
  const data = JSON.parse(document.querySelector("script.curves-data").textContent);
  const scene = batchlab.scene(data, batchlab.compute(data, view), data.names, "light");
  const banded = scene.lines.filter(({ low }) => low).map(({ name }) => name);
  return [scene.yRange(), scene.exits().map(({ up }) => up), banded];
}"""


@pytest.fixture
def frame(lab):
    """Three seeds each: two methods that learn, and one that ends at a loss of about a hundred million."""
    rng = np.random.default_rng(4)
    for optimizer in ("adam", "nshb", "shb"):
        for seed in range(3):
            rows = rows_of(rng, 9)
            if optimizer == "shb":
                rows = [{**row, "train_loss": row["train_loss"] * 10.0**i} for i, row in enumerate(rows)]
            lab.run(f"{optimizer}{seed}", rows, optimizer=optimizer, seed=seed)
    return load(lab.store)


@pytest.mark.slow
def test_it_leaves_at_the_same_height(frame, chromium, tmp_path):
    sent = payload(frame, ["train_loss"], "optimizer", title="train loss by optimizer")
    page = chromium.new_page()
    page.goto(write_page(tmp_path / "page.html", [sent]).as_uri())
    (low, high), left, banded = page.evaluate(LOOKED, {"y": "linear"})
    figure = Plot(frame, Metric("train_loss"), extent=Extent("linear")).figure()
    assert [low, high] == pytest.approx(figure.axes[0].get_ylim(), rel=1e-5)
    assert high < 20
    assert left == [True]
    assert banded == ["adam", "nshb"], "a band up to there would hide the others"
    page.get_by_label("y", exact=True).select_option("linear")
    said = "1 line that went far above the others leaves the plot (▲▼): a logarithmic y shows all that is above 0"
    assert said in page.locator(".curves-notes").inner_text()
    (_, high), left, _ = page.evaluate(LOOKED, {"y": "log"})
    assert high > 6
    assert left == []
    (_, high), left, _ = page.evaluate(LOOKED, {"y": "linear", "base": "shb"})
    assert left == [], "of differences no rule is known"
    page.close()


INTERVALS = """view => {
  const data = JSON.parse(document.querySelector("script.curves-data").textContent);
  const scene = batchlab.scene(data, batchlab.compute(data, view), data.names, "light");
  return [scene.leaving(), scene.cut(), scene.yRange()];
}"""


@pytest.mark.slow
def test_intervals_that_go_on_beyond_the_plot_are_counted_as_in_python(lab, curve, chromium, tmp_path):
    """An interval that ends at 100 %, one that leaves the plot at one end, two that do so at both, short ones.

    Of a single line nothing leaves, nor where there are few intervals.
    """
    high = {"near": (0.97, 0.99, 1.0), "wide": (0.5, 0.95, 0.99), "one": (0.98, 0.98, 0.981)}
    middle = {"deep": (0.02, 0.5, 0.9), "deeper": (0.1, 0.5, 0.9), "mid": (0.5, 0.5, 0.502)}
    for name, values in (high | middle).items():
        for seed, value in enumerate(values):
            rows = curve([0.5 if name in middle else 0.9] * (1 if name == "deeper" else FEW) + [value])
            lab.run(f"{name}{seed}", rows, optimizer=name, seed=seed)
    frame = load(lab.store)
    page = chromium.new_page()
    for names, leaving, cut in (
        (("near", "one"), 0, True),
        (("near", "wide", "one"), 1, True),
        (("deep",), 0, True),
        (("deep", "mid"), 1, False),
        (("deep", "mid", "deeper"), 2, False),
        (("deeper",), 0, True),
    ):
        own = frame.where(optimizer=list(names))
        sent = payload(own, ["test_accuracy"], "optimizer", title="test accuracy by optimizer")
        page.goto(write_page(tmp_path / "page.html", [sent]).as_uri())
        python = Plot(own, Metric("test_accuracy"))
        *counted, ends = page.evaluate(INTERVALS, {})
        assert counted == [leaving, cut]
        assert ends == pytest.approx(python.figure().axes[0].get_ylim(), rel=1e-5)
        words = f"{leaving} interval{'s go' if leaving > 1 else ' goes'} on beyond the plot"
        for said in (
            python.figure().legends[0].get_title().get_text(),
            page.locator(".curves-notes").inner_text(),
            " ".join([*python.notes, "intervals end" * cut]),
        ):
            assert (words in said) == bool(leaving)
            assert ("beyond the plot" in said) == bool(leaving)
            assert ("intervals end" in said) == cut
    page.close()


@pytest.mark.slow
def test_so_are_those_of_points(lab, curve, chromium, tmp_path):
    for i, rate in enumerate(0.1 * 3**k for k in range(FEW)):
        for seed, value in enumerate((0.5, 0.6, 0.9) if i == 0 else (0.7, 0.71, 0.72)):
            lab.run(f"{rate}x{seed}", curve([0.1, value]), lr=rate, seed=seed)
            lab.run(f"{rate}y{seed}", curve([0.1, 0.6 + 0.01 * seed]), optimizer="adam", lr=rate, seed=seed)
    page = chromium.new_page()
    for names, leaving in ((["shb"], 0), (["adam", "shb"], 1)):
        python = Sensitivity(load(lab.store).where(optimizer=names), Metric("test_accuracy"), "optimizer.lr")
        page.goto(write_page(tmp_path / "page.html", [points_payload(python.points())]).as_uri())
        assert python.notes == ["1 interval goes on beyond the plot: --ylim LOW,HIGH shows more"] * leaving
        assert page.locator(".curves-notes").inner_text().count("1 interval goes on beyond the plot") == leaving
        ends = page.evaluate(INTERVALS.replace("compute(data, view)", "dots(data, view, 0)"), {})[2]
        assert ends == pytest.approx(python.figure().axes[0].get_ylim(), rel=1e-5)
    page.close()
