"""The pages of our own recorded sweeps in a browser: nothing lies beyond an edge, at a desk or on a phone."""

from __future__ import annotations

import pytest

from batchlab.results.papers.recorded import archive_of, recorded
from batchlab.results.report.write import write_report
from batchlab.results.store.unpacked import opened

pytestmark = pytest.mark.slow
BEYOND = """() => [...document.querySelectorAll("body *")]
    .filter((e) => e.clientWidth > 1 && e.scrollWidth > e.clientWidth + 1)
    .filter((e) => ["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX))
    .filter((e) => !e.matches("nav a"))
    .map((e) => `${e.tagName} ${e.className} ${e.getAttribute("aria-label")}: ${e.scrollWidth} of ${e.clientWidth}`)"""
"""What holds more than it has room for; titles in the contents are cut off on purpose."""


@pytest.mark.parametrize("sweep", recorded())
def test_nothing_of_a_recorded_page_scrolls_sideways(chromium, sweep, tmp_path):
    with opened([archive_of(sweep)]) as store:
        file = write_report(store, tmp_path / "report.html")
    for width in (1440, 390):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.goto(file.as_uri())
        for said in ("beforeprint", "afterprint"):  # every figure is there
            page.evaluate("name => window.dispatchEvent(new Event(name))", said)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 1440:
            assert page.evaluate(BEYOND) == []
        page.close()
