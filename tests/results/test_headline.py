"""The verdicts of a paper on one screen."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.results.compare.claims import Claim, Judged, Side, Verdict
from batchlab.results.compare.metrics import Metric
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.papers.recorded import archive_of, recorded
from batchlab.results.report.glance import glance
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.headline import NEAREST, ROOM, headline_sheet, tally_text
from batchlab.results.show.render import render
from batchlab.results.store.unpacked import opened


def judged(text, verdict, p=0.01, needed=None, at=None, side=""):
    claim = Claim(text, "Table 1", "read", Side("a", {}), (Side("b", {}),), Metric("test_accuracy"), at=at, side=side)
    return Judged(claim, [], math.nan, p, verdict, "", needed=needed)


def lines(sheet, width=80):
    return render(sheet, width=width).rstrip("\n").splitlines()


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


def test_what_is_decided_is_listed_while_there_is_room_and_the_rest_is_counted():
    claims = [judged(f"claim {i}", (OPEN, NOT, HOLDS)[i % 3]) for i in range(30)]
    sheet = headline_sheet(claims, "Paper")
    assert sheet.title == "Paper: 30 claims: 10 hold, 10 do not hold, 10 not decided"
    assert {row[0].text for row in sheet.rows} == {"does not hold"}, "it is not what room is saved on"
    left = 10 - len(sheet.rows)
    assert sheet.notes == [f"{10 + left} more: 10 hold, {left} do not hold; --full prints all"]
    assert len(lines(sheet)) <= ROOM
    assert len(lines(sheet)) + 2 > ROOM, "no room is left for another"


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=14), min_size=1, max_size=24).map(" ".join)


@settings(deadline=None)
@given(
    texts=st.lists(WORDS, min_size=1, max_size=12, unique=True),
    verdicts=st.lists(st.sampled_from([HOLDS, NOT, Verdict.NO_DIFFERENCE, OPEN]), min_size=12, max_size=12),
    undecided=st.booleans(),
)
def test_it_is_a_screen_and_no_word_is_cut(texts, verdicts, undecided):
    """Whatever the claims say: some 11 lines of 80 columns, unless a single claim takes more."""
    pairs = zip(texts, verdicts, strict=False)
    sheet = headline_sheet([judged(t, OPEN if undecided else v, needed=9) for t, v in pairs], "Paper, 2025")
    found = lines(sheet)
    assert len(found) <= ROOM or len(sheet.rows) == 1
    assert max(map(len, found)) <= 80
    said = [sheet.title, *sheet.notes, *(t for row in sheet.rows for text in row for t in (text.text, text.detail))]
    assert set(" ".join(found).split()) == set(" ".join(said).split())
    assert "".join(found).count("not decided") <= 1


def test_claims_of_one_text_share_a_line_with_the_p_of_the_least_certain():
    claims = [judged("faster", HOLDS, p, at=at) for p, at in ((0.01, "epochs"), (0.04, "steps"))]
    (row,) = headline_sheet(claims, "Paper").rows
    assert (row[1].text, row[1].detail) == (
        "faster (equal epochs and equal steps)",
        "  the least certain of them: p 0.04, n 0",
    )
    claims = [judged("faster", verdict, at="steps") for verdict in (HOLDS, HOLDS, NOT)]
    assert [row[1].text for row in headline_sheet(claims, "").rows] == [
        "faster (equal steps)",
        "faster (2 comparisons)",
    ]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ([("", None)], "faster"),
        ([("", "steps")], "faster (equal steps)"),
        ([("norm 0.5", None)], "faster (norm 0.5)"),
        ([("norm 0.5", "steps")], "faster (norm 0.5; equal steps)"),
        ([("norm 0.5", None), ("norm 0.25", None)], "faster (norm 0.5 and norm 0.25)"),
        ([("a", "steps"), ("b", "steps"), ("a", "epochs"), ("b", "epochs")],
         "faster (a and b; equal steps and equal epochs)"),
        ([("a", "steps"), ("b", "epochs")], "faster (2 comparisons)"),
        ([("", None), ("", "steps")], "faster (whole runs and equal steps)"),
    ],
)  # fmt: skip
def test_a_line_says_which_sides_and_readings_it_is_of(claims, said):
    own = [judged("faster", HOLDS, side=side, at=at) for side, at in claims]
    (row,) = headline_sheet(own, "Paper").rows
    assert row[1].text == said


def test_where_nothing_is_decided_what_the_fewest_seeds_would_decide_is_named():
    claims = [judged(f"claim {i}", OPEN, needed=20 - i) for i in range(10)] + [judged("never", OPEN)]
    sheet = headline_sheet(claims, "Paper")
    assert sheet.title == "Paper: 11 claims, none decided; nearest to it:"
    assert [row[0].text for row in sheet.rows] == ["· claim 9", "· claim 8", "· claim 7"]
    assert len(sheet.rows) == NEAREST
    assert sheet.rows[0][0].detail == "    p 0.01, n 0; about 11 seeds would decide"


@pytest.mark.parametrize("verdict", [OPEN, NOT])
def test_what_was_measured_stands_further_in_than_a_claim_of_several_lines(verdict):
    made = judged(" ".join(["claimed"] * 20), verdict, needed=9)
    made = replace(made, reason=" ".join(["measured"] * 20))
    shown = [line for line in lines(headline_sheet([made], "")) if "claimed" in line or "measured" in line]
    margins = {word: {line.index(word) for line in shown if line.count(word) > 1} for word in ("claimed", "measured")}
    assert len(shown) > 4
    assert len(margins["claimed"]) == 1, "also where it begins behind a point"
    assert margins["measured"] == {min(margins["claimed"]) + 2}


def test_without_claims_it_says_so():
    assert "nothing is claimed of these runs" in render(headline_sheet([], "Paper"))
    assert "too few runs are done" in render(headline_sheet([judged("x", OPEN)], "Paper"))


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded())
def test_no_two_claims_of_ours_read_alike(name):
    """What is called alike and read at the same budget would be two verdicts on one sentence."""
    with opened([archive_of(name)]) as store:
        made = reproduce(store, name.rpartition("-")[0], name)
    called = Counter((item.claim.title, item.claim.at) for item in made.claims)
    assert [title for title, n in called.items() if n > 1] == []
    shown = made.first().brief or headline_sheet(made.claims, made.reference)
    rows = [" ".join(text.text for text in row) for row in shown.rows]
    assert len(set(rows)) == len(rows) > 0
    assert len(lines(shown)) <= ROOM
    if made.first().verdicts:
        found = glance(made.title, "s", "s-claim", made.sheets()[-1], made.claims)
        said = [(claim.text, line.at) for claim in (*found.claims, *found.folded) for line in claim.lines]
        assert len(said) == len({*said}) == len(called)


def test_the_rows_of_claims_say_what_differs_once():
    claims = [judged("faster", OPEN, side=side, at=at) for side in "ab" for at in ("steps", "epochs")]
    rows = claims_sheet([*claims, judged("slower", OPEN)]).rows
    assert [row[0].text for row in rows] == ["faster, a", "", "… b", "", "slower"]
    assert [bool(row[0].detail) for row in rows] == [True, False, False, False, True], "a source is said once"
