"""A finished line that exploded leaves a linear plot in the browser where it leaves the one that Python draws."""

from __future__ import annotations

import numpy as np
import pytest
from curves_page import rows_of, write_page

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.curves import payload
from batchlab.results.show.extent import Extent
from batchlab.results.show.plot import Plot

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
