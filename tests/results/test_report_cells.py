"""Heat maps whose cells say their numbers, to a pointer, to keys and as a table: those that Python drew."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from curves_page import CSS, opening
from test_problems import field

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.assets import styles
from batchlab.results.report.curves import ASSETS, SCRIPTS
from batchlab.results.report.parts import Parts
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.ranking_plot import RankingMap
from batchlab.results.store.record import Recorder

VALUES = {
    "a": {"p": [0.9, 0.8, 0.85], "q": [0.5, 0.6, 0.7]},
    "b": {"p": [0.8, 0.7, None], "q": [0.4, 0.45, 0.3]},
    "=c": {"p": [0.3, 0.2, 0.25], "q": [0.1, 0.12, 0.11]},
}
LAYER = {("first", 0): 0.25, ("last", 0): 0.5, ("first", 64): 0.75, ("last", 64): 1.0}


@pytest.fixture
def ranking(frame_of):
    return RankingMap(field(frame_of, VALUES))


@pytest.fixture
def layers(lab, curve):
    for i, name in enumerate(("adam", "shb")):
        run = lab.run(f"r{i}", curve([0.1, 0.2]), state="interrupted", optimizer=name)
        with Recorder(run) as recorder:
            for (layer, samples), value in LAYER.items():
                recorder.write("layers", {"layer": layer, "samples": samples, "steps": samples, "mean": value + i})
        run.write_state(state="done")
    return Layers(load(lab.store).stream("layers"), (Metric("mean"),), "optimizer")


def cells(drawing):
    return drawing.cells(drawing.pictured()[1])


def test_a_ranking_says_means_seeds_and_groups(ranking):
    ((_, own),) = cells(ranking)
    assert own.columns == ["p", "q", "all"]
    assert own.fields == ["test accuracy [%]", "n", "group", "note"]
    means, sizes, groups, notes = own.values
    for i, name in enumerate(own.rows):
        for k, problem in enumerate("pq"):
            known = [value for value in VALUES[name][problem] if value is not None]
            assert means[i][k] == pytest.approx(100 * np.mean(known))
            assert sizes[i][k] == 3
        assert means[i][2] == pytest.approx(np.mean(means[i][:2]))
        assert sizes[i][2] == 6
    lost = own.rows.index("b")
    assert [notes[lost][k] for k in range(3)] == ["1 run lost, not in the mean", "", "1 run lost, not in the mean"]
    for k, problem in enumerate(("p", "q", "")):
        known = ranking.field.rankings[problem].groups
        assert [row[k] for row in groups] == [known[name] for name in own.rows]


def test_cells_of_layers_are_where_they_are_drawn(layers):
    found = cells(layers)
    assert [own.title for _, own in found] == ["optimizer adam", "optimizer shb"]
    for i, (axes, own) in enumerate(found):
        assert (own.rows, own.columns) == (["first", "last"], ["0", "64"])
        mean, n = own.values
        assert mean == [[LAYER[layer, at] + i for at in (0, 64)] for layer in own.rows]
        assert n == [[1, 1], [1, 1]]
        assert (own.x[0], own.x[-1]) == axes.get_xlim()
        assert own.x[0] == 0, "no samples below none"


@pytest.fixture
def opened(chromium, ranking, layers, tmp_path):
    parts = Parts()
    body = "".join(str(parts.drawing(drawing)) for drawing in (ranking, layers))
    scripts = "".join(f"<script>{(ASSETS / name).read_text()}</script>" for name in SCRIPTS)
    file = tmp_path / "cells.html"
    file.write_text(
        "<!doctype html><html lang=en class=js><head><meta charset=utf-8><title>cells</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<style>{CSS}{styles()}</style></head><body><main><h1>Cells</h1>{body}</main>{scripts}"
        "<script>document.querySelectorAll('figure.cells').forEach(batchlab.cells)</script></body></html>",
        encoding="utf-8",
    )
    with opening(chromium, file) as at:
        yield at


def box_of(place):
    """Title, place and numbers that are read."""
    box = place.locator(".curves-box")
    rows = [row.locator("td").all_inner_texts() for row in box.locator("tr").all()]
    return box.locator("b").inner_text(), box.locator("small").inner_text(), {row[1]: row[2] for row in rows}


def table(place):
    with place.page.expect_download() as event:
        place.get_by_role("button", name="CSV", exact=True).click()
    with open(event.value.path(), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


@pytest.mark.slow
def test_the_cell_below_the_pointer_is_the_one_with_its_number(opened, ranking):
    place = opened().locator("figure.cells").first
    ((_, own),) = cells(ranking)
    for name in own.rows:
        label = f"{own.values[0][own.rows.index(name)][1]:.2f}"
        place.locator("svg text", has_text=label).first.hover(force=True)
        title, where, said = box_of(place)
        assert (title, where) == (name, "task q")
        assert float(said["test accuracy [%]"]) == pytest.approx(own.values[0][own.rows.index(name)][1], rel=1e-4)
        assert said["n"] == "3"
        frame, text = (place.locator(at).first.bounding_box() for at in (".cells-frame", f"svg text:text('{label}')"))
        assert frame["x"] < text["x"] + text["width"] / 2 < frame["x"] + frame["width"]
        assert frame["y"] < text["y"] + text["height"] / 2 < frame["y"] + frame["height"]


@pytest.mark.slow
def test_the_table_is_all_cells(opened, ranking, layers):
    page = opened()
    ((_, own),) = cells(ranking)
    rows = table(page.locator("figure.cells").first)
    assert len(rows) == 9
    assert {row["method"] for row in rows} == {"a", "b", "'=c"}, "no formula"
    for row in rows:
        i, k = own.rows.index(row["method"].lstrip("'")), own.columns.index(row["task"])
        assert float(row["test accuracy [%]"]) == pytest.approx(own.values[0][i][k], rel=1e-6)
        assert (row["n"], row["group"], row["note"]) == (
            str(own.values[1][i][k]),
            own.values[2][i][k],
            own.values[3][i][k],
        )
    rows = table(page.locator("figure.cells").nth(1))
    found = {(row["panel"], row["layer"], row["samples"]): float(row["mean multiplier"]) for row in rows}
    assert found == {
        (f"optimizer {name}", layer, str(at)): value + i
        for i, name in enumerate(("adam", "shb")) for (layer, at), value in LAYER.items()
    }  # fmt: skip


@pytest.mark.slow
def test_keys_read_cell_by_cell_and_panel_by_panel(opened):
    place = opened().locator("figure.cells").nth(1)
    sheet, live = place.locator(".cells-sheet"), place.locator(".curves-live")
    assert sheet.get_attribute("aria-label").endswith(": arrow keys read cells")
    sheet.focus()
    wanted = [
        ("ArrowRight", "first, optimizer adam, samples 0: mean multiplier 0.25, n 1"),
        ("ArrowRight", "first, optimizer adam, samples 64: mean multiplier 0.75, n 1"),
        ("ArrowDown", "last, optimizer adam, samples 64: mean multiplier 1, n 1"),
        ("ArrowDown", "first, optimizer shb, samples 64: mean multiplier 1.75, n 1"),
        ("Home", "first, optimizer shb, samples 0: mean multiplier 1.25, n 1"),
        ("ArrowUp", "last, optimizer adam, samples 0: mean multiplier 0.5, n 1"),
        ("ArrowLeft", "last, optimizer adam, samples 0: mean multiplier 0.5, n 1"),
    ]
    for key, said in wanted:
        sheet.press(key)
        assert live.inner_text() == said
    sheet.press("Escape")
    assert place.locator(".curves-box").is_hidden()
    assert place.locator(".cells-frame").is_hidden()


@pytest.mark.slow
def test_a_finger_reads_a_cell(opened):
    place = opened(width=390, has_touch=True).locator("figure.cells").first
    place.locator("svg text", has_text="85.00").first.tap(force=True)
    assert box_of(place)[:2] == ("a", "task p")


@pytest.mark.slow
def test_pictures_of_cells_can_be_kept(opened):
    page = opened(color_scheme="dark")
    place = page.locator("figure.cells").first
    with page.expect_download() as event:
        place.get_by_role("button", name="SVG", exact=True).click()
    assert event.value.suggested_filename == "test-accuracy-ranking-of-method.svg"
    svg = ET.parse(event.value.path()).getroot()
    assert svg.get("color") == "#24292f", "on white, whatever the page is"
    assert "85.00" in ET.tostring(svg, encoding="unicode")
    with page.expect_download() as event:
        place.get_by_role("button", name="PNG", exact=True).click()
    assert event.value.path().read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_cells_are_accessible_and_within_the_page(opened, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    serious = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []
    page.emulate_media(media="print")
    assert page.locator("figure.cells button").first.is_hidden()
    assert page.locator("figure.cells svg").first.is_visible()
