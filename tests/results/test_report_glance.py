"""What stands on top of the report: claims in order, grouped, folded, each with what its row in the details says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from batchlab.results.compare.claims import Claim, Judged, Side, Verdict
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.glance import DECIDED, MOST, OPEN, glance
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.hypertext import to_html

OPEN_ONE = Verdict.UNDECIDED


def claims(*asked):
    """Claims as (text, reading, verdict)."""
    sides = Side("a", {"optimizer": "a"}), (Side("b", {"optimizer": "b"}),)
    return [
        Judged(Claim(text, "Table 1", "read", *sides, Metric("test_accuracy"), at=at), [], math.nan, math.nan, verdict,
               "too few; busy" if verdict is OPEN_ONE else "")
        for text, at, verdict in asked
    ]  # fmt: skip


def shown(judged):
    return glance("Paper", "s1", "s1-claim", claims_sheet(judged), judged)


def test_what_is_decided_comes_first_and_the_rest_is_folded():
    judged = claims(
        *((f"open {i}", None, OPEN_ONE) for i in range(9)),
        ("good", None, Verdict.HOLDS),
        ("bad", None, Verdict.DOES_NOT_HOLD),
    )
    made = shown(judged)
    assert [claim.text for claim in made.claims] == ["bad", "good", *(f"open {i}" for i in range(OPEN))]
    assert [claim.text for claim in made.folded] == [f"open {i}" for i in range(OPEN, 9)]
    assert made.rest == "3 more are not decided"
    assert [line.tone for line in made.lines[:3]] == ["bad", "good", "dim"]
    assert not made.readings, "what is the same for all is not said of each"


def test_a_claim_is_said_once_with_its_readings_beneath():
    readings = (None, "epochs", "seconds")
    judged = claims(*((text, at, OPEN_ONE) for text in ("x", "y", "z") for at in readings))
    made = shown(judged)
    assert [claim.text for claim in (*made.claims, *made.folded)] == ["x", "y", "z"]
    assert [line.at for line in made.claims[0].lines] == ["whole runs", "equal epochs", "equal time"]
    assert made.readings
    assert [line.anchor for line in made.lines] == [f"s1-claim-{i}" for i in range(1, 10)]
    assert sum(len(claim.lines) for claim in made.claims) == OPEN


def test_readings_of_one_claim_stay_together_where_one_is_decided():
    judged = claims(("x", None, OPEN_ONE), ("y", None, OPEN_ONE), ("y", "steps", Verdict.HOLDS))
    made = shown(judged)
    assert [claim.text for claim in made.claims] == ["y", "x"]
    assert [line.verdict for line in made.claims[0].lines] == ["not decided", "holds"]


def test_one_line_is_not_folded_away():
    made = shown(claims(*((f"open {i}", None, OPEN_ONE) for i in range(OPEN + 1))))
    assert len(made.claims) == OPEN + 1
    assert not made.folded


def test_reasons_are_said_once_each():
    judged = claims(*((f"open {i}", None, OPEN_ONE) for i in range(4)))
    lost = ({"failed": 2}, {"failed": 2}, {"diverged": 1}, {})
    made = shown([replace(item, lost=own) for item, own in zip(judged, lost, strict=True)])
    assert made.remarks == ["2 runs failed", "1 run diverged"]
    assert [line.marks for line in made.lines] == [[1], [1], [2], []]


def test_of_hundreds_of_claims_the_last_are_counted():
    made = shown(claims(*((f"c {i}", None, Verdict.HOLDS) for i in range(MOST + 7))))
    assert len(made.claims) == DECIDED
    assert len(made.lines) == MOST
    assert made.more == 7
    assert made.rest == f"more: {MOST - DECIDED} claims: {MOST - DECIDED} hold"


@pytest.mark.parametrize("anchor", ["", "c"])
def test_rows_of_one_claim_make_a_body_of_the_table_where_they_have_names(anchor):
    judged = claims(("x", None, OPEN_ONE), ("x", "epochs", OPEN_ONE), ("y", None, OPEN_ONE))
    text = to_html(claims_sheet(judged), anchor)
    assert text.count("<tr") == 4
    assert text.count("<tbody") == (2 if anchor else 1)
    assert ("rowspan='2'" in text) is bool(anchor)
    assert ('data-label="verdict"' in text) is bool(anchor)
    assert [f"id='c-{i}'" in text for i in (1, 2, 3)] == [bool(anchor)] * 3
