"""Interactive figures of points: Python's numbers, each with its n, and every control."""

from __future__ import annotations

import csv
import io
import json
import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from curves_page import opening, write_page
from matplotlib.colors import to_hex

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import t_quantile
from batchlab.results.papers.integrator_plots import LossByShare
from batchlab.results.papers.minibatch_plot import LINEAR, MiniBatches
from batchlab.results.papers.vrgd_plots import LOST, READ, RINGED, AccuracyByBatch, MetricByRate
from batchlab.results.report.curves import ASSETS, payload
from batchlab.results.report.parts import Parts
from batchlab.results.report.points import points_payload
from batchlab.results.show.drawing import MARKS
from batchlab.results.show.looks import POINTS
from batchlab.results.show.profile_plot import ProfileDrawing
from batchlab.results.show.sensitivity_plot import Sensitivity

RATES = (0.01, 0.1, 1.0)
RNG = np.random.default_rng(2)
ACCURACIES = {(name, rate, seed): float(RNG.uniform(0.2, 0.9)) for name in ("adam", "shb") for rate in RATES
              for seed in range(4)}  # fmt: skip
STEPS = {"a": [1.0, 1.0, 2.0, math.inf], "b": [1.5, 3.0, 1.0, 1.0]}


@pytest.fixture(scope="module")
def frame(shared_lab, curve):
    """Two optimizers at three rates; one seed of adam diverged at the greatest."""
    for (name, rate, seed), value in ACCURACIES.items():
        gone = (name, rate, seed) == ("adam", 1.0, 3)
        rows = curve([0.1, math.nan if gone else value])
        shared_lab.run(
            f"{name}-{rate}-{seed}", rows, "diverged" if gone else "done", optimizer=name, lr=rate, seed=seed
        )
    return load(shared_lab.store)


@pytest.fixture(scope="module")
def sensitivity(frame):
    return Sensitivity(frame, Metric("test_accuracy"), "optimizer.lr", "optimizer", title="By rate")


class Profile(ProfileDrawing):
    """Of `STEPS`, without runs."""

    farthest = 4.0
    drawable = True

    def panels(self):
        return {"": ("steps", "")}

    def profile(self, counted, ratios):
        return {name: np.array([np.mean(np.array(own) <= r) for r in ratios]) for name, own in STEPS.items()}

    def looks(self):
        return {name: {"color": color, "ls": "-", "marker": ""} for name, color in (("a", "#0072B2"), ("b", "#D55E00"))}

    def entry(self, name):
        return f"{name} (4 of 4)"

    def head(self):
        return "Profiles"


def own(name, rate):
    """Percent, of the seeds that are done."""
    gone = 3 if (name, rate) == ("adam", 1.0) else None
    return [100 * ACCURACIES[name, rate, seed] for seed in range(4) if seed != gone]


def test_sensitivity_is_means_with_t_intervals(sensitivity):
    (panel,) = sensitivity.points().panels
    assert (panel.x.label, panel.x.log, panel.y.unit) == ("optimizer.lr", True, "%")
    for line in panel.lines:
        whole = [rate for rate in RATES if len(own(line.name, rate)) == 4]  # where a run was lost nothing is chosen
        best = max(whole, key=lambda rate, name=line.name: np.mean(own(name, rate)))
        for point, rate in zip(line.points, RATES, strict=True):
            values = own(line.name, rate)
            n, mean, std = len(values), np.mean(values), np.std(values, ddof=1)
            half = t_quantile(n - 1) * std / math.sqrt(n)
            assert (point.x, point.n) == (rate, n)
            ends = np.clip([mean - half, mean + half], 0, 100)
            assert [point.y, point.low, point.high] == pytest.approx([mean, *ends])
            assert ("ring" in point.marks) == (rate == best)
            assert ("hollow" in point.marks) == (n == 3)
    adam, shb = panel.lines
    assert (adam.fallen, shb.fallen) == ([(1.0, "×1")], [])


