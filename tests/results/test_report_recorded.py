"""The figures of our own recorded runs, sweep by sweep, in a browser: each is drawn, and no script fails."""

from __future__ import annotations

import pytest
from curves_page import MOUNT

from batchlab.results.compare.claims import Verdict
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.papers.recorded import archive_of, recorded
from batchlab.results.report.assets import styles
from batchlab.results.report.curves import ASSETS, SCRIPTS
from batchlab.results.report.parts import Parts
from batchlab.results.report.sections import of_paper
from batchlab.results.show.headline import tally_text
from batchlab.results.show.plot import Plot
from batchlab.results.store.unpacked import opened

pytestmark = pytest.mark.slow
MOST = 6 * 2**20
"""Bytes of a page."""


def answering(drawing):
    return isinstance(drawing, Plot) or drawing.points() is not None


@pytest.fixture(scope="module", params=recorded())
def figures(request, tmp_path_factory):
    """A page of a sweep's figures alone, as its section has them, and what they are."""
    with opened([archive_of(request.param)]) as store:
        made = reproduce(store, request.param.partition("-")[0], request.param)
        drawn = [plot for plot in (*made.panes, *made.plots) if plot.drawable]
        markup = Parts().drawings(drawn)
    file = tmp_path_factory.mktemp("recorded") / "figures.html"
    script = "".join(f"<script>{(ASSETS / name).read_text()}</script>" for name in SCRIPTS)
    file.write_text(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Figures</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<style>{styles()}</style></head><body><main><h1>Figures</h1>{markup}</main>{script}"
        f"<script>{MOUNT}</script></body></html>",
        encoding="utf-8",
    )
    return file, drawn


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_figure_of_a_recorded_sweep_answers(chromium, figures, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    file, drawn = figures
    assert file.stat().st_size < MOST
    faults = []
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.goto(file.as_uri())
    found = page.locator("figure.curves")
    still = [drawing for drawing in drawn if not answering(drawing)]
    assert page.locator("main > figure:not(.curves)").count() == len(still)
    assert found.count() > 0
    for place in found.all():
        place.scroll_into_view_if_needed()
        place.locator("canvas").first.wait_for()
        assert place.locator(".curves-notes").inner_text().count("nothing") == 0
        for pane in place.locator(".curves-pane:visible").all():
            pane.scroll_into_view_if_needed()
            plot = pane.locator(".curves-plot")
            plot.focus()
            plot.press("Home")
            assert pane.locator(".curves-box").is_visible()
        for menu in place.locator(".curves-bar select:visible").all():
            for option in menu.locator("option").all():
                menu.select_option(option.get_attribute("value"))
        assert place.locator("canvas:visible").count() > 0
        page.evaluate("location.hash = '#x='")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    serious = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in serious] == []
    assert faults == []
    context.close()


@pytest.mark.parametrize("sweep", recorded())
def test_each_decided_claim_has_a_line_on_top_that_leads_to_its_row(sweep):
    with opened([archive_of(sweep)]) as store:
        made = reproduce(store, sweep.partition("-")[0], sweep)
        section = of_paper(Parts(), made, sweep)
    decided = [item for item in made.claims if item.verdict is not Verdict.UNDECIDED]
    lines = [line for line in section.glance.lines if line.verdict != "not decided"]
    assert len(lines) == len(decided)
    for line in section.glance.lines:
        assert f'id="{line.anchor}"' in section.content or f"id='{line.anchor}'" in section.content
    assert section.glance.summary == tally_text(made.claims)
