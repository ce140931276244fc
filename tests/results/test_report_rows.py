"""Interactive figures in rows: interquartile means, chances to be better, limits of integrators; Python's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from curves_page import opening, write_page
from scipy.stats import mannwhitneyu, trim_mean
from test_problems import SMALL, field
from test_report_points import figure, table

from batchlab.results.compare.metrics import Metric
from batchlab.results.papers.integrator_plots import Integrators
from batchlab.results.report.points import points_payload
from batchlab.results.show.interval_plots import Improvement, Middles

STEPS = (4, 8, 16)
ERRORS = {"euler": [0.4 / n for n in STEPS], "heun": [0.3 / n**2 for n in STEPS]}
LIMITS = {"euler": 2.003, "heun": 1.996, "of a name so long that it stands in two lines on a phone": 0.5}
LOSSES = {"a": {"p": [0.1, 0.2], "q": [0.3, 0.3]}, "b": {"p": [0.4, 0.2], "q": [None, None]}}
"""Half of b's runs are infinitely far behind."""


@pytest.fixture
def drawings(frame_of):
    integrators = Integrators(STEPS, ERRORS, LIMITS, {"euler": 2.0})
    lost = Middles(field(frame_of, LOSSES, Metric("test_loss"), name="test_loss"))
    made = field(frame_of, SMALL)
    return {"iqm": Middles(made), "improvement": Improvement(made), "integrators": integrators, "lost": lost}


def test_rows_are_the_middle_half_of_all_runs(drawings):
    (panel,) = drawings["iqm"].points().panels
    assert panel.rows
    assert (panel.y.unit, panel.y.neutral, panel.y.linear) == ("points", 0.0, True)
    (line,) = panel.lines
    tops = {p: max(np.mean(SMALL[m][p]) for m in "ab") for p in "pq"}
    names = [text for _, text in panel.x.ticks]
    for name, point in zip(names, line.points, strict=True):
        behind = [tops[p] - value for p in "pq" for value in SMALL[name][p]]
        assert point.y == pytest.approx(100 * trim_mean(behind, 0.25))
        assert point.low < point.y < point.high
    assert [point.x for point in line.points] == [0.0, 1.0]
    assert line.points[0].y < line.points[1].y, "the nearest to the best is above"


def test_rows_of_pairs_are_mann_whitneys(drawings):
    (panel,) = drawings["improvement"].points().panels
    ((_, text),) = panel.x.ticks
    first, _, second = text.partition(" > ")
    shares = [mannwhitneyu(SMALL[first][p], SMALL[second][p]).statistic / 9 for p in "pq"]
    assert panel.lines[0].points[0].y == pytest.approx(100 * np.mean(shares))
    assert (panel.y.least, panel.y.most, panel.y.neutral) == (0.0, 100.0, 50.0)


def test_what_is_infinitely_far_behind_is_said(drawings):
    (panel,) = drawings["lost"].points().panels
    (line,) = panel.lines
    assert panel.x.ticks[1] == (1.0, "b")
    assert math.isinf(line.points[1].y)
    assert line.fallen == [(1.0, "∞")]
    assert "open" in line.points[1].marks
    sent = points_payload(drawings["lost"].points())
    assert [len(own["points"]) for own in sent["lines"]] == [1], "nothing infinite is sent"
    assert drawings["lost"].figure().axes


def test_integrators_have_their_slopes_and_limits(drawings):
    errors, limits = drawings["integrators"].points().panels
    assert [line.said for line in errors.lines] == ["slope 1.00", "slope 2.00"]
    assert [[point.y for point in line.points] for line in errors.lines] == [ERRORS[n][::-1] for n in ("euler", "heun")]
    assert [text for _, text in errors.x.ticks] == ["1/16", "1/8", "1/4"]
    theory, *own = limits.lines
    assert [(point.x, point.y) for point in theory.points] == [(0.0, 2.0)]
    assert [(line.name, line.points[0].x, line.points[0].y) for line in own] == [
        (name, float(i), limit) for i, (name, limit) in enumerate(LIMITS.items())
    ]
    assert limits.rows
    assert not errors.rows


