"""The report's page as it is written: what it says, that it says what tables say, and that it can be read."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import os
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import load_table
from batchlab.results.report.assets import HERE, scripts, styles
from batchlab.results.report.own import _first
from batchlab.results.report.parts import Parts, apart, packed
from batchlab.results.report.runlist import PAGE, STILL, run_list
from batchlab.results.report.write import write_report
from batchlab.results.show.hypertext import to_html
from batchlab.results.show.render import render
from batchlab.results.show.runs_sheet import runs_sheet
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.status import RunStatus, Status, read_status
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.run import RunState, State
from batchlab.results.store.runs import Asked, SweepEntry

RATES = (0.01, 0.1)
SEEDS = range(4)


class Page(HTMLParser):
    """Names, links, texts of elements and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.names, self.links, self.tags, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.tags.append((tag, own))
        if "id" in own:
            self.names.append(own["id"])
        if tag == "a":
            self.links.append(own["href"])

    def handle_data(self, data):
        self.texts.append(data.strip())

    def of(self, tag, **wanted):
        return [own for name, own in self.tags if name == tag and wanted.items() <= own.items()]


def unpack(text):
    return zlib.decompress(base64.b64decode(text)).decode()


@pytest.fixture(scope="module")
def own(shared_lab, curve):
    """A sweep of a user's own: two optimizers, two rates, four seeds, with a validation metric; one run diverged."""
    entries = []
    for optimizer, best in (("adam", 0.01), ("shb", 0.1)):
        for rate in RATES:
            for seed in SEEDS:
                good = 0.9 - 0.3 * (rate != best) + 0.01 * seed + 0.02 * (optimizer == "shb")
                rows = [
                    row | {"validation_accuracy": row["test_accuracy"] - 0.05} for row in curve([0.1, 0.5 * good, good])
                ]
                run_id = f"{optimizer}-{rate}-{seed}"
                lost = (optimizer, rate, seed) == ("shb", 0.01, 3)
                state = "diverged" if lost else "done"
                run = shared_lab.run(run_id, rows, state, optimizer=optimizer, seed=seed, lr=rate)
                run.write_state(train_seconds=1000.0 * (1 + seed))
                overrides = [f"optimizer={optimizer}", f"optimizer.lr={rate}", f"seed={seed}"]
                entries.append(SweepEntry(run_id, {}, overrides))
    shared_lab.store.write_sweep("mine", entries)
    return shared_lab


@pytest.fixture(scope="module")
def page(own, tmp_path_factory):
    return write_report(own.store, tmp_path_factory.mktemp("page") / "report.html").read_text()


def test_no_file_of_the_page_ends_its_block_or_asks_the_network():
    assert "</script" not in scripts()
    assert "</style" not in styles()
    for path in (HERE / "assets").glob("page.*"):
        assert "http" not in path.read_text()


def test_names_are_unique_and_links_lead_somewhere(page):
    made = Page(page)
    assert len(made.names) == len({*made.names})
    assert {link.removeprefix("#") for link in made.links} <= {*made.names}
    assert made.links[0] == "#results", "the first thing a key reaches skips what is above"


def test_everything_drawn_or_pressed_says_what_it_is(page):
    made = Page(page)
    assert made.of("svg")
    for svg in made.of("svg"):
        assert svg["role"] == "img"
        assert svg["aria-label"] not in ("", "figure")
    for own in made.of("div", tabindex="0"):
        assert own["aria-label"]
    labels = [own.get("aria-label") for own in made.of("button") if "data-packed" in own]
    assert all(labels)
    assert {own.get("scope") for own in made.of("th")} <= {"col", "colgroup"}


def test_the_rows_of_an_own_sweep_are_what_was_swept_and_rates_are_not_pooled(own, page):
    rows = ["optimizer", "optimizer.lr"]
    metrics = ["test_accuracy"]
    asked = render(table_sheet(load_table(own.store, rows=rows, metrics=metrics, sweep="mine")), "csv")
    buttons = Page(page).of("button")
    copied = [unpack(own["data-packed"]) for own in buttons if "Copy as CSV" in own.get("aria-label", "")]
    assert asked in copied, "the table copies what the command prints"
    assert "were averaged" not in re.sub("<script.*?</script>", "", page, flags=re.DOTALL)


