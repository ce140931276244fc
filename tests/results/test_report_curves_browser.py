"""Interactive curves in a browser: its numbers are Python's, and every control does what it says."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections import defaultdict

import numpy as np
import pytest
from curves_page import CHROMIUM, write_page

from batchlab.results.compare.curves import curves
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import t_quantile
from batchlab.results.report.curves import payload

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need {CHROMIUM}"),
]

METRICS = ("test_accuracy", "min:train_loss", "gap")
CLOCKS = ("samples", "steps", "epochs", "gradients", "seconds")
COMPUTE = """([i, view]) => {
  const data = document.querySelectorAll("script.curves-data")[i].textContent;
  const flat = (_, v) => ArrayBuffer.isView(v) ? Array.from(v, (n) => (Number.isFinite(n) ? n : String(n))) : v;
  return JSON.stringify(batchlab.curves.compute(JSON.parse(data), view), flat);
}"""


def rows_of(rng, n, *, pace=1.0, step=64):
    """Rows of three metrics: a share, a loss with a trend, and a gap that ends in rounding."""
    losses = 2 * np.exp(-np.arange(n) / 5) * np.exp(0.2 * rng.normal(size=n)) + 0.01
    seconds = np.cumsum(rng.uniform(0.3, 0.7, n)) * pace
    rows = [
        {"samples": step * i, "steps": 2 * i, "epoch": float(i), "gradients": 2 * step * i}
        | {"train_seconds": float(seconds[i]), "train_loss": float(loss), "gap": float(loss - 0.06)}
        | {"test_accuracy": float(np.clip(1 - loss / 3, 0, 1))}
        for i, loss in enumerate(losses)
    ]
    if n > 4:
        rows[3]["train_seconds"] = rows[2]["train_seconds"]  # a clock that stood still
    return rows


@pytest.fixture(scope="module")
def frame(shared_lab):
    """Lines with other lengths, paces and seeds, repeats, runs that were lost, and times that seeds share."""
    rng, lab = np.random.default_rng(0), shared_lab
    for seed in range(4):
        lab.run(f"a{seed}", rows_of(rng, 12), optimizer="adam", seed=seed)
        lab.run(f"b{seed}", rows_of(rng, 15 + seed, pace=0.5, step=48), optimizer="shb", seed=seed)
        run = lab.run(f"t{seed}", rows_of(rng, 10), optimizer="together", seed=seed)
        run.write_state(state="done", fused=4)
    for again in (False, True):
        lab.run(f"c{again}", rows_of(rng, 9), optimizer="repeated", seed=1, train_accuracy=again)
    lab.run("c2", rows_of(rng, 11), optimizer="repeated", seed=2)
    lab.run("d1", rows_of(rng, 6), "diverged", optimizer="shb", seed=7)
    lab.run("d2", rows_of(rng, 3), "interrupted", optimizer="adam", seed=8)
    lab.run("d3", rows_of(rng, 4), "diverged", optimizer="lost", seed=1)
    lab.run("e", rows_of(rng, 420, step=8), optimizer="long & <wide>", seed=3)
    return load(lab.store)


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(frame, tmp_path_factory):
    """A page of two figures, far apart."""
    made = [
        payload(frame, METRICS, "optimizer", title="By optimizer"),
        payload(frame, ("gap", "test_accuracy"), "optimizer,seed", title="By optimizer and seed", baseline="adam 1"),
    ]
    path = tmp_path_factory.mktemp("page") / "curves.html"
    return write_page(path, made, between="<div style='height: 4000px'></div>")


@pytest.fixture
def opened(chromium, file):
    """Opens the page, and sees that no script failed."""
    contexts, errors = [], []

    def at(view="", width=1200, **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: errors.append(asked.url) if not asked.url.startswith(("file:", "data:", "blob:")) else None,
        )
        page.goto(f"{file.as_uri()}{view}")
        return page

    yield at
    for context in contexts:
        context.close()
    assert errors == []


def computed(page, figure=0, **view):
    """What the browser computes for a view, with arrays as they are here."""
    made = json.loads(page.evaluate(COMPUTE, [figure, view]))
    for line in made["lines"]:
        for track in (line, *line["lost"], *line["seeds"]):
            track |= {
                key: np.array(track[key], dtype=float) for key in ("x", "y", "mean", "low", "high") if key in track
            }
    return made


def near(found, wanted):
    """Whether numbers are equal, to what 32 bits hold of those that they were made of."""
    size = np.nanmax(np.abs(wanted), initial=0)  # the end of an interval may lie at 0
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * size, equal_nan=True)


def test_every_view_is_what_python_draws(opened, frame):
    page = opened()
    for name, clock, log, best in itertools.product(METRICS, CLOCKS, (False, True), (False, True)):
        column = name.removeprefix("min:")
        known = Metric.parse(column).of(frame)
        metric = Metric.parse(f"{'max' if column == 'test_accuracy' else 'min'}:{column}" if best else column).of(frame)
        assert known.name == column
        wanted = curves(frame, metric, clock, "optimizer", log=log)
        made = computed(page, metric=column, x=clock, y="log" if log else "linear", run="best" if best else "plain")
        assert [line["name"] for line in made["lines"]] == [line.value for line in wanted]
        for found, line in zip(made["lines"], wanted, strict=True):
            assert (found["n"], found["diverged"], len(found["lost"])) == (line.n, line.diverged, len(line.lost))
            if found["name"].startswith("long") and (clock == "seconds" or (log and column == "gap")):
                continue  # thinned before rows are left out that are at one place, or not above 0
            for key in ("x", "mean", "low", "high"):
                near(found[key], getattr(line, key))
            for track, lost in zip(found["lost"], line.lost, strict=True):
                near(track["x"], lost.x)
                near(track["y"], lost.y)
        bands = {line["name"] for line in made["lines"] if line["band"]}
        assert bands == {"adam", "shb"} | ({"together"} if clock != "seconds" else set())


def tracks(frame, optimizer, column, clock_column):
    """The runs of an optimizer that are done, by seed: pairs of x and y, as recorded."""
    found = defaultdict(list)
    values, ticks = frame.column(column)[0], frame.column(clock_column)[0]
    for run in frame.where(optimizer=optimizer).runs:
        if run.state == "done":
            x, y = ticks[run.rows], values[run.rows]
            last = np.append(np.diff(x) > 0, True)
            found[run.value("seed")].append((x[last], y[last]))
    return found


def read(own, x, log):
    """Repeats averaged, by seed, on x."""
    scale = np.log if log else np.asarray
    return {seed: np.mean([np.interp(x, a, scale(b)) for a, b in runs], axis=0) for seed, runs in own.items()}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("clock", "column"), [("samples", "samples"), ("seconds", "train_seconds")])
def test_relative_to_a_baseline_within_seeds(opened, frame, clock, column, log):
    made = computed(opened(), metric="train_loss", x=clock, run="plain", y="log" if log else "linear", base="adam")
    base = tracks(frame, "adam", "train_loss", column)
    lines = {line["name"]: line for line in made["lines"]}
    for name, n in (("shb", 4), ("repeated", 2), ("adam", 4)):
        own, line = tracks(frame, name, "train_loss", column), lines[name]
        seeds = sorted(set(own) & set(base))
        both = [track for side in (own, base) for seed in seeds for track in side[seed]]
        x = np.unique(np.concatenate([a for a, _ in both]))
        x = x[(x >= max(a[0] for a, _ in both)) & (x <= min(a[-1] for a, _ in both))]
        mine, theirs = read(own, x, log), read(base, x, log)
        pairs = np.array([mine[seed] - theirs[seed] for seed in seeds])
        half = t_quantile(n - 1) * pairs.std(axis=0, ddof=1) / math.sqrt(n)
        back = np.exp if log else np.asarray
        assert line["n"] == n
        near(line["x"], x)
        for key, wanted in (("mean", 0), ("low", -half), ("high", half)):
            np.testing.assert_allclose(line[key], back(pairs.mean(axis=0) + wanted), rtol=1e-5, atol=1e-6)
    assert lines["long & <wide>"]["n"] == 1
    assert lines["lost"]["n"] == 0
    assert len(lines["lost"]["lost"]) == 1  # its seed is one of the baseline's, as far as it came


@pytest.mark.parametrize("log", [False, True])
def test_medians_and_quartiles(opened, frame, log):
    made = computed(
        opened(), metric="train_loss", x="seconds", run="plain", y="log" if log else "linear", stat="median"
    )
    back = np.exp if log else np.asarray
    for line in made["lines"]:
        if line["name"] in ("adam", "shb"):
            own = np.array(
                list(read(tracks(frame, line["name"], "train_loss", "train_seconds"), line["x"], log).values())
            )
            for key, share in (("mean", 0.5), ("low", 0.25), ("high", 0.75)):
                near(line[key], back(np.quantile(own, share, axis=0, method="linear")))


def test_every_seed_on_its_own_rows(opened, frame):
    made = computed(opened(), metric="test_accuracy", x="steps", stat="seeds")
    lines = {line["name"]: line for line in made["lines"]}
    own = tracks(frame, "shb", "test_accuracy", "steps")
    assert [one["seed"] for one in lines["shb"]["seeds"]] == [str(seed) for seed in own]
    for found, ((x, y),) in zip(lines["shb"]["seeds"], own.values(), strict=True):
        near(found["x"], x)
        near(found["y"], y)
    assert [len(line["seeds"]) for line in made["lines"]] == [
        len({r.value("seed") for r in frame.where(optimizer=name).runs if r.state == "done"}) for name in lines
    ]


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
        assert value == f"{float(f'{100 * line.mean[0]:.4g}'):g} %"
        assert n == f"n {line.n}"
        if line.n > 2:
            low, high = (float(part) for part in interval.split(" to "))
            assert low == pytest.approx(max(0, 100 * line.low[0]), rel=1e-3)
            assert high == pytest.approx(min(100, 100 * line.high[0]), rel=1e-3)
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
    assert {row["line"] for row in table(place)} == set(names) - {"adam", "lost"}
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
    import xml.etree.ElementTree as ET

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
