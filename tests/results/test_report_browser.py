"""The report in a browser: every control is used, and what it shows is what `batchlab table` says."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex

import pytest
from markupsafe import Markup
from test_report_page import many
from test_reproduction import paper  # noqa: F401  # a fixture

from batchlab.results.compare.table import load_table
from batchlab.results.report.assets import fill, scripts, styles
from batchlab.results.report.runlist import PAGE, PAPER, run_list
from batchlab.results.report.write import write_report
from batchlab.results.show.render import render
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.runs import SweepEntry

pytestmark = pytest.mark.slow
DESK = {"width": 1440, "height": 900}
RATES = (0.001, 0.01, 0.1)


@pytest.fixture(scope="module")
def store(paper, curve):  # noqa: F811
    """A paper's sweep with its claims, and a sweep of a user's own: two optimizers, three rates, eight seeds."""
    entries = []
    for optimizer in ("adam", "lion"):
        for rate in RATES:
            for seed in range(8):
                good = 0.9 - 0.2 * abs(RATES.index(rate) - 1) - 0.01 * seed + 0.02 * (optimizer == "lion")
                run_id = f"{optimizer}-{rate}-{seed}"
                run = paper.run(run_id, curve([0.1, 0.6 * good, good]), optimizer=optimizer, seed=seed, lr=rate)
                run.write_state(train_seconds=500.0 * (1 + (7 * seed) % 5))
                overrides = [f"optimizer={optimizer}", f"optimizer.lr={rate}", f"seed={seed}"]
                entries.append(SweepEntry(run_id, {}, overrides))
    paper.store.write_sweep("mine", entries)
    return paper.store


@pytest.fixture(scope="module")
def report(store, tmp_path_factory):
    return write_report(store, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(chromium, report):
    """Opens the report; says if the page had an error or asked the network."""
    contexts, faults = [], []

    def at(size=DESK, scheme="light", hash="", **more):
        context = chromium.new_context(viewport=size, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "blob:", "data:")) else faults.append(asked.url),
        )
        page.goto(report.as_uri() + hash)
        return page

    yield at
    for context in contexts:
        context.close()
    assert faults == []


def told(store, sweep=None, **asked):
    """What `batchlab table --format csv` prints, as records."""
    return [*csv.DictReader(io.StringIO(render(table_sheet(load_table(store, sweep=sweep, **asked)), "csv")))]


def column(page, key):
    """What the list of runs shows in a column."""
    place = page.locator("#runs thead th").evaluate_all(
        "(all, key) => all.findIndex((th) => th.dataset.key === key)", key
    )
    return page.locator(f"#runs tbody tr td:nth-child({place + 1})").all_inner_texts()


UNITS = {"h": 3600, "min": 60, "s": 1}


def number(text):
    """Of a cell: `1,234.5`, or a time in seconds (`4 min 05 s`)."""
    words = text.split()
    if words[-1] in UNITS:
        return sum(float(n.replace(",", "")) * UNITS[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    return float(text.replace(",", ""))


def test_the_runs_say_what_the_table_says(opened, store):
    page = opened()
    known = {record["run_id"]: 100 * float(record["mean"]) for record in told(store, rows=["run_id"])}
    shown = {}
    for _ in range(9):
        shown |= dict(zip(column(page, "run"), map(number, column(page, "test_accuracy")), strict=True))
        if page.locator("#runs .pages button").nth(1).is_disabled():
            break
        page.get_by_role("button", name="Later runs").click()
    assert shown == pytest.approx(known, abs=0.0051)
    page.get_by_role("button", name="Earlier runs").click()
    assert page.locator("#runs .shown").inner_text().startswith("1 to") or "r.page" in page.url


def test_each_column_sorts_both_ways_and_the_address_keeps_it(opened):
    page = opened()
    for head in page.locator("#runs thead th[data-key]").all():
        key = head.get_attribute("data-key")
        numeric = "right" in (head.get_attribute("class") or "")
        for way, state in ((1, "ascending"), (-1, "descending")):
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == state
            found = [text for text in column(page, key) if text != "–"]
            values = [number(text) for text in found] if numeric else found
            assert values[0] == (min(values) if way == 1 else max(values))
            assert not numeric or values == sorted(values, reverse=way < 0)
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") is None
    page.locator("#runs th[data-key='test_accuracy'] button").click(click_count=2)
    best = column(page, "run")[0]
    again = opened(hash="#" + page.url.partition("#")[2])
    assert column(again, "run")[0] == best
    assert again.locator("#runs th[data-key='test_accuracy']").get_attribute("aria-sort") == "descending"


def test_filters_leave_the_runs_that_they_name(opened, store):
    page = opened()
    page.locator("#runs").get_by_label("optimizer", exact=True).select_option("lion")
    page.locator("#runs").get_by_label("optimizer.lr", exact=True).select_option("0.1")
    known = {record["run_id"] for record in told(store, rows=["run_id"], where=["optimizer=lion", "optimizer.lr=0.1"])}
    assert {*column(page, "run")} == known
    total = len(told(store, rows=["run_id"]))
    assert page.locator("#runs .shown").inner_text() == f"1 to 8 of 8 runs (of {total} in all)"
    page.get_by_label("search").fill("0.1-7 lion")
    assert column(page, "run") == ["lion-0.1-7"]
    assert "r.text=0.1-7%20lion" in page.url
    assert column(opened(hash="#" + page.url.partition("#")[2]), "run") == ["lion-0.1-7"]
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(f"document.querySelectorAll('#runs tbody tr').length === {PAGE}")
    assert page.get_by_label("search").input_value() == ""
    assert "r." not in page.url.partition("#")[2]


def test_a_key_with_a_value_is_searched_for_whole_and_a_word_in_any_part(opened, store):
    page = opened()
    search = page.get_by_label("search")
    every = told(store, rows=["run_id", "optimizer", "optimizer.lr"])

    def left(**wanted):
        return sum(all(record[key] == value for key, value in wanted.items()) for record in every)

    def found(text):
        search.fill(text)
        return int(re.search(r"([\d,]+) run", page.locator("#runs .shown").inner_text())[1].replace(",", ""))

    rates = {record["optimizer.lr"] for record in every}
    assert {"0.1", "0.01", "0.001"} <= rates
    for rate in rates:
        for key in ("lr", "optimizer.lr", "OPTIMIZER.LR"):
            assert found(f"{key}={rate}") == left(**{"optimizer.lr": rate})
    assert found("lr=0.100") == left(**{"optimizer.lr": "0.1"}), "a number is the same however it is written"
    assert found("lr=0.1 optimizer=lion") == left(**{"optimizer.lr": "0.1", "optimizer": "lion"}) == 8
    assert found('lr="0.1" optimizer="lion"') == 8
    assert found("optimizer=lio") == 0
    assert found("optimizer=") == len(every), "who types is not told that there is nothing"
    assert found("lio") == left(optimizer="lion") == 24
    assert found("none=0.1") == 0, "no column is called so"
    assert found("lion-0.0") == 16, "0.01 and 0.001"
    assert "KEY=VALUE" in search.get_attribute("title")
    assert "lr=0.1" in search.get_attribute("placeholder")


def test_paper_has_every_run_that_is_left_and_says_how_many_are_not_printed(opened):
    page = opened()
    total = int(re.search(r"of ([\d,]+) runs", page.locator("#runs .shown").inner_text())[1])
    assert total > PAGE
    assert page.locator("#runs .onpaper").inner_text() == f"; print has all {total}"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#runs tbody tr").count() == total
    assert page.locator("#runs .shown").inner_text() == f"1 to {total} of {total} runs"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("#runs tbody tr").count() == PAGE
    page.get_by_label("search").fill("optimizer=lion")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#runs tbody tr").count() == 24
    assert page.locator("#runs .onpaper").inner_text() == ""


def test_of_more_runs_than_paper_holds_the_first_are_printed(chromium, tmp_path):
    status, frame = many(PAPER + 7)
    markup = run_list(status, frame, ["seed"], ["test_accuracy"], []).html()
    body = Markup('<nav></nav><section id="runs">{}</section><p id="said"></p>').format(markup)
    file = tmp_path / "page.html"
    file.write_text(str(fill("page", title="runs", style=styles(), body=body, script=scripts(), follow="")))
    page = chromium.new_page()
    page.goto(file.as_uri())
    assert page.locator("#runs .onpaper").inner_text() == f"; print has the first {PAPER}"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#runs tbody tr").count() == PAPER
    said = page.locator("#runs .shown").inner_text()
    assert (
        said
        == f"1 to {PAPER} of {PAPER + 7} runs; 7 are not printed: a filter leaves fewer, and batchlab runs list has all"
    )
    page.close()


def test_every_menu_can_be_chosen_from(opened):
    page = opened()
    for menu in page.locator("#runs form select").all():
        value = menu.locator("option").nth(1).get_attribute("value")
        menu.select_option(value)
        assert {*column(page, menu.get_attribute("name"))} == {value.removeprefix("=")}
        menu.select_option("")


def test_an_anchor_leads_to_its_claim_and_keeps_the_view(opened):
    page = opened(hash="#r.text=lion")
    link = page.locator("table.claims a").first
    name = link.get_attribute("href").removeprefix("#")
    link.click()
    assert page.evaluate("document.activeElement.id") == name
    assert page.evaluate("location.hash") == "#r.text=lion", "it can still be sent on"
    assert page.get_by_label("search").input_value() == "lion"


def test_verdicts_on_top_are_those_of_the_details(opened):
    page = opened()
    page.locator("details.rest summary").first.click()
    groups = page.locator("table.claims tbody").all()
    assert groups
    known = page.locator("figure.deck tbody tr[id*='-claim-']").count()
    told = 0
    for group in groups:
        place, n = group.locator("a").first.get_attribute("href").rsplit("-", 1)
        names = [link.get_attribute("href") for link in group.locator("a").all()]
        lines = group.locator("tr").all()
        rows = names if len(names) == len(lines) else [f"{place}-{int(n) + i}" for i in range(len(lines))]
        for line, name in zip(lines, rows, strict=True):
            row = page.locator(name).inner_text()
            for text in (line.locator(".verdict").inner_text(), line.locator(".effect").inner_text()):
                assert all(part in row for part in text.split("\n") if part != "–")
            told += 1
    assert told == known, "each claim has a line"


def copied(page, button):
    button.scroll_into_view_if_needed()
    button.click()
    page.wait_for_function("button => button.textContent === 'Copied'", arg=button.element_handle())
    return page.evaluate("navigator.clipboard.readText()")


def test_buttons_copy_commands_and_tables(opened, store):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("search").fill("lion-0.001-3")
    words = shlex.split(copied(page, page.get_by_role("button", name="Copy the command of run lion-0.001-3")))
    assert words[:2] == ["batchlab", "train"]
    assert {"optimizer=lion", "optimizer.lr=0.001", "seed=3"} <= {*words}
    section = page.locator("section", has=page.locator("h2", has_text="Sweep mine"))
    table = load_table(store, rows=["optimizer", "optimizer.lr"], metrics=["test_accuracy"], sweep="mine")
    for name in ("LaTeX", "CSV"):
        button = section.get_by_role("button", name=f"Copy as {name}").first
        assert copied(page, button) == render(table_sheet(table), name.lower())
    paper_command = page.locator("#runs .sweeps li", has_text="reproduce").get_by_role("button")
    assert copied(page, paper_command).startswith("batchlab reproduce sgdm_schedules --scale")


def test_curves_are_mounted_as_they_come_near_and_nothing_moves(opened):
    page = opened()
    figure = page.locator("section", has=page.locator("h2", has_text="Sweep mine")).locator("figure.curves").first
    figure.scroll_into_view_if_needed()
    page.wait_for_function("figure => figure.classList.contains('mounted')", arg=figure.element_handle())
    assert figure.locator("canvas").count() >= 1


def test_without_a_script_runs_verdicts_and_figures_are_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("table.claims tbody tr").count() > 0
    assert page.locator("#runs tbody tr:visible").count() > PAGE
    assert page.locator("figure.curves svg").first.is_visible()
    assert not page.locator("#runs form").is_visible()
    assert json.loads(page.locator("#runs-data").text_content())["columns"]