def test_a_profile_is_sent_where_it_steps():
    (panel,) = Profile().points().panels
    for line in panel.lines:
        shares = [point.y for point in line.points]
        assert shares == sorted(shares)
        assert all(b > a for a, b in pairwise(shares[:-1]))
        for ratio in (1.2, 1.9, 2.5, 3.9):
            last = [point.y for point in line.points if point.x <= ratio][-1]
            assert last == 100 * np.mean(np.array(STEPS[line.name]) <= ratio)
    assert [line.said for line in panel.lines] == ["4 of 4"] * 2


def drawn_lines(axes):
    """By colour x and y of the lines that matplotlib drew."""
    found = [(to_hex(line.get_color()), *map(np.asarray, line.get_data())) for line in axes.lines]
    return [(color, x.tolist(), y.tolist()) for color, x, y in found]


def test_the_figure_draws_the_same_numbers(frame_of):
    rows = [
        ({"seed": seed, "pair": "Adam", "batch": batch, "variant": variant, "lr": rate},
         {"test_accuracy": (batch + i) / 1000 + rate / 10 + seed / 100}, "done")
        for batch in (32, 256) for i, variant in enumerate(("base", "VR")) for rate in (0.1, 1.0)
        for seed in range(3 if (rate, batch) == (1.0, 32) else 2)
    ]  # fmt: skip
    rows.append(({"seed": 5, "pair": "Adam", "batch": 32, "variant": "VR", "lr": 1.0}, {}, "diverged"))
    runs = frame_of(rows)
    rated = MetricByRate(runs, Metric("test_accuracy"), "rates", {("Adam", "VR", 256): 0.1})
    points, figure = rated.points(), rated.figure()
    assert [panel.title for panel in points.panels] == ["pair Adam, batch 32", "pair Adam, batch 256"]
    for panel, axes in zip(points.panels, figure.axes, strict=True):
        for line in panel.lines:
            batch, i = int(panel.title.split()[-1]), ("base", "VR").index(line.name)
            third = batch == 32  # at the greater rate
            seeds = {0.1: 0.005, 1.0: 0.01 if third else 0.005}
            wanted = [100 * ((batch + i) / 1000 + rate / 10 + seeds[rate]) for rate in (0.1, 1.0)]
            half = 4.302653 / math.sqrt(3)  # percentage points, of a standard deviation of one
            ends = [wanted[1] - half, wanted[1] + half] if third else [math.nan] * 2
            assert [line.points[1].low, line.points[1].high] == pytest.approx(ends, nan_ok=True)
            assert math.isnan(line.points[0].high)
            ringed = ["ring" in point.marks for point in line.points]
            assert ringed == [(batch, line.name) == (256, "VR"), False]
            assert [point.y for point in line.points] == pytest.approx(wanted)
            color = to_hex(line.look["color"])
            aside = 1.035 ** (i - 0.5)  # two intervals at one place would hide each other
            assert (color, [0.1 * aside, aside], [point.y for point in line.points]) in drawn_lines(axes)
            assert len(line.single) == 4 + third
    assert [line.fallen for line in points.panels[0].lines] == [[], [(1.0, "×1")]]
    said = [f"{READ}, 95 % t interval (from n = 3 on)", LOST, RINGED]
    assert list(points.notes) == said == figure.legends[0].get_title().get_text().split("\n")
    assert MetricByRate(runs.where(batch=256), Metric("test_accuracy")).points().notes == [READ]
    of_curves = payload(runs, ["test_accuracy"], "variant", title="curves", panel="pair,batch")
    assert points_payload(points)["panels"] == of_curves["panels"], "one menu moves both"
    batches = AccuracyByBatch(runs.where(lr=1.0), "batches")
    (panel,) = batches.points().panels
    base, vr = panel.lines
    assert [(point.x, point.n) for point in base.points] == [(32, 3), (256, 2)]
    assert base.points[0].y == pytest.approx(100 * (0.032 + 0.11))
    spread = 100 * 0.01
    assert base.points[0].high - base.points[0].y == pytest.approx(spread)
    assert vr.fallen == [(32.0, "† 1 lost")]
    assert batches.figure().axes