@pytest.fixture
def opened(chromium, drawings, tmp_path):
    payloads = [points_payload(drawing.points()) for drawing in drawings.values()]
    with opening(chromium, write_page(tmp_path / "rows.html", payloads)) as at:
        yield at


def read_row(place, share, pane=0):
    """Title and rows of the box at a share of the height."""
    area = place.locator(".u-over").nth(pane)
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    place.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + share * box["height"])
    rows = place.locator(".curves-box").nth(pane).locator("tr")
    title = place.locator(".curves-box").nth(pane).locator("b").inner_text()
    return title, [row.locator("td").all_inner_texts()[1:] for row in rows.all()]


def numbers(text):
    return [float(part) for part in text.split(" to ")]


@pytest.mark.slow
def test_rows_say_pythons_numbers(opened, drawings):
    page = opened()
    place = figure(page)
    (panel,) = drawings["iqm"].points().panels
    (line,) = panel.lines
    for share, (_, name), point in zip((0.2, 0.8), panel.x.ticks, line.points, strict=True):
        title, ((said, value, interval, _),) = read_row(place, share)
        assert (title, said) == (f"contender {name}", line.name)
        assert float(value.removesuffix(" points")) == pytest.approx(point.y, rel=1e-3)
        assert numbers(interval) == pytest.approx([point.low, point.high], rel=1e-3)
    rows = table(place)
    assert [row["x"] for row in rows] == [name for _, name in panel.x.ticks], "names, not places"
    for row, point in zip(rows, line.points, strict=True):
        assert [float(row[key]) for key in ("y", "low", "high")] == pytest.approx([point.y, point.low, point.high])
    assert place.locator(".curves-bar label:visible").count() == 0, "differences have no logarithm"


@pytest.mark.slow
def test_keys_go_down_and_up(opened, drawings):
    place = figure(opened())
    names = [text for _, text in drawings["iqm"].points().panels[0].x.ticks]
    plot = place.locator(".curves-plot")
    plot.focus()
    for key, name in (("ArrowDown", names[0]), ("ArrowDown", names[1]), ("ArrowUp", names[0]), ("End", names[1])):
        plot.press(key)
        assert place.locator(".curves-live").inner_text().startswith(f"contender {name}: ")
    plot.press("Escape")
    assert place.locator(".curves-box").is_hidden()


@pytest.mark.slow
def test_a_row_without_an_end_is_open(opened, drawings):
    place = figure(opened("#y=linear"), 3)
    low = drawings["lost"].points().panels[0].lines[0].points[0]
    a, b = table(place)
    assert (a["x"], b["x"], b["note"]) == ("a", "b", "lost: ∞")
    assert float(a["y"]) == pytest.approx(low.y)
    assert place.get_by_label("scale", exact=True).input_value() == "linear"
    place.get_by_label("scale", exact=True).select_option("log")
    assert float(table(place)[0]["y"]) == pytest.approx(low.y)


@pytest.mark.slow
def test_limits_stand_beside_theory(opened):
    place = figure(opened(), 2)
    title, rows = read_row(place, 0.15, pane=1)
    assert title == "scheme euler"
    assert {name: float(value) for name, value, *_ in rows} == {"euler": 2.003, "theory": 2.0}
    place.locator(".curves-lines button", has_text="theory").click()
    assert read_row(place, 0.15, pane=1)[1] == [["euler", "2.003", "", ""]]
    with place.page.expect_download() as event:
        place.get_by_role("button", name="SVG", exact=True).click()
    text = event.value.path().read_text(encoding="utf-8")
    assert "NaN" not in text
    assert all(said in text for said in ("1/16", "heun", "largest stable learning rate"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_rows_are_accessible_and_within_the_page(opened, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width=width)
    for i in range(4):
        figure(page, i)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.pdf().startswith(b"%PDF")
    serious = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []
