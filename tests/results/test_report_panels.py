"""Interactive figures with panels: the same lines in each, drawn from each panel's runs alone."""

from __future__ import annotations

import csv
import io
import itertools
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from curves_page import near, opening, rows_of, write_page

from batchlab.results.compare.curves import curves
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.curves import payload
from batchlab.results.report.parts import Parts
from batchlab.results.show.plot import Plot

COMPUTE = """([view, panel]) => {
  const data = document.querySelector("script.curves-data").textContent;
  const flat = (_, v) => ArrayBuffer.isView(v) ? Array.from(v, (n) => (Number.isFinite(n) ? n : String(n))) : v;
  return JSON.stringify(batchlab.curves.compute(JSON.parse(data), view, panel), flat);
}"""
PANELS = ("digits", "wine")


@pytest.fixture(scope="module")
def frame(shared_lab):
    """Two data sets; adam alone on one of them, repeats on the other, and a run that exploded."""
    rng, lab = np.random.default_rng(1), shared_lab
    for data, seed in itertools.product(PANELS, range(4)):
        lab.run(f"s-{data}-{seed}", rows_of(rng, 10 + seed), optimizer="shb", seed=seed, dataset=data)
        lab.run(f"n-{data}-{seed}", rows_of(rng, 8, pace=0.4), optimizer="nshb", seed=seed, dataset=data)
    lab.run("again", rows_of(rng, 9), optimizer="shb", seed=1, dataset="wine", lr=0.2)
    lab.run("adam", rows_of(rng, 7), optimizer="adam", seed=1, dataset="wine")
    gone = [{**row, "train_loss": row["train_loss"] * 10 ** (4 * i)} for i, row in enumerate(rows_of(rng, 6))]
    lab.run("gone", gone, "diverged", optimizer="shb", seed=9, dataset="wine")
    lab.run("early", [], "diverged", optimizer="nshb", seed=9, dataset="digits")
    return load(lab.store)


@pytest.fixture(scope="module")
def made(frame):
    return payload(frame, ("test_accuracy", "min:train_loss"), "optimizer", title="By data set", panel="dataset")


@pytest.fixture
def opened(chromium, made, tmp_path):
    file = write_page(tmp_path / "panels.html", [made])
    with opening(chromium, file) as at:

        def drawn(view="", width=1200, **options):
            page = at(view, width, **options)
            page.locator("canvas").first.wait_for()
            return page

        yield drawn


