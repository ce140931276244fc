# ruff: noqa: F811  # fixtures of another file are arguments here
"""The report's layout in a browser: at a desk, on a phone, on paper, by keys; nothing moves, anybody can read it."""

from __future__ import annotations

import re

import pytest
from test_report_browser import DESK, column, number, opened, paper, report, store  # noqa: F401  # fixtures

from batchlab.results.report.runlist import PAGE

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844}


def test_what_is_folded_opens_by_key_and_on_paper(opened):
    for script in (True, False):
        page = opened(java_script_enabled=script)
        rest = page.locator("details.rest").first
        hidden = rest.locator("tbody").first
        assert not hidden.is_visible()
        rest.locator("summary").focus()
        page.keyboard.press("Enter")
        assert hidden.is_visible()
        page.keyboard.press("Enter")
        assert not hidden.is_visible()
        page.emulate_media(media="print")
        assert hidden.bounding_box()["height"] > 10
        assert page.locator("details.notes li").last.bounding_box()["height"] > 5
        page.emulate_media(media="screen")


def test_the_contents_stay_in_sight_and_say_where_one_is(opened):
    page = opened()
    links = page.locator("nav a")
    for i in (1, links.count() - 1, 0):
        links.nth(i).click()
        page.wait_for_function(
            "i => { const all = [...document.querySelectorAll('nav a')];"
            " return all[i].hasAttribute('aria-current') || scrollY + innerHeight > document.body.scrollHeight - 2; }",
            arg=i,
        )
        assert page.locator("nav").bounding_box()["y"] >= 0
        assert page.locator("nav a[aria-current]").count() == 1
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_moves_while_it_opens_and_while_one_reads_on(opened, size):
    """The sum of layout shifts that no reader caused, from the start to the last figure."""
    page = opened(size)
    page.evaluate(
        """() => {
            window.shifts = [];
            new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
                if (!entry.hadRecentInput) window.shifts.push([entry.value, ...entry.sources.map((s) =>
                    s.node && (s.node.className || s.node.nodeName))]);
            })).observe({ type: "layout-shift", buffered: true });
        }"""
    )
    for _ in range(200):
        if page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2"):
            break
        page.evaluate("window.scrollBy(0, 500)")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")
    page.wait_for_function("!document.querySelector('figure.curves:not(.mounted)')")
    page.evaluate("() => new Promise((done) => setTimeout(done, 200))")
    shifts = page.evaluate("window.shifts")
    assert sum(shift[0] for shift in shifts) < 0.02, shifts


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anybody_can_read_it(opened, size, scheme):
    """Nothing serious for axe-core, with every figure mounted, and nothing wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = opened(size, scheme)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("figure.curves:not(.mounted)").count() == 0
    for unfolded in (False, True):
        page.evaluate("open => document.querySelectorAll('details').forEach((d) => { d.open = open; })", unfolded)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        found = axe.Axe().run(page).response["violations"]
        grave = [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == []


def inside(page, place):
    """Whether all that is seen of some elements lies within the width of the screen; how many there are."""
    boxes = [box for cell in page.locator(place).all() if (box := cell.bounding_box())]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"] for box in boxes)
    return len(boxes)


def test_a_phone_shows_claims_and_runs_as_cards(opened):
    page = opened(PHONE)
    for table in ("table.claims", "figure.deck"):
        assert page.locator(f"{table} tbody").first.evaluate("body => getComputedStyle(body).display") == "block"
        assert inside(page, f"{table} tbody tr td") >= 6
    seen = page.locator("figure.deck tbody").first.inner_text()
    for word in ("read at", "measured", "effect"):
        assert page.locator(f"figure.deck td[data-label^='{word}']").first.is_visible()
    assert "holds" in seen or "not decided" in seen
    assert inside(page, "#runs tbody tr td") > PAGE
    assert page.locator("#runs thead").bounding_box()["height"] <= 1
    for cell in page.locator("figure.sheet:not(.deck) tbody tr:first-child td:first-child").all():
        assert cell.bounding_box()["width"] >= 90, "words are not broken into letters"


def test_a_phone_sorts_without_a_header(opened):
    page = opened(PHONE)
    menu = page.get_by_label("sort by")
    for key, way in (("test_accuracy", max), ("train_seconds", min)):
        menu.select_option(f"-{key}" if way is max else key)
        found = [number(text) for text in column(page, key) if text != "–"]
        assert found == sorted(found, reverse=way is max)
        assert f"r.sort={'-' if way is max else ''}{key}" in page.url
    assert not opened().get_by_label("sort by").is_visible(), "at a desk headers do that"


def test_a_desk_sees_what_came_of_a_run_without_scrolling(opened):
    page = opened()
    edge = page.locator("#runs .scroll").bounding_box()
    for key in ("run", "state", "test_accuracy", "train_seconds"):
        box = page.locator(f"#runs th[data-key='{key}']").bounding_box()
        assert box["x"] + box["width"] <= edge["x"] + edge["width"] / 2


def test_a_phone_does_not_squeeze_prose_into_a_column_of_words(opened):
    page = opened(PHONE)
    row = page.locator("figure", has_text="hardware and versions").locator("tbody tr").first
    versions = row.locator("td").nth(2)
    versions.evaluate("cell => { cell.className = ''; cell.textContent = 'python 3.11.7, '.repeat(9); }")
    assert versions.bounding_box()["width"] >= 200
    assert row.bounding_box()["height"] < 260


def test_on_paper_heads_are_no_larger_than_cells_and_no_row_stands_alone(opened):
    page = opened({"width": 1000, "height": 700})
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    size = "element => parseFloat(getComputedStyle(element).fontSize)"
    head, cell = page.locator("#runs thead th button").first, page.locator("#runs tbody td.state").first
    assert head.evaluate(size) <= cell.evaluate(size)
    last = page.locator("#runs tbody tr").last
    assert last.evaluate("row => getComputedStyle(row).breakBefore") == "avoid"
    lies = page.locator("main .wide").count() > 0
    figures = page.locator("figure.curves.mounted:not(:has(.several))")
    for figure in figures.all():
        share = figure.bounding_box()["width"] / page.locator("main").bounding_box()["width"]
        assert share < 0.5 if lies else share > 0.9, "two beside each other on a page that lies"
        assert lies or figure.locator("svg").first.bounding_box()["height"] < 480, (
            "two beneath each other on one that stands"
        )


def test_paper_holds_verdict_p_and_n_and_no_controls(opened):
    """As it is printed on A4: no column of the claims lies beyond the page."""
    page = opened({"width": 700, "height": 1000})
    page.emulate_media(media="print")
    table = page.locator("table.claims").first
    edge = table.bounding_box()
    assert edge["x"] + edge["width"] <= 701
    heads = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    assert [re.sub(r" \[.*\]", "", head) for head in heads] == [
        "claim",
        "read at",
        "verdict",
        "effect",
        "p (Holm)",
        "n",
    ]
    for cell in table.locator("th, td").all():
        box = cell.bounding_box()
        assert box["x"] + box["width"] <= 701
    assert not page.locator(".filters").is_visible()
    assert page.locator("button:visible", has_text=re.compile("Copy")).count() == 0
    for scroll in page.locator(".scroll").all():
        assert scroll.evaluate("element => getComputedStyle(element).overflowX") == "visible"
    text = page.pdf(prefer_css_page_size=True)
    assert text.startswith(b"%PDF")


def test_a_key_reaches_what_a_mouse_does(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    page.locator("#runs thead button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#runs th[data-key='state']").get_attribute("aria-sort") == "ascending"
