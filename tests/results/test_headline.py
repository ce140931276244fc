"""The verdicts of a paper on one screen."""

import math

import pytest

from batchlab.results.compare.claims import Claim, Judged, Side, Verdict
from batchlab.results.compare.metrics import Metric
from batchlab.results.show.headline import LISTED, NEAREST, headline_sheet, tally_text
from batchlab.results.show.render import render


def judged(text, verdict, p=0.01, needed=None, at=None):
    claim = Claim(text, "Table 1", "read", Side("a", {}), (Side("b", {}),), Metric("test_accuracy"), at=at)
    return Judged(claim, [], math.nan, p, verdict, "", needed=needed)


HOLDS, NOT, OPEN = Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([HOLDS] * 4 + [NOT] * 2 + [OPEN] * 30, "36 claims: 4 hold, 2 do not hold, 30 not decided"),
        ([HOLDS, NOT, OPEN], "3 claims: 1 holds, 1 does not hold, 1 not decided"),
        ([OPEN] * 11, "11 claims, none decided"),
        ([HOLDS], "1 claim: 1 holds"),
        ([], "no claims"),
    ],
)
def test_how_many_hold(verdicts, said):
    assert tally_text([judged("x", verdict) for verdict in verdicts]) == said


def test_what_is_decided_has_a_line_each_and_the_rest_is_counted():
    claims = [judged(f"claim {i}", (OPEN, NOT, HOLDS)[i % 3]) for i in range(30)]
    sheet = headline_sheet(claims, "Paper")
    assert sheet.title == "Paper: 30 claims: 10 hold, 10 do not hold, 10 not decided"
    assert [row[0].text for row in sheet.rows] == ["does not hold"] * LISTED, "it is not what room is saved on"
    assert sheet.notes == ["and 12 more: 10 hold, 2 do not hold"]
    assert len(render(sheet, width=80).splitlines()) < 16


def test_claims_of_one_text_share_a_line_with_the_p_of_the_least_certain():
    claims = [judged("faster", HOLDS, p, at=at) for p, at in ((0.01, "epochs"), (0.04, "steps"))]
    (row,) = headline_sheet(claims, "Paper").rows
    assert (row[1].text, row[3].text) == ("faster (equal epochs and equal steps)", "0.04")
    claims = [judged("faster", verdict, at="steps") for verdict in (HOLDS, HOLDS, NOT)]
    assert [row[1].text for row in headline_sheet(claims, "").rows] == [
        "faster (equal steps)",
        "faster (2 comparisons)",
    ]


def test_where_nothing_is_decided_what_the_fewest_seeds_would_decide_is_named():
    claims = [judged(f"claim {i}", OPEN, needed=20 - i) for i in range(10)] + [judged("never", OPEN)]
    sheet = headline_sheet(claims, "Paper")
    rows = sheet.rows
    assert sheet.notes == ["shown: what the fewest seeds would decide"]
    assert [row[1].text for row in rows] == ["claim 9", "claim 8", "claim 7"]
    assert len(rows) == NEAREST
    assert rows[0][1].detail == "about 11 seeds would"


def test_without_claims_it_says_so():
    assert "nothing is claimed of these runs" in render(headline_sheet([], "Paper"))
    assert "too few runs are done" in render(headline_sheet([judged("x", OPEN)], "Paper"))
