"""A sheet in the width of a terminal: nothing is wider, no word is broken that need not be, nothing is lost."""

import re

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from batchlab.results.show.layout import laid_out
from batchlab.results.show.render import render
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.wrap import PROSE, cells, wrapped

HEADS = ["steps to test accuracy ≥ 90 %", "gradients_to:test_accuracy>=0.9", "test_accuracy", "batch 256"]


def grid(columns=4, rows=3):
    """A table as `batchlab table` makes it."""
    heads = [Column(("optimizer",)), *(Column((f"lr {i // 2}", HEADS[i % 4]), "right") for i in range(columns))]
    body = [
        [Text(f"opt{row}"), *(Text(f"{row}.{i:03} ± 0.1", detail=f"[{row}, {i:03}]") for i in range(columns))]
        for row in range(rows)
    ]
    return Sheet("a title", heads, body, ["a note"])


def text_of(lines):
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize("width", [60, 80, 120, 160, 400])
def test_a_table_fits_and_every_number_is_whole(width):
    lines = text_of(laid_out(grid(9), width))
    assert max(map(cells, lines)) <= width
    for row in range(3):
        for i in range(9):
            assert sum(f" {row}.{i:03} ± 0.1" in line for line in lines) == 1
            assert sum(f"[{row}, {i:03}]" in line for line in lines) == 1


def test_columns_that_do_not_fit_follow_beneath_with_the_names_of_the_rows():
    lines = text_of(laid_out(grid(9), 80))
    rules = [line for line in lines if line.startswith(" ─")]
    assert len(rules) > 1
    for row in range(3):
        assert sum(line.startswith(f" opt{row} ") for line in lines) == len(rules)
    assert sum(line.startswith(" optimizer") for line in lines) == len(rules)


def test_columns_under_one_heading_stay_together_where_they_can():
    made = Sheet("", [Column(("r",)), *(Column((f"group {i // 2}", "v" * 12), "right") for i in range(6))], [])
    made.rows.append([Text("x"), *(Text(str(i)) for i in range(6))])
    blocks = [line.count("v" * 12) for line in text_of(laid_out(made, 55)) if "vvv" in line]
    assert blocks == [2, 2, 2], "three would fit side by side"


def test_a_header_is_broken_at_spaces_first_and_then_where_a_reader_pauses():
    made = Sheet("", [Column(("r",)), *(Column((head,), "right") for head in HEADS)], [[Text("x")] * 5])
    words = {word for line in text_of(laid_out(made, 70)) for word in line.split()}
    assert {"steps", "accuracy", "gradients_to:", "test_accuracy>=0.9"} <= words
    assert {"gradients_to:test_accuracy>=0.9"} <= {w for line in text_of(laid_out(made, 110)) for w in line.split()}


def test_rows_of_prose_become_a_list_where_columns_would_be_too_narrow():
    prose = "some words that say at length what was measured and how it was done"
    columns = [Column((name,)) for name in ("claim", "measured", "effect", "verdict", "why")]
    columns[3:3] = [Column(("p",), "right"), Column(("n",), "right")]
    row = [Text("the claim", detail="a source"), Text(prose), Text("+1 [0, 2]"), Text("0.01"), Text("3")]
    made = Sheet("", columns, [[*row, Text("holds", True), Text(prose)], [Text(""), *row[1:], Text(""), Text("end")]])
    lines = text_of(laid_out(made, 60))
    assert lines[:4] == ["", "", "the claim", "a source"]
    assert "  effect    +1 [0, 2]" in lines
    assert "  p         0.01   n 3" in lines
    assert "  verdict   *holds" in lines
    assert sum(line.startswith("  verdict") for line in lines) == 1, "what is empty has no line"
    assert max(map(cells, lines)) <= 60
    said = " ".join(" ".join(lines).split())
    assert said.count("claim") == 1
    assert "some words that say at length" in said
    assert any(line.startswith(" the claim ") for line in text_of(laid_out(made, 160)))


def test_numbers_of_a_row_that_need_several_lines_have_one_each():
    columns = [Column(("run",)), Column(("method",)), *(Column((name,), "right") for name in ("train loss", "gap"))]
    row = [
        Text("a"),
        Text("m" * 38),
        Text("0.325320 ± 2.2e-9", detail="[0.325320, 0.325320]"),
        Text("4.4e-14 ± 2.3e-14"),
    ]
    assert text_of(laid_out(Sheet("", columns, [row]), 60))[3:] == [
        f"  method      {'m' * 38}",
        "  train loss  0.325320 ± 2.2e-9 [0.325320, 0.325320]",
        "  gap         4.4e-14 ± 2.3e-14",
        "",
    ]


WORDS = st.text(st.sampled_from("abc_:,=漢"), min_size=1, max_size=30)
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


def test_rows_of_names_alone_become_a_list_too():
    made = Sheet("", [Column((name,)) for name in ("run", "what", "why")], [[Text(c * 30) for c in "abc"]])
    assert text_of(laid_out(made, 40))[2:] == ["a" * 30, f"  what  {'b' * 30}", f"  why   {'c' * 30}", ""]


@settings(max_examples=60, deadline=None, phases=[Phase.generate])  # to shrink a sheet takes minutes
@given(st.data(), st.integers(30, 120))
def test_any_sheet_fits_and_keeps_its_letters(data, width):
    n = data.draw(st.integers(1, 6))
    columns = [
        Column((data.draw(TEXTS), data.draw(TEXTS)), data.draw(st.sampled_from(["left", "right"]))) for _ in range(n)
    ]
    columns[0] = Column(columns[0].header)
    made = Sheet("t", columns, [[Text(data.draw(TEXTS), detail=data.draw(TEXTS)) for _ in range(n)]])
    lines = text_of(laid_out(made, width, stars=False))
    assert max(map(cells, lines)) <= width
    there = "".join(lines)
    for cell in made.rows[0]:
        for letter in "abc漢":
            assert there.count(letter) >= cell.text.count(letter)


@settings(deadline=None)
@given(TEXTS, st.integers(2, 40))
def test_wrapped_lines_fit_and_say_the_same(text, width):
    lines = wrapped(text, width)
    assert max(map(cells, lines), default=0) <= width
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    if all(cells(word) <= width for word in text.split()):
        assert " ".join(lines).split() == text.split()


def test_an_interval_stays_in_a_line():
    assert wrapped("× 0.5 [0.25, 1.0] of it", 14) == ["× 0.5", "[0.25, 1.0] of", "it"]


def test_into_a_pipe_prose_is_wrapped_and_tables_are_whole():
    prose = "word " * 60
    made = grid(9)
    made.notes.append(prose)
    lines = render(made).splitlines()
    assert max(map(len, lines)) > 2 * PROSE
    assert max(len(line) for line in lines if "word" in line) <= PROSE
    answer = Sheet("q", [Column(("answer",))], [[Text(prose)]])
    assert max(map(len, render(answer).splitlines())) <= PROSE + 2


def test_wide_wraps_nothing():
    made = grid(9)
    made.notes.append("word " * 60)
    lines = text_of(laid_out(made, 80, wide=True))
    assert "word " * 60 in lines
    assert sum(line.startswith(" ─") for line in lines) == 1