def test_minibatches_and_losses_by_share():
    sizes = MiniBatches({"a9a": [(0.25, 400.0, 8.0), (1.0, 100.0, 9.0)], "w8a": [(0.25, 800.0, 7.0)]}, "sizes")
    left, right = sizes.points().panels
    assert [line.name for line in left.lines] == ["a9a", "w8a", LINEAR]
    first, last = left.lines[-1].points
    assert (first.x, first.y) == (0.25, 400.0)
    assert (last.x, last.y) == pytest.approx((math.sqrt(2), 100 / math.sqrt(2)))
    assert [point.y for point in right.lines[0].points] == [8.0, 9.0]
    assert [text for _, text in left.x.ticks] == ["√n/4", "√n/2", "√n"]
    assert len(sizes.figure().axes[0].lines) == 4  # one of them where a batch is √n
    losses = LossByShare({"p": {"euler": {0.5: 0.1, 1.0: math.inf}, "heun": {0.5: 0.2, 1.0: 3.0}}}, {"p": 1.0})
    (panel,) = losses.points().panels
    assert [[(point.x, point.y) for point in line.points] for line in panel.lines] == [[(0.5, 0.1)], [(0.5, 0.2)]]
    assert [line.fallen for line in panel.lines] == [[(1.0, "×")], [(1.0, "×")]]
    assert losses.figure().axes


def test_what_is_sent_is_json_and_has_a_still_picture(sensitivity):
    text = str(Parts().drawing(sensitivity))
    assert text.index("<svg") < text.index('<script type="application/json"')
    sent = json.loads(text.split('class="curves-data">')[1].split("</script>")[0])
    assert sent["names"] == ["adam", "shb"]
    assert all(math.isfinite(point["y"]) for line in sent["lines"] for point in line["points"])  # each has its n


@pytest.fixture
def opened(chromium, sensitivity, tmp_path):
    shares = LossByShare({p: {"euler": {0.5: 0.1, 1.0: 0.01, 2.0: math.inf}} for p in ("p", "q")}, {"p": 1.0, "q": 1.0})
    drawings = (sensitivity, Profile(), shares)
    file = write_page(tmp_path / "points.html", [points_payload(drawing.points()) for drawing in drawings])
    with opening(chromium, file) as at:
        yield at


def figure(page, i=0):
    place = page.locator("figure.curves").nth(i)
    place.scroll_into_view_if_needed()
    place.locator("canvas").first.wait_for()
    return place


