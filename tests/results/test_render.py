"""Five formats: structure and escapes, checked by reading them back."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text as RichText

from batchlab.results.show.render import FORMATS, FORMULA, print_sheets, render
from batchlab.results.show.sheet import Column, Sheet, Text, number, uncertain
from batchlab.results.words import listing

NASTY = r"a|b *c* _d_ <e> & 50 % $x$ #1 {f} ~ ^ \ `g` [h] ± ≥ − , \"q\" 'r'"


def sheet(text=NASTY, **more):
    columns = [Column(("optimizer",)), Column(("b 128", "loss"), "right"), Column(("b 128", "acc"), "right")]
    rows = [[Text(text), Text("1.0 ± 0.1", bold=True, detail="[0.9, 1.1]"), Text("2", tone="bad")]]
    records = [{"optimizer": text, "mean": 1.0, "std": float("nan"), "n": 3}]
    return Sheet("Title & more", columns, rows, ["note_1"], records, **more)


class Cells(HTMLParser):
    """Texts of all cells, and whether every tag was closed."""

    def __init__(self):
        super().__init__()
        self.cells, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "wbr":  # where a line may break, which has no end
            return
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def unquoted(text):
    """A cell of CSV without the quote that keeps a spreadsheet from calculating it."""
    return text[1:] if text.startswith("'") and text[1:].lstrip().startswith(FORMULA) else text


def read_html(text):
    parser = Cells()
    parser.feed(text)
    assert parser.open == []
    return parser.cells


def test_html_reads_back():
    cells = read_html(render(sheet(), "html"))
    assert cells[:2] == ["", "b 128"]
    assert cells[2:5] == ["optimizer", "loss", "acc"]
    assert cells[5:] == [NASTY, "1.0 ± 0.1[0.9, 1.1]", "2"]


@settings(max_examples=50)
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=30))
def test_html_and_csv_carry_any_text(text):
    assert read_html(render(sheet(text), "html"))[5] == text
    assert unquoted(next(csv.DictReader(io.StringIO(render(sheet(text), "csv"))))["optimizer"]) == text


def test_csv_is_tidy_and_unrounded():
    (row,) = csv.DictReader(io.StringIO(render(sheet(), "csv")))
    assert row == {"optimizer": NASTY, "mean": "1.0", "std": "", "n": "3"}


def test_markdown_has_one_cell_a_column_and_aligned_pipes():
    lines = [line for line in render(sheet(), "markdown").splitlines() if line.startswith("|")]
    split = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert [len(cells) for cells in split] == [3, 3, 3]
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r" -+ ", split[1][0])
    assert re.fullmatch(r" -+: ", split[1][1])
    assert re.sub(r"\\(.)", r"\1", split[2][0].strip()) == NASTY
    assert split[2][1].strip() == r"**1.0 ± 0.1** \[0.9, 1.1\]"


def test_latex_escapes_and_spans():
    text = render(sheet(), "latex")
    assert r"\multicolumn{2}{c}{b 128}" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"\textbf{1.0 $\pm$ 0.1}" in text
    line = next(line for line in text.splitlines() if "a\\textbar" in line)
    for wanted in (r"\_d\_", r"\&", r"50 \%", r"\$x\$", r"\#1", r"\{f\}", r"\textasciitilde{}", r"\textbackslash{}"):
        assert wanted in line
    assert text.count(r"\begin") == text.count(r"\end")
    assert len(re.split(r"(?<!\\)&", line)) == 3


STRANGE = [
    "[64, 128]",
    "*",
    "[x] ** [/]",
    " [a",
    "[red]a[/red]",
    "[/]",
    "a|b\nc",
    "| :-: |",
    "<b>&amp;</b>",
    "`a` _b_ *c* ~d~",
    "# a",
    "- a",
    "1. a",
    "$x^2$ \\\\alpha",
    "100 % #1 {a}",
    "été 日本 Ω",
    "a--b",
    "=1+2",
    "@x",
    'a "b", c',
    "a\r\nb",
]


@pytest.mark.parametrize("text", STRANGE)
def test_no_line_of_latex_begins_with_what_its_row_ends_would_take(text):
    """Every row follows a rule or the end of another: [ would be read as its length, * as its star."""
    columns = [Column((text, text)), Column((text, text)), Column(("", text), "right")]
    rows = [[Text(text), Text(text, True, text), Text("")], [Text(""), Text(text), Text("1")], [Text(text)] * 3]
    made = render(Sheet(text, columns, rows, [text]), "latex")
    lines = made.splitlines()
    assert not [line for line in lines if re.match(r"\s*[\[*]", line)]
    for line in lines:
        if line.endswith(r"\\"):
            spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d)\}", line))
            assert len(re.split(r"(?<!\\)&", line)) + spanned == 3
    bare = re.sub(r"\$\\[a-z]+\$|\\(?:[a-z]+|[&%$#_{}`])", "", made)  # without commands there are no signs left
    assert not re.search(r"[%$#_~^]|--", re.sub(r"\\begin.*|\\cmidrule.*", "", bare))


@pytest.mark.parametrize("text", STRANGE)
def test_markdown_keeps_rows_and_every_sign_is_escaped(text):
    made = render(
        Sheet(text, [Column((text,)), Column((text, text))], [[Text(text), Text(text, True)]], [text]), "markdown"
    )
    lines = [line for line in made.split("\n") if line.startswith("|")]
    assert len(lines) == 3
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert [len(row) for row in cells] == [2, 2, 2]
    shown = re.sub(r"\\(.)", r"\1", cells[2][0].strip().replace("<br>", "\n"))
    assert shown == text.replace("\r\n", "\n").strip()
    assert not re.search(r"(?<!\\)[&$`_~#]|(?<!\\)<(?!br>)", cells[2][0])


@pytest.mark.parametrize("text", STRANGE)
def test_rich_csv_and_html_take_texts_as_they_are(text):
    made = Sheet(text, [Column((text,))], [[Text(text)]], [text], [{text: text}])
    shown = render(made, "rich")
    assert all(part.strip() in shown for part in text.splitlines())
    (row,) = csv.DictReader(io.StringIO(render(made, "csv"), newline=""))
    assert [*map(unquoted, (*row, *row.values()))] == [text.replace("\r\n", "\n")] * 2
    assert [cell.replace("\r", "") for cell in read_html(render(made, "html").replace("<br>", "\n"))] == [
        text.replace("\r", "") for _ in range(2)
    ]


def test_rich_marks_bold_with_a_star_where_there_is_no_bold():
    plain = render(sheet(), "rich")
    assert "*1.0 ± 0.1" in plain
    assert NASTY in plain  # brackets are no markup
    assert "\x1b[1m" in render(sheet(), "rich", color=True)


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_sheet_says_so(format):
    empty = Sheet("nothing", [Column(("a",))], [], [], [], "no runs <yet>")
    text = render(empty, format)
    assert format == "csv" or "no runs" in text


def test_an_unknown_format_lists_them():
    with pytest.raises(ValueError, match="rich, markdown, latex, csv, html"):
        render(sheet(), "pdf")


def test_printed_sheets_are_separate(capsys):
    print_sheets([sheet(), sheet()], "csv")
    assert capsys.readouterr().out.count("optimizer,mean,std,n") == 2
    print_sheets([sheet()])
    assert "Title & more" in capsys.readouterr().out


def test_an_empty_csv_says_why_on_the_error_stream(capsys):
    print_sheets([Sheet("Title", [], [], empty="no runs")], "csv")
    assert capsys.readouterr() == ("", "no runs\n")


def test_a_title_wider_than_its_table_is_not_wrapped():
    title = "sweep sgdm_schedules-laptop: 42 runs: 42 done"
    assert render(Sheet(title, [Column(("done",))], [[Text("42")]])).startswith(f"{title}\n")


@pytest.mark.parametrize(
    ("value", "spread", "shown"),
    [
        (0.914, 0.0123, "0.914 ± 0.012"),
        (1234.5, 100.0, "1,234 ± 100"),
        (3.2e-9, 1.1e-10, "3.20e-9 ± 1.1e-10"),
        (0.0, 0.0, "0 ± 0"),
        (float("inf"), float("nan"), "∞"),
        (float("nan"), float("nan"), "–"),
        (17.0, 0.0, "17.00 ± 0.00"),
    ],
)
def test_rounding_by_uncertainty(value, spread, shown):
    assert uncertain(value, spread) == shown


@given(st.floats(1e-4, 1e4), st.floats(1e-4, 1e3))
def test_two_digits_of_the_spread_survive(value, spread):
    _, shown = uncertain(value, spread).split(" ± ")
    assert float(shown.replace(",", "")) == pytest.approx(spread, rel=0.06)


def test_words():
    assert [listing(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert number(float("-inf"), 2) == "−∞"


WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=9)
LINES = st.lists(WORDS, min_size=1, max_size=2).map("\n".join)
CELLS = st.builds(Text, st.one_of(st.just(""), LINES), st.booleans(), st.one_of(st.just(""), WORDS))


def by_rich(made):
    """The lines of a sheet as rich's own table has them, on a console of any width."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in made.columns:
        table.add_column(RichText("\n".join(column.header)), justify=column.align, vertical="top")
    for row in made.rows:
        shown = [f"{'*' * cell.bold}{cell.text}" + (f"\n{cell.detail}" if cell.detail else "") for cell in row]
        table.add_row(*map(RichText, shown))
    console = Console(file=io.StringIO(), width=5000, color_system=None)
    console.print(RichText(made.title))
    console.print(table if made.rows else RichText(made.empty))
    for note in made.notes:
        console.print(RichText(note.replace("bold:", "*:", 1)))
    lines = console.file.getvalue().splitlines()
    return [line.rstrip() for line in lines] + [""] * bool(made.notes)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_into_a_pipe_a_sheet_is_laid_out_as_rich_does_it(data):
    headers = data.draw(st.lists(st.lists(WORDS, min_size=1, max_size=2).map(tuple), min_size=1, max_size=4))
    columns = [Column(header, data.draw(st.sampled_from(["left", "right"]))) for header in headers]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=4))
    made = Sheet("Title", columns, rows, data.draw(st.lists(WORDS.map("bold: {}".format), max_size=2)))
    assert [line.rstrip() for line in render(made).splitlines()] == by_rich(made)
