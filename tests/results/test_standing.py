"""Between two looks: what is decided, what is open and what never will be, in a line each."""

import io

import pytest
from rich.console import Console

from batchlab.results.compare.claims import Claim, Judged, Ruled, Side, Verdict
from batchlab.results.compare.metrics import Metric
from batchlab.results.show.standing import MOST, standing_grid, standing_lines

NAN = float("nan")


def item(verdict=Verdict.UNDECIDED, look=0, *, is_open=True, at=None, text="A beats B", needed=None, ruled=True):
    sides = Side("A", {}), (Side("B", {}),)
    ruling = Ruled(look, (3, 5), "0.5 points", open=is_open) if ruled else None
    claim = Claim(text, "", "ours", *sides, Metric("test_accuracy"), at)
    return Judged(claim, [], 0.5, NAN, verdict, "", ruling=ruling, needed=needed)


def told(judged, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(standing_grid(judged))
    return console.export_text()


def test_nothing_before_the_first_look():
    """Nor of claims that are not followed: they have no seeds."""
    for judged in ([], [item(look=None)], [item(ruled=False)]):
        assert standing_lines(judged) == []
        assert standing_grid(judged) == ""


def test_counts_and_a_line_each():
    judged = [
        item(Verdict.HOLDS, is_open=False, text="one"),
        item(Verdict.NO_DIFFERENCE, is_open=False, text="two", at="steps"),
        item(text="three", at="seconds", needed=12),
        item(is_open=False, text="four"),
        item(ruled=False, text="five"),
    ]
    lines = standing_lines(judged)
    assert lines[0] == "2 of 4 claims decided, 1 open, 1 left undecided"
    assert [line.split()[0] for line in lines[1:]] == ["one", "two", "three", "four"]
    assert "one  holds" in lines[1]
    assert "two (equal steps)  no difference beyond 0.5 points" in lines[2]
    assert "three (equal time)  not decided at n = 0: about 12 " in lines[3]
    shown = told(judged)
    assert lines[0] in shown
    assert "three (equal time)" in shown
    assert not any(word in shown for word in ("one", "two", "four", "five")), "only what is open has room"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_of_any_width_has_a_row_for_each_of_the_first(width):
    judged = [item(text=f"claim {i} " + "word " * 30, needed=7) for i in range(MOST + 4)]
    shown = told(judged, width).splitlines()
    assert len([line for line in shown if line.strip()]) == MOST + 2
    assert any("and 4 more" in line for line in shown)
    assert max(map(len, shown)) <= width
