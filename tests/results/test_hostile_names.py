"""Names, labels and reasons may hold anything, and are only shown: no escape, formula, markup or script of theirs."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.results.compare.table import load_table
from batchlab.results.report.write import write_report
from batchlab.results.show.figure import load_figure
from batchlab.results.show.render import FORMATS, FORMULA, render
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.status import read_status
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.words import HIDDEN, visible

CLEAR = "\x1b[2J\x1b]0;title\x07"
LINK = "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\"
BACKWARDS = "\u202egnp.exe"
FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\r=1", " =1", "\uff1d1+1"]
MARKUP = ["[red]x[/red]", "[link=http://evil.example]x[/link]", ":bomb:", "[bold"]
SCRIPT = "<script>alert(1)</script>"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What rich writes itself."""


def sheet(text: str) -> Sheet:
    """With a text wherever there can be one."""
    return Sheet(
        text,
        [Column((text, text)), Column(("n",), "right")],
        [[Text(text, bold=True, detail=text), Text("3")]],
        [text],
        [{text or "empty": text, "mean": -0.5}],
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", [CLEAR, LINK, BACKWARDS, "a\x00b", "\x9b31m", "\x7f", "a\rb", "\ufeff=1", "a\tb"])
def test_no_control_character_is_left_in_any_format(format: str, text: str) -> None:
    made = COLOURS.sub("", render(sheet(text), format, color=True))
    assert not HIDDEN.search(made)
    assert "\t" not in made
    assert "\ufeff" not in made
    assert "x1b" in made or "\x1b" not in text


@given(st.text(st.characters(codec="utf-8"), max_size=30))
@settings(max_examples=200, deadline=None)
def test_nor_of_any_text(text: str) -> None:
    for format in FORMATS:
        assert not HIDDEN.search(render(sheet(text), format))


@pytest.mark.parametrize("text", MARKUP)
def test_a_terminal_shows_markup_as_it_is(text: str) -> None:
    assert text in render(sheet(text), "rich", width=200)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_spreadsheet_calculates_nothing(text: str) -> None:
    names, cells = csv.reader(io.StringIO(render(sheet(text), "csv")))
    for cell in (names[0], cells[0]):
        assert cell.startswith("'")
    assert cells[1] == "-0.5"


@given(st.text(max_size=20) | st.floats().map(str) | st.integers().map(str))
def test_numbers_stay_numbers_and_what_else_begins_as_formulas_do_does_not(text: str) -> None:
    _, cells = csv.reader(io.StringIO(render(sheet(text), "csv"), newline=""))
    try:
        float(text)
        assert cells[0] == visible(text) or not text.isprintable()
    except ValueError:
        assert not cells[0].lstrip().startswith(FORMULA)


def test_html_has_no_element_of_a_name() -> None:
    assert SCRIPT not in render(sheet(SCRIPT), "html")
    assert "&lt;script&gt;" in render(sheet(SCRIPT), "html")


def test_latex_has_no_command_of_a_name() -> None:
    made = render(sheet(r"\input{/etc/passwd} $x$ %"), "latex")
    assert r"\input" not in made
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\$ \%" in made


def test_markdown_has_no_element_of_a_name() -> None:
    made = render(sheet("<img src=x> [a](b) `c` | d"), "markdown")
    assert r"\<img src=x\> \[a\](b) \`c\` \| d" in made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("www.evil.com", r"www\.evil.com"),
        ("WWW.evil.com", r"WWW\.evil.com"),
        ("see https://e/", r"see https\://e/"),
        ("![x](http://e/x.png)", r"!\[x\](http\://e/x.png)"),
        ("a@evil.com", "a@<!-- -->evil.com"),
        ("optimizer.lr@adam=0.1 a: b", "optimizer.lr@adam=0.1 a: b"),
    ],
)
def test_markdown_makes_no_link_of_an_address(text: str, made: str) -> None:
    assert f"- {made}\n" in render(sheet(text), "markdown")


def test_a_store_of_hostile_names_is_read_by_every_reader(lab: Any, tmp_path: Path) -> None:
    name = f"{CLEAR}{SCRIPT}$\\frac{{1}}{{0}}$"
    for seed in (0, 1):
        rows = [{"samples": 64, "steps": 1, "epoch": 1.0, "train_seconds": 1.0, "test_accuracy": 0.5}]
        lab.run(f"a{seed}", rows, optimizer=name, seed=seed)
    lab.run("b0", [], state="failed", reason=f"{CLEAR}{SCRIPT}", optimizer="=1+1")
    made = table_sheet(load_table(lab.store, rows=["optimizer"]))
    shown = [render(one, format) for one in (made, *read_status(lab.store).sheets(every=True)) for format in FORMATS]
    report = write_report(lab.store, tmp_path / "report.html").read_text()
    figure = load_figure(lab.store, metric="test_accuracy").save(tmp_path / "plot.svg").read_text()
    for text in (*shown, report, figure):
        assert not HIDDEN.search(text)
    assert SCRIPT not in report + figure
    assert "frac" in figure