def test_an_own_sweep_has_each_contender_at_the_rate_that_validation_chose(own, page):
    metrics = ["validation_accuracy", "test_accuracy"]
    against = {"baseline": "optimizer=adam", "tuned": "optimizer.lr"}  # the first of the sweep
    tuned = load_table(own.store, rows=["optimizer"], metrics=metrics, sweep="mine", **against)
    asked = render(table_sheet(tuned), "csv")
    copied = [unpack(own["data-packed"]) for own in Page(page).of("button") if "CSV" in own.get("aria-label", "")]
    assert asked in copied
    assert any("adam 0.01, shb 0.1" in text for text in Page(page).texts)


def test_rates_that_were_tried_are_compared_with_nothing(page):
    text = re.sub(r"<script.*?</script>", "", page[page.index("<h2>Sweep mine</h2>") :], flags=re.DOTALL)
    tried, tuned = text.split("each at the optimizer.lr that validation chose", 1)
    assert "Δ" not in tried
    assert tuned[: tuned.index("</table>")].count("Δ") == 2, "of validation and of test"


def test_a_sweep_without_rates_compares_each_with_the_first(lab, curve):
    entries = []
    for level, optimizer in enumerate(("shb", "adam", "sgd")):
        for seed in range(3):
            name = f"{optimizer}{seed}"
            lab.run(name, curve([0.1, 0.5 + 0.1 * level + 0.01 * seed * seed]), optimizer=optimizer, seed=seed)
            entries.append(SweepEntry(name, {}, [f"optimizer={optimizer}", f"seed={seed}"]))
    lab.store.write_sweep("three", entries)
    page = write_report(lab.store, lab.store.root / "report.html").read_text()
    copied = [unpack(own["data-packed"]) for own in Page(page).of("button") if "CSV" in own.get("aria-label", "")]
    for sweep in ("three", None):  # the order is the sweep's, whether or not it is named
        asked = load_table(lab.store, metrics=["test_accuracy"], baseline="optimizer=shb", sweep=sweep)
        assert [row[0] for row in asked.rows] == ["shb", "adam", "sgd"]
        assert render(table_sheet(asked), "csv") in copied


def test_a_sweep_without_a_section_is_listed_with_where_its_runs_are(lab, curve):
    """`part` and `both` are of runs that later sweeps show; `waits` has none that began."""
    for name in ("a", "b", "c"):
        lab.run(name, curve([0.1, 0.5]), optimizer=name)
    grids = {"part": ["a"], "both": ["b", "c"], "waits": ["never"], "first": ["a", "b"], "second": ["c"]}
    for name, ids in grids.items():
        entries = [SweepEntry(own, {}, [f"optimizer={own}"]) for own in ids]
        lab.store.write_sweep(name, entries, asked=Asked("sweep", ("sweep", "--name", name)))
    times = {"part": 1, "both": 2, "waits": 3, "first": 4, "second": 5}
    for name, at in times.items():
        os.utime(lab.store.root / ".sweeps" / f"{name}.json", (at, at))
    page = write_report(lab.store, lab.store.root / "report.html").read_text()
    titles = dict(re.findall(r'<section id="(s\d+)">\s*<h2>([^<]*)</h2>', page))
    assert [title for title in titles.values() if title.startswith("Sweep")] == ["Sweep second", "Sweep first"]
    found = re.search(r'<ul class="sweeps">(.*?)</ul>', page, re.DOTALL)[1].split("</li>")
    leads = {
        re.search(r"<b>(?:<a[^>]*>)?(\w+)", line)[1]: [titles[place] for place in re.findall(r'href="#(s\d+)"', line)]
        for line in found
        if "<b>" in line
    }
    assert leads == {
        "part": ["Sweep first"],
        "both": ["Sweep second", "Sweep first"],
        "waits": [],
        "first": ["Sweep first"],
        "second": ["Sweep second"],
    }
    assert [*leads] == sorted(times, key=times.get, reverse=True), "the latest first, as sections and runs are"
    assert [re.search(r"<b>(\w+)", line)[1] for line in found if "shown in" in line] == ["both", "part"]
    assert ["none has begun" in line for line in found if "<b>waits" in line] == [True]
    copies = {own["aria-label"]: own["data-copy"] for own in Page(page).of("button") if "data-copy" in own}
    assert copies["Copy the command of sweep part"] == "batchlab sweep --name part"