def table(page):
    with page.expect_download() as event:
        page.get_by_role("button", name="CSV", exact=True).click()
    with open(event.value.path(), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def entry(page, name):
    return page.locator(".curves-lines button", has_text=name).first


def test_a_line_is_the_same_in_every_panel(made):
    assert made["panels"] == [{"key": name, "title": f"dataset {name}"} for name in PANELS]
    assert made["names"] == ["adam", "nshb", "shb"]
    looks = {}
    for line in made["lines"]:
        assert looks.setdefault(line["name"], line["look"]) == line["look"]
    assert [(line["panel"], line["name"]) for line in made["lines"]] == [
        *((0, "nshb"), (0, "shb")),
        *((1, "adam"), (1, "nshb"), (1, "shb")),
    ]
    assert [line["rowless"]["diverged"] for line in made["lines"]] == [1, 0, 0, 0, 0]


def test_panels_of_two_keys_and_a_scale_that_was_asked_for(lab, curve):
    for data, schedule in itertools.product(PANELS, ("constant", "exponential")):
        lab.run(f"{data}-{schedule}", curve([0.1, 0.2]), dataset=data, batch_schedule=schedule)
    sent = payload(
        load(lab.store), ["test_accuracy"], "optimizer", title="t", panel="dataset,batch_schedule", scale="log"
    )
    assert sent["panel"] == "dataset, batch_schedule"
    assert sent["panels"][1] == {"key": "digits exponential", "title": "dataset digits, batch_schedule exponential"}
    assert sent["metrics"][0]["log"]
    assert sent["notes"] == []  # no panel mixes the two


def test_plots_that_differ_in_their_metric_are_one_figure(frame):
    look = ("optimizer", "dataset", "Training")
    plots = [Plot(frame, Metric(name), ("samples",), *look) for name in ("test_accuracy", "train_loss")]
    other = Plot(frame, Metric("gap"), ("samples",), "optimizer", "dataset", "Gap")
    page = Parts().drawings([*plots, other])
    found = [json.loads(part.split("</script>")[0]) for part in page.split('class="curves-data">')[1:]]
    assert [[metric["key"] for metric in one["metrics"]] for one in found] == [["test_accuracy", "train_loss"], ["gap"]]
    assert page.count('<div class="plot') == 3  # each has a still picture of its own


@pytest.mark.slow
def test_every_panel_is_what_python_draws(opened, frame):
    page = opened()
    ways = itertools.product(("test_accuracy", "train_loss"), ("samples", "seconds"), (False, True), (False, True))
    for column, clock, log, best in ways:
        metric = Metric.parse(f"{'max' if column == 'test_accuracy' else 'min'}:{column}" if best else column).of(frame)
        view = {"metric": column, "x": clock, "y": "log" if log else "linear", "run": "best" if best else "plain"}
        for panel, name in enumerate(PANELS):
            wanted = curves(frame.where(dataset=name), metric, clock, "optimizer", log=log)
            found = json.loads(page.evaluate(COMPUTE, [view, panel]))["lines"]
            assert [line["name"] for line in found] == [line.value for line in wanted]
            for line, curve in zip(found, wanted, strict=True):
                assert (line["n"], line["diverged"]) == (curve.n, curve.diverged)
                for key in ("x", "mean", "low", "high"):
                    near(np.array(line[key], dtype=float), getattr(curve, key))


@pytest.mark.slow
def test_one_bar_and_one_legend_turn_all_panels(opened, frame):
    page = opened()
    assert page.locator(".curves-bar").count() == page.locator(".curves-legend").count() == 1
    assert page.locator(".curves-panel b").all_inner_texts() == ["dataset digits", "dataset wine"]
    assert entry(page, "nshb").locator("small").inner_text() == "n 4, 1 diverged without a row"
    assert entry(page, "adam").locator("small").inner_text() == "n 1"
    for label, option in (("x", "steps"), ("y", "log"), ("metric", "train_loss"), ("values", "plain")):
        page.get_by_label(label, exact=True).select_option(option)
    page.get_by_label("over seeds").select_option("median")
    page.get_by_label("relative to").select_option("nshb")
    assert page.locator(".curves-head span").inner_text() == "train loss: ratio to nshb"
    rows = table(page)
    assert {row["panel"] for row in rows} == {*PANELS}
    assert {row["relative_to"] for row in rows} == {"ratio to nshb"}
    page.get_by_label("relative to").select_option("")
    page.get_by_label("panel: dataset", exact=True).select_option("wine")
    assert page.evaluate("location.hash") == "#x=steps&y=log&metric=train_loss&run=plain&stat=median&panel=wine"
    assert page.locator(".curves-pane:visible").count() == 1
    assert {row["panel"] for row in table(page)} == {"wine"}
    again = opened(page.evaluate("location.hash"))
    assert again.locator(".curves-pane:visible b").first.inner_text() == "dataset wine"
    again.get_by_label("panel: dataset", exact=True).select_option("")
    assert again.locator(".curves-pane:visible canvas").count() == 2


@pytest.mark.slow
def test_a_click_in_the_legend_hides_in_all_panels(opened):
    page = opened()
    entry(page, "nshb").click()
    assert {(row["panel"], row["line"]) for row in table(page)} == {
        *(("digits", "shb"), ("wine", "shb"), ("wine", "adam")),
    }
    entry(page, "adam").dblclick()
    assert {(row["panel"], row["line"]) for row in table(page)} == {("wine", "adam")}
    entry(page, "adam").dblclick()
    assert page.evaluate("location.hash") == ""


@pytest.mark.slow
def test_each_panel_is_pointed_at_zoomed_and_read_by_itself(opened):
    page = opened("#x=steps")
    first, second = page.locator(".curves-pane").all()
    area = second.locator(".u-over").bounding_box()
    y = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + 0.02 * area["width"], y)
    assert second.locator(".curves-box tr").count() == 3
    assert first.locator(".curves-box").is_hidden()
    page.mouse.down()
    page.mouse.move(area["x"] + 0.5 * area["width"], y, steps=4)
    page.mouse.up()
    reach = {name: max(float(row["x"]) for row in table(page) if row["panel"] == name) for name in PANELS}
    assert reach["wine"] < reach["digits"]
    assert first.get_by_role("button", name="Reset zoom").is_hidden()
    second.get_by_role("button", name="Reset zoom").click()
    assert second.get_by_role("button", name="Reset zoom").is_hidden()
    plot = first.locator(".curves-plot")
    plot.focus()
    plot.press("End")
    assert page.locator(".curves-live").inner_text().startswith("18 steps: ")
    assert first.get_by_role("img").get_attribute("aria-label").startswith("By data set, dataset digits: ")


@pytest.mark.slow
def test_what_exploded_leaves_a_linear_plot_and_is_said(opened, frame):
    page = opened("#metric=train_loss&y=linear&run=plain")
    note = "1 run that diverged leaves the plot (▲▼): a logarithmic y shows all that is above 0"
    assert note in page.locator(".curves-notes").inner_text()
    drawn = curves(frame.where(dataset="wine"), Metric("train_loss"), "samples", "optimizer", log=False)
    means = np.concatenate([line.mean for line in drawn])
    height = means.max() - means.min()
    ticks = page.evaluate(
        "() => { const data = JSON.parse(document.querySelector('script.curves-data').textContent);"
        "const view = { metric: 'train_loss', y: 'linear', run: 'plain' };"
        "const scene = batchlab.scene(data, batchlab.compute(data, view, 1), data.names, 'light');"
        "return [scene.yRange(), scene.exits().length]; }"
    )
    (low, high), left = ticks
    assert left == 1
    assert means.max() < high <= means.max() + 1.09 * height + 1e-9  # one height more, and a little room
    assert low > means.min() - 1.3 * height
    page.get_by_label("y", exact=True).select_option("log")
    assert "leaves the plot" not in page.locator(".curves-notes").inner_text()


@pytest.mark.slow
def test_a_picture_holds_every_panel(opened):
    page = opened()
    with page.expect_download() as event:
        page.get_by_role("button", name="SVG", exact=True).click()
    svg = ET.parse(event.value.path()).getroot()
    said = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"dataset digits", "dataset wine", "By data set"} <= {*said}
    assert said.count("samples") == 2
    assert len({clip.get("id") for clip in svg.iter("{http://www.w3.org/2000/svg}clipPath")}) == 2
    with page.expect_download() as event:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert event.value.path().read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_panels_are_accessible_and_within_the_page(opened, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    serious = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []
