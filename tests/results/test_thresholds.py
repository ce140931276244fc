"""What an effect has to lie beyond for its claim to hold stands beside it, wherever the verdict does."""

import math

import pytest

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.page.verdicts import verdict_sheet
from batchlab.results.report.glance import glance
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.effects import effect, threshold
from batchlab.results.show.headline import headline_sheet
from batchlab.results.show.render import render


def claim(metric, **more):
    sides = Side("A", {"side": "A"}), (Side("B", {"side": "B"}),)
    return Claim("A is far off", "", "ours", *sides, Metric(metric), **more)


def judged(frame_of, asked, ours, theirs):
    """Pairs about these two values, whose spread is a thousandth of them."""
    spread = (-1e-3, 0.0, 1e-3, 0.0, 0.0, 0.0)
    runs = [
        ({"side": side, "seed": i}, {asked.metric.name: value * (1 + (side == "A") * part)})
        for side, value in (("A", ours), ("B", theirs))
        for i, part in enumerate(spread)
    ]
    return judge(frame_of(runs), [asked])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (claim("test_accuracy", margin=0.005), "claimed: above +0.5 points"),
        (claim("test_loss", margin=0.25), "claimed: below -0.25"),
        (claim("train_loss", margin=1.0), "claimed: below × 0.5"),
        (claim("train_loss", margin=-0.1), "claimed: below × 1.11"),
        (claim("auc_gain", margin=-0.01), "claimed: above -1 points"),
        (claim("perplexity_gain", margin=0.5), "claimed: above × 1.5"),
        (claim("test_accuracy", margin=0.01, within=True), "claimed: within -1 to +1 points"),
        (claim("test_accuracy", margin=0.01, apart=True), "claimed: beyond -1 to +1 points"),
        (claim("train_loss", margin=0.5, within=True), "claimed: within × 0.667 to × 1.5"),
        (claim("train_loss"), ""),
    ],
)
def test_a_margin_is_said_on_the_scale_of_the_effect(asked, said):
    assert threshold(asked) == said


@pytest.mark.parametrize(
    ("metric", "margin", "ours", "theirs"),
    [("train_loss", 1.0, 1.0, 2.0), ("test_loss", 0.25, 0.5, 0.75), ("test_accuracy", 0.25, 0.75, 0.5)],
)
def test_an_effect_as_large_as_that_is_neither_here_nor_there(frame_of, metric, margin, ours, theirs):
    """The number that is said is that at which p is 1."""
    asked = claim(metric, margin=margin)
    (item,) = judged(frame_of, asked, ours, theirs)
    assert item.p > 0.9
    number = float(threshold(asked).removesuffix(" points").split()[-1])
    assert float(effect(item, item.comparisons[0]).removeprefix("× ").split()[0]) == pytest.approx(number, rel=1e-3)


def test_it_stands_wherever_effect_and_verdict_do(frame_of):
    """Fewer than twice as much, by more than chance: less than claimed, and the effect alone would say it holds."""
    made = judged(frame_of, claim("train_loss", margin=1.0), 0.9, 1.0)
    assert made[0].verdict is Verdict.DOES_NOT_HOLD
    sheet = claims_sheet(made)
    (line,) = glance("Paper", "paper", "row", sheet, made).lines
    said = "claimed: below × 0.5"
    assert said in line.detail
    headline = headline_sheet(made, "Paper")
    assert said in headline.rows[0][1].detail
    assert headline.notes == ["brackets: 95 % intervals, the level of family; --full prints all"]
    for shown in (sheet, verdict_sheet(made)):
        assert said in render(shown, width=300)
        assert not any("margin" in note for note in shown.notes)


def test_nothing_is_said_beside_no_effect(frame_of):
    asked = claim("train_loss", margin=1.0)
    made = judge(frame_of([({"side": side, "seed": 0}, {"train_loss": 1.0}) for side in "AB"]), [asked])
    assert math.isnan(made[0].p)
    assert "claimed" not in render(claims_sheet(made), width=300)