def table(place):
    with place.page.expect_download() as event:
        place.get_by_role("button", name="CSV", exact=True).click()
    with open(event.value.path(), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def read_at(place, share, pane=0):
    """Title and rows of the box at a share of the width."""
    area = place.locator(".u-over").nth(pane)
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    place.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    rows = place.locator(".curves-box").nth(pane).locator("tr")
    title = place.locator(".curves-box").nth(pane).locator("b").inner_text()
    return title, [row.locator("td").all_inner_texts()[1:] for row in rows.all()]


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_table_and_the_pointer_say_pythons_numbers(opened, sensitivity, scale):
    place = figure(opened(f"#y={scale}"))
    (panel,) = sensitivity.points().panels
    wanted = {(line.name, point.x): point for line in panel.lines for point in line.points}
    rows = table(place)
    assert {row["unit"] for row in rows} == {"%"}
    lost = [(row["line"], float(row["x"]), row["note"]) for row in rows if not row["y"]]
    assert lost == [(line.name, x, f"lost: {text}") for line in panel.lines for x, text in line.fallen]
    assert lost == [("adam", 1.0, "lost: ×1")], "never left out"
    rows = [row for row in rows if row["y"]]
    assert {(row["line"], float(row["x"])) for row in rows} == {*wanted}
    for row in rows:
        point = wanted[row["line"], float(row["x"])]
        assert float(row["y"]) == pytest.approx(point.y, rel=1e-7)
        low = "" if scale == "log" and point.low == 0 else point.low  # there is no 0 on a logarithmic axis
        assert (float(row["low"]) if row["low"] else "") == pytest.approx(low, rel=1e-7)
        assert (float(row["high"]), int(row["n"])) == (pytest.approx(point.high, rel=1e-7), point.n)
        assert row["note"] == point.note
    for share, rate in ((0.0, 0.01), (0.5, 0.1), (0.99, 1.0)):
        title, found = read_at(place, share)
        assert title == f"optimizer.lr {rate:g}"
        assert len(found) == 2
        for name, value, interval, n in found:
            point = wanted[name, rate]
            assert float(value.removesuffix(" %")) == pytest.approx(point.y, rel=1e-3)
            assert [float(part) for part in interval.split(" to ")] == pytest.approx([point.low, point.high], rel=1e-3)
            assert n == ", ".join(filter(None, [f"n {point.n}", point.note]))


@pytest.mark.slow
def test_between_the_steps_of_a_profile_every_line_is_read(opened):
    place = figure(opened(), 1)
    for share in (0.1, 0.35, 0.75):
        title, rows = read_at(place, share)
        ratio = float(title.rpartition(" ")[2])
        assert {row[0]: row[1] for row in rows} == {
            name: f"{100 * np.mean(np.array(own) <= ratio * 1.00001):g} %" for name, own in STEPS.items()
        }
        assert [row[3] for row in rows] == ["", ""]


@pytest.mark.slow
def test_every_control_of_points(opened):
    page = opened()
    place = figure(page)
    assert place.locator(".curves-bar label:visible").all_inner_texts() == ["y"]
    small = place.locator(".curves-lines small").all_inner_texts()
    assert small[0].startswith("n 3 to 4, 1 run diverged; ring ")
    place.get_by_label("y", exact=True).select_option("log")
    assert page.evaluate("location.hash") == "#y=log"
    entry = place.locator(".curves-lines button", has_text="adam")
    entry.click()
    assert {row["line"] for row in table(place)} == {"shb"}
    entry.dblclick()
    assert {row["line"] for row in table(place)} == {"adam"}
    entry.dblclick()
    plot = place.locator(".curves-plot")
    plot.focus()
    plot.press("End")
    said = place.locator(".curves-live").inner_text()
    assert said.startswith("optimizer.lr 1: ")
    assert "n 3, 1 lost" in said
    assert (
        place.get_by_role("img")
        .get_attribute("aria-label")
        .startswith("By rate: test accuracy [%] against optimizer.lr")
    )
    with page.expect_download() as event:
        place.get_by_role("button", name="SVG", exact=True).click()
    svg = ET.parse(event.value.path()).getroot()
    assert "×1" in [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    with page.expect_download() as event:
        place.get_by_role("button", name="PNG", exact=True).click()
    assert event.value.path().read_bytes().startswith(b"\x89PNG")
    shares = figure(page, 2)
    shares.get_by_label("panel: problem", exact=True).select_option("q")
    assert shares.locator(".curves-pane:visible").count() == 1
    assert {row["panel"] for row in table(shares)} == {"q"}


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_points_are_accessible_and_within_the_page(opened, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width=width, color_scheme=scheme)
    for i in range(3):
        figure(page, i)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.pdf().startswith(b"%PDF")
    serious = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []


@pytest.mark.slow
def test_every_mark_that_python_sends_has_a_shape_of_its_own(chromium):
    page = chromium.new_page()
    page.set_content("<p>marks</p>")
    page.add_script_tag(content=(ASSETS / "shapes.js").read_text())
    marks = [*dict.fromkeys((*MARKS[1:], *POINTS))]
    shapes = [page.evaluate("mark => batchlab.markAt(mark, 50, 50, 10)", mark) for mark in marks]
    assert len({*shapes}) == len(marks)
    assert not any("NaN" in shape for shape in shapes)
    page.close()
