"""Many lines on the page: looks as on paper, intervals at their ends, the band of the one that is pointed at."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from curves_page import opening, write_page

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import summarize
from batchlab.results.report.curves import payload, sent_look
from batchlab.results.show.ends import BANDS
from batchlab.results.show.looks import looks
from batchlab.results.show.numbers import named
from batchlab.results.show.plot import Plot

HUE = "optimizer,optimizer.lr"
NAMES, RATES = ("adam", "nshb", "sgd", "shb"), (0.01, 0.03, 0.1, 0.3)
VALUES = {(name, rate, seed): 0.5 + 0.02 * i + 0.01 * seed
          for i, (name, rate) in enumerate(itertools.product(NAMES, RATES)) for seed in range(3)}  # fmt: skip
SCENE = """shown => {
  const data = JSON.parse(document.querySelector("script.curves-data").textContent);
  const names = shown ? data.names.slice(0, shown) : data.names;
  const scene = batchlab.scene(data, batchlab.compute(data, {}), names, "light");
  const [from, to] = scene.xRange;
  return {
    ended: scene.ended, y: scene.yRange(), x: scene.xRange, ticks: scene.xTicks(from, to, 9).map(({ at }) => at),
    bars: scene.bars.map(({ name, at, low, high }) => [name, at, low[0], high[0]]),
    colors: scene.lines.map(({ name, color, dash, mark }) => [name, { color, dash, mark }]),
  };
}"""


@pytest.fixture(scope="module")
def frame(shared_lab, curve):
    for (name, rate, seed), value in VALUES.items():
        shared_lab.run(f"{name}{rate}x{seed}", curve([0.1, value]), optimizer=name, lr=rate, seed=seed)
    return load(shared_lab.store)


@pytest.fixture
def opened(chromium, frame, tmp_path):
    file = write_page(tmp_path / "many.html", [payload(frame, ["test_accuracy"], HUE, title="Many")])
    with opening(chromium, file) as at:

        def drawn(**options):
            page = at(**options)
            page.locator("canvas").first.wait_for()
            return page

        yield drawn


@pytest.mark.slow
def test_sixteen_lines_look_as_they_do_on_paper(opened, frame):
    page = opened()
    scene, spelled = page.evaluate(SCENE, None), named(frame, HUE)
    known = {
        spelled[value]: sent_look(look["color"], look["ls"], look["marker"])
        for value, look in looks(frame, HUE).items()
    }
    assert len({repr(look) for look in known.values()}) == 16
    assert dict(scene["colors"]) == known
    assert "too many" not in page.locator(".curves-notes").inner_text()


@pytest.mark.slow
def test_their_intervals_stand_at_the_ends(opened, frame):
    page = opened()
    scene = page.evaluate(SCENE, None)
    bars = {name: (at, low, high) for name, at, low, high in scene["bars"]}
    assert len(bars) == 16
    for name, rate in itertools.product(NAMES, RATES):
        at, low, high = bars[f"{name} {rate}"]
        summary = summarize([VALUES[name, rate, seed] for seed in range(3)])
        assert [low, high] == pytest.approx([100 * summary.low, 100 * summary.high], rel=1e-6)
        assert 64 < at < scene["x"][1], "beside the lines, within the plot"
    places = sorted(at for at, _, _ in bars.values())
    assert min(np.diff(places)) > 0
    assert max(scene["ticks"]) <= 64, "none where the clock has ended"
    still = Plot(frame, Metric("test_accuracy"), hue=HUE).figure()
    assert scene["y"] == pytest.approx(still.axes[0].get_ylim(), rel=1e-5)
    assert "stands at the right, for each line's end" in page.locator(".curves-notes").inner_text()


@pytest.mark.slow
def test_the_line_that_is_pointed_at_has_its_band(opened):
    page = opened()
    area = page.locator(".u-over")
    box = area.bounding_box()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    assert page.locator("path.band").count() == 1
    rows = page.locator(".curves-box tr").all()
    assert all(" to " in row.locator("td").nth(3).inner_text() for row in rows), "each says its interval"


@pytest.mark.slow
def test_of_few_lines_there_are_bands(opened):
    page = opened()
    few, one_more = (page.evaluate(SCENE, shown) for shown in (BANDS, BANDS + 1))
    assert (few["ended"], few["bars"], few["x"]) == (False, [], [0, 64])
    assert (one_more["ended"], len(one_more["bars"])) == (True, BANDS + 1)
    for entry in page.locator(".curves-lines button").all()[BANDS:]:
        entry.click()
    assert "stands at the right" not in page.locator(".curves-notes").inner_text()


@pytest.mark.slow
def test_a_kept_picture_has_the_same_bars(opened):
    page = opened()
    with page.expect_download() as event:
        page.get_by_role("button", name="SVG", exact=True).click()
    text = event.value.path().read_text(encoding="utf-8")
    assert "fill-opacity" not in text, "no bands"
    assert text.count('stroke-width="1.4"') == 16
    assert "stands at the right" in text


@pytest.mark.slow
def test_the_last_value_of_a_running_extreme_is_held_for_a_moment(opened):
    """A step without a length would be a stroke at the edge."""
    page = opened()
    page.evaluate("batchlab.view.set('run', 'best')")
    run = SCENE.replace("compute(data, {})", "compute(data, { run: 'best' })")
    few, many = (page.evaluate(run, shown) for shown in (BANDS, None))
    held = 64 * 1.02
    assert few["x"] == [0, pytest.approx(held)]
    assert min(at for _, at, _, _ in many["bars"]) > held
    ends = """() => {
      const data = JSON.parse(document.querySelector("script.curves-data").textContent);
      const scene = batchlab.scene(data, batchlab.compute(data, { run: "best" }), data.names.slice(0, 1), "light");
      const { path, band } = batchlab.paths(scene.lines[0], (x) => x, (y) => y);
      return [path, band];
    }"""
    path, band = page.evaluate(ends)
    assert path.split("L")[-1].split()[0] == f"{held:.1f}"
    assert f"L{held:.1f} " in band


@pytest.mark.slow
def test_a_phone_shows_the_whole_legend(opened):
    page = opened(width=390)
    entries = page.locator(".curves-lines").first
    assert entries.evaluate("list => list.scrollHeight - list.clientHeight") <= 0
    assert page.locator(".curves-all").count() == 0
