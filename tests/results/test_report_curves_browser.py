"""Interactive curves in a browser: every control does what it says, for eyes, keys, paper and a phone."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET

import pytest
from curves_page import near, write_page

from batchlab.results.compare.curves import curves
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.curves import payload

pytest_plugins = ["curves_fixtures"]
pytestmark = pytest.mark.slow


def figure(page, i=0):
    """A figure that is mounted."""
    place = page.locator("figure.curves").nth(i)
    place.scroll_into_view_if_needed()
    place.locator("canvas").wait_for()
    return place


def choose(place, label, option):
    place.get_by_label(label, exact=True).select_option(option)


def entry(place, name):
    return place.locator(
        ".curves-lines button", has=place.page.locator("span", has_text=re.compile(f"^{re.escape(name)}$"))
    )


def hovered(place, share):
    """The box of what is read at a share of the width: title, and cells of the rows."""
    area = place.locator(".u-over")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    place.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    rows = place.locator(".curves-box tr")
    return place.locator(".curves-box b").inner_text(), [row.locator("td").all_inner_texts()[1:] for row in rows.all()]


def downloaded(place, name):
    with place.page.expect_download() as event:
        place.get_by_role("button", name=name, exact=True).click()
    return event.value


def table(place):
    with open(downloaded(place, "CSV").path(), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def test_a_cursor_reads_every_line_with_interval_and_n(opened, frame):
    place = figure(opened())
    title, rows = hovered(place, 0.0)
    assert title == "0 samples"
    wanted = {line.value: line for line in curves(frame, Metric("test_accuracy"), "samples", "optimizer", log=False)}
    assert {row[0] for row in rows} == set(wanted) - {"lost"}
    for name, value, interval, n in rows:
        line = wanted[name]
        assert value == f"{100 * line.mean[0]:.2f} %", "all with as many digits after the point"
        assert n == f"n {line.n}"
        if line.n > 2:
            ends = max(0, 100 * line.low[0]), min(100, 100 * line.high[0])
            assert interval == " to ".join(f"{end:.2f}" for end in ends)
        else:
            assert interval == ""
    shown = [float(row[1].split()[0]) for row in rows]
    assert shown == sorted(shown, reverse=True)


def test_controls_turn_all_plots_and_are_in_the_address(opened):
    page = opened()
    first = figure(page)
    choose(first, "x", "steps")
    choose(first, "y", "log")
    choose(first, "metric", "gap")
    choose(first, "values", "best")
    choose(first, "over seeds", "median")
    choose(first, "relative to", "adam")
    assert page.evaluate("location.hash") == "#x=steps&y=log&metric=gap&run=best&stat=median&base=adam"
    assert first.locator(".curves-head span").inner_text() == "running minimum of gap: ratio to adam"
    assert (
        first.get_by_role("img")
        .get_attribute("aria-label")
        .startswith("By optimizer: running minimum of gap: ratio to adam against steps, ")
    )
    second = figure(page, 1)
    assert second.get_by_label("x", exact=True).input_value() == "steps"
    assert second.get_by_label("over seeds").input_value() == "median"
    assert second.get_by_label("relative to").input_value() == ""  # it has no line of that name
    again = opened(page.evaluate("location.hash"))
    assert figure(again).get_by_label("metric").input_value() == "gap"
    assert figure(again).get_by_label("relative to").input_value() == "adam"


def test_an_anchor_is_no_view_and_a_view_is_no_anchor(opened):
    page = opened("#c1")
    assert page.evaluate("scrollY") > 1000
    choose(figure(page), "x", "seconds")
    page.evaluate("location.hash = '#c1'")
    page.wait_for_timeout(100)
    assert figure(page).get_by_label("x", exact=True).input_value() == "seconds"
    page.evaluate("location.hash = '#x=epochs'")
    page.wait_for_function(
        "document.querySelector('figure.curves select:nth-of-type(1)') && batchlab.view.get('x') === 'epochs'"
    )
    assert figure(page).get_by_label("x", exact=True).input_value() == "epochs"


def test_a_click_hides_and_a_double_click_isolates(opened):
    page = opened()
    place = figure(page)
    names = ["adam", "long & <wide>", "lost", "repeated", "shb", "together"]
    assert place.locator(".curves-lines button > span:nth-of-type(2)").all_inner_texts() == names
    assert entry(place, "shb").locator("small").inner_text() == "n 4, 1 diverged"
    assert entry(place, "adam").locator("small").inner_text() == "n 4, 1 not done"
    assert entry(place, "lost").locator("small").inner_text() == "n 0, 1 diverged"

    def pressed():
        return [name for name in names if entry(place, name).get_attribute("aria-pressed") == "true"]

    assert pressed() == names
    entry(place, "adam").click()
    assert pressed() == names[1:]
    assert {row["line"] for row in table(place)} == set(names) - {"adam"}
    assert "adam" not in {row[0] for row in hovered(place, 0.2)[1]}
    entry(place, "long & <wide>").click()
    assert page.evaluate("batchlab.view.list('hide')") == names[:2]
    again = figure(opened(page.evaluate("location.hash")))
    assert entry(again, "long & <wide>").get_attribute("aria-pressed") == "false"
    entry(place, "shb").dblclick()
    assert pressed() == ["shb"]
    entry(place, "shb").dblclick()
    assert pressed() == names
    assert page.evaluate("location.hash") == ""
    entry(place, "together").press("Shift+Enter")
    assert pressed() == ["together"]


def test_dragging_zooms_and_the_table_holds_what_is_seen(opened, frame):
    place = figure(opened("#x=steps&metric=test_accuracy"))
    whole = [float(row["x"]) for row in table(place) if row["line"] == "shb"]
    area = place.locator(".u-over").bounding_box()
    page, y = place.page, area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + 0.01 * area["width"], y)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.02 * area["width"], y, steps=4)
    page.mouse.up()
    seen = [float(row["x"]) for row in table(place) if row["line"] == "shb"]
    assert 0 < len(seen) < len(whole)
    assert set(seen) < set(whole)
    place.get_by_role("button", name="Reset zoom").click()
    assert [float(row["x"]) for row in table(place) if row["line"] == "shb"] == whole
    (line,) = (
        one for one in curves(frame, Metric("test_accuracy"), "steps", "optimizer", log=False) if one.value == "shb"
    )
    rows = [row for row in table(place) if row["line"] == "shb"]
    assert {(row["metric"], row["clock"], row["n"], row["diverged"]) for row in rows} == {
        ("test_accuracy", "steps", "4", "1")
    }
    for key in ("mean", "low", "high"):
        near([float(row[key]) for row in rows], getattr(line, key))


def test_rows_of_every_seed_hold_those_that_were_lost(opened):
    rows = table(figure(opened("#stat=seeds&metric=test_accuracy")))
    assert {(row["line"], row["seed"], row["state"]) for row in rows} >= {
        ("shb", "0", "done"),
        ("shb", "7", "diverged"),
        ("adam", "8", "interrupted"),
        ("lost", "1", "diverged"),
    }
    assert len([row for row in rows if (row["line"], row["seed"]) == ("shb", "1")]) == 16


def test_pictures_to_keep(opened):
    place = figure(opened("#metric=train_loss&hide=together", color_scheme="dark"))
    made = downloaded(place, "SVG")
    assert made.suggested_filename == "by-optimizer.svg"
    svg = ET.parse(made.path()).getroot()
    space = "{http://www.w3.org/2000/svg}"
    said = [text.text for text in svg.iter(f"{space}text")]
    assert "running minimum of train loss" in said
    assert "long & <wide> (n 1)" in said
    assert "shb (n 4, 1 diverged)" in said
    assert not any(text.startswith("together") for text in said)
    assert svg.find(f"{space}rect").get("fill") == "#ffffff"  # for papers, whatever the page's colour
    png = downloaded(place, "PNG").path().read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 1440


def test_the_keyboard_reads_values_aloud(opened):
    place = figure(opened("#x=steps"))
    plot = place.locator(".curves-plot")
    plot.focus()
    plot.press("Home")
    assert place.locator(".curves-live").inner_text().startswith("0 steps: ")
    plot.press("ArrowRight")
    said = place.locator(".curves-live").inner_text()
    assert said.startswith("2 steps: ")
    assert re.search(r"adam [\d.]+ % \([\d.]+ to [\d.]+\), n 4", said)
    plot.press("Escape")
    assert place.locator(".curves-box").is_hidden()


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_and_within_the_page(opened, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened("#stat=seeds", width=width, color_scheme=scheme)
    figure(page, 1)
    figure(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    serious = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []


def test_print_is_drawn_for_paper(opened):
    page = opened(color_scheme="dark")
    figure(page)
    page.evaluate(
        "window.sizes = []; addEventListener('beforeprint', "
        "() => sizes.push(document.querySelectorAll('.curves-print svg').length))"
    )
    assert page.pdf().startswith(b"%PDF")
    assert page.evaluate("sizes") == [2]  # the one far below as well
    assert page.locator(".curves-print svg").count() == 0


def test_nothing_moves_while_figures_are_mounted(opened):
    page = opened()
    page.evaluate("""() => { window.moved = 0; new PerformanceObserver((list) => list.getEntries().forEach((one) => {
        if (!one.hadRecentInput) moved += one.value; })).observe({ type: "layout-shift", buffered: true }); }""")
    for _ in range(12):
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(40)
    page.locator("figure.curves.mounted").nth(1).wait_for()
    page.wait_for_timeout(100)
    assert page.evaluate("moved") < 0.01


def test_a_resize_and_a_change_of_colours_redraw(opened):
    page = opened()
    place = figure(page)
    wide = place.locator("canvas").bounding_box()["width"]
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_function(f"document.querySelector('canvas').clientWidth < {wide - 100}")
    light = place.locator("canvas").screenshot()
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(100)
    assert place.locator("canvas").screenshot() != light


def test_more_lines_than_can_be_told_apart_are_grey_until_few_are_left(chromium, lab, curve, tmp_path):
    for i in range(45):
        lab.run(f"a{i}", curve([0.1, 0.2 + i / 100]), optimizer=f"{'even' if i % 2 == 0 else 'odd'}-{i}")
    path = write_page(tmp_path / "many.html", [payload(load(lab.store), ["test_accuracy"], "optimizer", title="Many")])
    page = chromium.new_page()
    page.goto(path.as_uri())
    place = figure(page)
    assert "45 lines are too many to tell apart" in place.locator(".curves-notes").inner_text()
    entries, all_of_them = place.locator(".curves-lines"), place.get_by_role("button", name="all 45 lines")
    hidden = "list => list.scrollHeight - list.clientHeight"
    assert entries.evaluate(hidden) > 0
    all_of_them.click()
    assert entries.evaluate(hidden) <= 0
    place.get_by_role("button", name="fewer lines here").click()
    keys = place.locator(".curves-lines button[aria-pressed=true] path")
    assert len({key.get_attribute("stroke") for key in keys.all()}) == 1
    hovered(place, 0.99)
    assert place.locator("path.nearest").count() == 1
    place.get_by_label("only lines with").fill("even")
    place.get_by_label("only lines with").press("Enter")
    looks = {(key.get_attribute("stroke"), key.get_attribute("stroke-dasharray")) for key in keys.all()}
    assert len(looks) == keys.count() == 23
    assert "too many" not in place.locator(".curves-notes").inner_text()
    page.close()


def test_runs_that_ended_before_a_row_are_said(chromium, lab, curve, tmp_path):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.1, 0.2]), optimizer="=1+1", seed=seed)
        lab.run(f"b{seed}", [], "diverged", optimizer="adam", seed=seed)
    lab.run("c", [], "failed", optimizer="=1+1", seed=2)
    path = write_page(tmp_path / "lost.html", [payload(load(lab.store), ["test_accuracy"], "optimizer", title="Lost")])
    page = chromium.new_page()
    page.goto(path.as_uri())
    place = figure(page)
    assert "no line: adam (2 diverged without a row)" in place.locator(".curves-notes").inner_text()
    assert entry(place, "=1+1").locator("small").inner_text() == "n 2, 1 not done without a row"
    rows = table(place)
    assert {(row["line"], row["n"], row["unfinished"]) for row in rows} == {("'=1+1", "2", "1")}  # for spreadsheets
    page.close()