def test_each_metric_of_the_table_is_a_choice_of_its_curves(lab, curve):
    for name in ("shb", "adam"):
        rows = [{**row, "test_loss": 2.0, "train_loss": 1.0} for row in curve([0.1, 0.5])]
        lab.run(name, rows, optimizer=name)
    page = write_report(lab.store, lab.store.root / "report.html").read_text()
    data = json.loads(re.search(r'class="curves-data">(.*?)</script>', page, re.DOTALL)[1])
    assert [metric["key"] for metric in data["metrics"]] == ["test_accuracy", "test_loss", "train_loss"]


def test_the_list_of_runs_says_what_the_table_says(own, page):
    data = json.loads(re.search(r'id="runs-data">(.*?)</script>', page, re.DOTALL)[1])
    columns = {c["key"]: c.get("texts") or [c["known"][i] for i in c["of"]] for c in data["columns"]}
    assert [*columns][:4] == ["run", "state", "test_accuracy", "train_seconds"], "what is always seen"
    assert {"optimizer", "optimizer.lr", "seed", "test_accuracy", "train_seconds"} <= {*columns}
    frame = load(own.store, columns=["test_accuracy"])
    values, _ = frame.column("test_accuracy")
    for run in frame.runs:
        i = columns["run"].index(run.run_id)
        assert columns["state"][i] == run.state
        if run.state is State.DIVERGED:
            assert columns["test_accuracy"][i] == "–"
        else:
            assert float(columns["test_accuracy"][i]) == pytest.approx(100 * values[run.rows][-1], abs=0.005)
        times = ("16 min 40 s", "33 min 20 s", "50 min 00 s", "1 h 06 min")
        assert columns["train_seconds"][i] == times[run.value("seed")]
        assert (columns["optimizer"][i], columns["seed"][i]) == (run.value("optimizer"), str(run.value("seed")))
        words = [data["words"][k] for k in data["commands"][i]]
        assert f"optimizer.lr={run.value('optimizer.lr')}" in words or run.value("optimizer") == "shb"


def test_a_time_is_sorted_by_its_seconds_and_a_header_may_break_at_its_dots():
    status, frame = many(3)
    states = {run_id: replace(state, info={"train_seconds": 50.0 * i}) for i, (run_id, state) in
              enumerate(status.states.items())}  # fmt: skip
    made = run_list(replace(status, states=states), frame, ["optimizer.lr"], [], [])
    columns = {column.key: column for column in made.columns}
    assert columns["train_seconds"].texts == ["0 s", "50.0 s", "1 min 40 s"]
    assert columns["train_seconds"].compact()["by"] == [0.0, 50.0, 100.0]
    assert "optimizer.<wbr>lr</button>" in made.html()


def test_a_value_is_written_alike_in_the_list_and_in_tables(lab, curve):
    for rate in (1e-9, 0.3, 1e9):
        lab.run(f"r{rate}", curve([0.1, 0.9]), lr=rate, optimizer="adam")
    made = run_list(read_status(lab.store), load(lab.store), ["optimizer.lr"], [], [])
    listed = next(column for column in made.columns if column.key == "optimizer.lr").texts
    table = table_sheet(load_table(lab.store, rows=["optimizer.lr"], metrics=["test_accuracy"]))
    assert {*listed} == {row[0].text for row in table.rows} == {"1e-9", "0.3", "1e9"}


def test_an_axis_that_is_the_same_for_all_has_no_column():
    status, frame = many(3)
    made = run_list(status, frame, ["optimizer.lr", "model", "dataset"], ["test_accuracy"], [])
    assert not {"model", "dataset", "optimizer"} & {column.key for column in made.columns}


def test_many_notes_are_folded_and_backquotes_are_code():
    notes = [f"note {i}: `batchlab <status>`" for i in range(9)]
    sheet = Sheet("a", [Column(("x",))], [[Text("1")]], notes)
    text = to_html(sheet)
    seen, folded = text.split("<details class='notes'>")
    assert (seen.count("<li>"), folded.count("<li>")) == (3, 6)
    assert "<summary>how to read this: 6 more notes</summary>" in folded
    assert folded.count("<code>batchlab &lt;status&gt;</code>") == 6
    assert "<details" not in to_html(replace(sheet, notes=notes[:4])), (
        "one more note takes no more room than the asking"
    )


def many(n):
    """So many runs of a sweep, in memory."""
    config = {"model": {"name": "mlp", "hidden": [16]}, "dataset": {"name": "digits"}, "train": {"epochs": 3.0}}
    rows, states = [], {}
    for i in range(n):
        own = {"optimizer": {"name": "adamw", "lr": 1e-4 * (1 + i % 50)}, "seed": i // 50} | config
        info = {"train_seconds": 1.5 * i}
        rows.append(RunRow(f"{i:012x}", State.DONE, None, info, own, {}, {}))
        states[f"{i:012x}"] = RunState(State.DONE, None, info)
    known = [RunStatus(run.run_id, run.state, None, {}, [f"seed={run.value('seed')}"], {}) for run in rows]
    import pyarrow as pa

    return Status(known, None, "runs", states=states), Frame(rows, pa.table({}), frozenset(), [])


def test_thousands_of_runs_stay_small_and_the_first_are_there_without_a_script():
    status, frame = many(5000)
    text = run_list(status, frame, ["optimizer.lr", "seed"], ["test_accuracy"], []).html()
    assert len(text.encode()) < 1 << 20
    rows = text[text.index("<tbody") : text.index("</tbody>")]
    assert rows.count("<tr") == STILL
    assert rows.count('class="later"') == STILL - PAGE
    assert f"The first {STILL} of 5,000 runs" in text


def test_runs_that_differ_in_what_no_sweep_names_have_a_column_of_it():
    """As those of a recipe, whose labels say the batch and whose overrides do not."""
    status, frame = many(2)
    rows = [
        replace(run, config=frame.runs[0].config | {"batch_schedule": {"size": 2**i}})
        for i, run in enumerate(frame.runs)
    ]
    made = run_list(status, replace(frame, runs=rows), ["optimizer.lr"], ["test_accuracy"], [])
    assert {column.key: column.texts for column in made.columns}["batch_schedule.size"] == ["1", "2"]


def test_who_never_began_is_in_the_list_and_has_no_command(lab, curve):
    lab.run("a", curve([0.1, 0.9]))
    lab.store.write_sweep("mine", [SweepEntry("a", {}, ["seed=0"]), SweepEntry("b", {}, ["seed=1"])])
    status = read_status(lab.store)
    made = run_list(status, load(lab.store), ["seed"], ["test_accuracy"], [])
    columns = {column.key: column.texts for column in made.columns}
    assert columns["state"] == ["done", "pending"]
    assert columns["seed"] == ["0", "1"]
    assert columns["test_accuracy"] == ["90.00", "–"]
    assert made.commands[1] is None


def test_a_name_is_escaped_wherever_it_stands(lab, curve, tmp_path):
    name = "</script><b>x</b>&\"'"
    for seed in (0, 1):
        for optimizer in (name, "other"):
            lab.run(f"{optimizer == name}{seed}", curve([0.1, 0.9]), optimizer=optimizer, seed=seed)
    entries = [SweepEntry(f"{odd}{seed}", {name: str(odd)}, []) for odd in (True, False) for seed in (0, 1)]
    lab.store.write_sweep("mine", entries)
    text = write_report(lab.store, tmp_path / "a.html").read_text()
    assert "</script><b>" not in text
    assert "<b>x</b>" not in text
    assert not Page(text).of("script", src="x")
    data = json.loads(re.search(r'id="runs-data">(.*?)</script>', text, re.DOTALL)[1])
    assert name in [column["title"] for column in data["columns"]]


def test_buttons_copy_what_is_printed():
    sheet = Sheet("a", [Column(("x",))], [[Text("1 %")]], records=[{"x": 1}])
    buttons = Page(str(Parts().sheet(sheet))).of("button")
    copied = [unpack(own["data-packed"]) for own in buttons]
    assert copied == [render(sheet, "latex"), render(sheet, "csv")]
    assert unpack(packed("é" * 10)) == "é" * 10
    assert not Page(str(Parts().sheet(Sheet("none", [], [])))).of("button"), "there is nothing to copy"


def test_two_figures_share_no_name():
    svg = '<svg><defs><clipPath id="p1"/></defs><g clip-path="url(#p1)"/><use xlink:href="#p1"/>id="x"</svg>'
    made = apart(svg, "f3")
    assert 'id="f3-p1"' in made
    assert "url(#f3-p1)" in made
    assert 'xlink:href="#f3-p1"' in made
    assert made.endswith('id="x"</svg>'), "what it says stays"


def test_an_axis_that_is_called_like_a_column_stays_in_the_csv(lab, curve):
    entries = []
    for seed, (note, best) in itertools.product(range(3), (("first", 7), ("second", 8))):
        lab.run(f"{note}{seed}", curve([0.1, 0.5 + 0.1 * seed]), seed=seed)
        entries.append(SweepEntry(f"{note}{seed}", {"note": note, "best": best}, []))
    lab.store.write_sweep("named", entries)
    made = load_table(lab.store, rows=["note", "best"], metrics=["test_accuracy"], sweep="named")
    rows = [*csv.DictReader(io.StringIO(render(table_sheet(made), "csv"), newline=""))]
    assert [(row["note (axis)"], row["best (axis)"]) for row in rows] == [("first", "7"), ("second", "8")]
    assert {row["note"] for row in rows} == {""}


def test_contenders_are_compared_with_the_first_that_has_a_row(frame_of):
    """One that lacks a key of the rows is not in the table: nothing can be compared with it."""
    loss = {"train_loss": 1.0}
    frame = frame_of([({"seed": 0} | own, loss) for own in ({"a": "x"}, {"a": "y", "k": 1}, {"a": "y", "k": 2})])
    assert _first(frame, ["a", "k"]) == {"a": "y", "k": 1}
    assert _first(frame, ["a"]) == {"a": "x"}
    assert _first(frame, ["k"]) == {"k": 1}
    assert _first(frame.where(a="x"), ["a"]) is None, "alone"


def test_what_a_failed_run_reached_is_no_result_on_the_page_nor_in_the_list(lab, curve):
    for seed, state in enumerate(("done", "failed", "diverged")):
        lab.run(f"a{seed}", curve([0.1, 0.25 + 0.25 * seed]), state, seed=seed)
    lab.store.write_sweep("s", [SweepEntry(f"a{seed}", {}, [f"seed={seed}"]) for seed in range(4)])
    every = load(lab.store)
    listed = runs_sheet(every, Metric("test_accuracy"))
    assert {row[0].text: row[-1].text for row in listed.rows} == {"a0": "25.00", "a1": "–", "a2": "–"}
    page = run_list(read_status(lab.store), every, ["seed"], ["test_accuracy"], [])
    (column,) = [column for column in page.columns if column.key == "test_accuracy"]
    assert sorted(column.texts) == ["25.00", *"–––"]


def test_where_they_ran_says_which_runs_it_leaves_out(lab, curve, tmp_path):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.1, 0.5]), seed=seed)
    lab.store.write_sweep("s", [SweepEntry(f"a{seed}", {}, [f"seed={seed}"]) for seed in range(3)])
    said = "1 run of 3 left out: not begun, or lost before they said where they ran"
    assert said in write_report(lab.store, tmp_path / "a.html").read_text()
    lab.run("a2", curve([0.1, 0.5]), seed=2)
    assert "left out: not begun" not in write_report(lab.store, tmp_path / "b.html").read_text()
