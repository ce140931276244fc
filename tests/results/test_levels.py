"""Of which level intervals are, and in which unit effects: computed here, and read off every format."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.decide import Plan, decide
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import Quantity
from batchlab.results.compare.sequential import Looks
from batchlab.results.compare.table import load_table
from batchlab.results.page.verdicts import verdict_sheet
from batchlab.results.report.glance import glance
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.effects import effect, heading, levels_text
from batchlab.results.show.headline import headline_sheet
from batchlab.results.show.render import render
from batchlab.results.show.table_sheet import table_sheet

RNG = np.random.default_rng(5)
GAINS = {name: RNG.normal(0.01, 0.01, 8) for name in "abcde"}
"""By contender, by how much it is better than z, seed by seed."""


def claim(side, at=None, metric="test_accuracy"):
    return Claim(
        f"{side} beats z", "", "ours", Side(side, {"side": side}), (Side("z", {"side": "z"}),), Metric(metric), at
    )


def frame(frame_of, seeds=8, metric="test_accuracy"):
    runs = [({"side": "z", "seed": seed}, {metric: 0.5, "steps": 9.0}) for seed in range(seeds)]
    for name, gains in GAINS.items():
        runs += [
            ({"side": name, "seed": i}, {metric: 0.5 + gain, "steps": 9.0}) for i, gain in enumerate(gains[:seeds])
        ]
    return frame_of(runs)


def interval(name, level, seeds=8):
    """Of the mean gain in points, from scipy."""
    gains = 100 * GAINS[name][:seeds]
    return stats.t.interval(level, seeds - 1, loc=gains.mean(), scale=stats.sem(gains))


def ends(text):
    return [float(number) for number in re.search(r"\[([^]]+)\]", text)[1].split(",")]


@pytest.mark.parametrize(("family", "said"), [(1, "95 %"), (2, "97.5 %"), (3, "98.3 %"), (5, "99 %")])
def test_a_family_of_m_claims_has_intervals_of_1_minus_5_percent_over_m(frame_of, family, said):
    judged = judge(frame(frame_of), [claim(name) for name in "abcde"[:family]])
    level = 1 - 0.05 / family
    assert float(said.removesuffix(" %")) == pytest.approx(100 * level, abs=0.05)
    assert heading("effect", judged) == f"effect [{said}]"
    for item, name in zip(judged, GAINS, strict=False):
        shown = effect(item, item.comparisons[0])
        assert ends(shown) == pytest.approx(interval(name, level), abs=0.06)
        assert shown.endswith("] points")
    sheet = claims_sheet(judged)
    for format in ("html", "markdown", "latex", "rich"):
        text = render(sheet, format, **({"width": 300} if format == "rich" else {}))
        plain = text.replace("\\[", "[").replace("\\]", "]").replace("\\%", "%")
        assert f"effect [{said}]" in plain
    for record, name in zip(csv.DictReader(io.StringIO(render(sheet, "csv"))), GAINS, strict=False):
        assert float(record["ci_level"]) == pytest.approx(level)
        assert [100 * float(record[end]) for end in ("ci_low", "ci_high")] == pytest.approx(interval(name, level))
    on_top = glance("P", "s", "r", sheet, judged)
    assert (on_top.effects, on_top.levels) == (f"effect [{said}]", "")
    assert all(line.effect.endswith("] points") for line in on_top.lines)


def test_where_a_table_has_several_levels_its_note_says_them(frame_of):
    """Three claims at whole runs and one at equal steps: families of three and of one."""
    judged = judge(frame(frame_of), [claim("a"), claim("b"), claim("c"), claim("d", at="steps")])
    assert [item.family for item in judged] == [3, 3, 3, 1]
    sheet = claims_sheet(judged)
    assert sheet.columns[3].header == ("effect [interval]",)
    assert "(95 to 98.3 %)" in " ".join(sheet.notes)
    on_top = glance("P", "s", "r", sheet, judged)
    assert (on_top.effects, on_top.levels) == (
        "effect [interval]",
        "95 to 98.3 %, each of the level of its family of claims",
    )
    assert "95 to 98.3 %" in verdict_sheet(judged).notes[0]
    levels = [float(record["ci_level"]) for record in csv.DictReader(io.StringIO(render(sheet, "csv")))]
    assert levels == pytest.approx([1 - 0.05 / 3] * 3 + [0.95])


def test_the_first_look_spends_what_its_share_of_the_seeds_squared_is_of_alpha(frame_of):
    """At the first look the level is what is spent: alpha (n / N)^2 over the family."""
    plan = Plan(Looks((4, 8)), tuple(range(8)))
    judged = decide(frame(frame_of, 4), lambda part: judge(part, [claim("a"), claim("b")]), plan)
    undecided = [item for item in judged if item.verdict is Verdict.UNDECIDED]
    assert undecided, "the level of one that is rejected is of its own step of Holm's"
    alpha = 0.05 / 2 * (4 / 8) ** 2
    for item in undecided:
        assert item.level == pytest.approx(alpha, rel=1e-3)
        assert ends(effect(item, item.comparisons[0])) == pytest.approx(
            interval(item.claim.better.label, 1 - alpha, 4), abs=0.1
        )
    assert levels_text(undecided) == "99.38 %" or levels_text(undecided) == "99.37 %"
    said = f"brackets: {levels_text(judged)} intervals, the level of look and family"
    assert said in headline_sheet(judged, "P").notes[0]


def test_what_has_no_interval_has_no_level(frame_of):
    """Without a test, and of signed ranks."""
    alone = judge(frame(frame_of, 1), [claim("a")])
    assert heading("effect", alone) == "effect"
    assert levels_text(alone) == ""
    (item,) = judge(frame(frame_of), [claim("a")])
    ranks = replace(item.comparisons[0], test=replace(item.comparisons[0].test, ranks=True, low=math.nan))
    assert heading("ratio", [replace(item, comparisons=[ranks])]) == "ratio"


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        (Quantity("up", unit="%", scale=100), "points"),
        (Quantity("up", unit="%"), "points"),
        (Quantity("down", unit="BLEU"), "BLEU"),
        (Quantity("down"), ""),
        (Quantity("down", unit="s", log=True), ""),
    ],
)
def test_a_difference_has_the_unit_of_its_metric(frame_of, quantity, unit):
    judged = judge(frame(frame_of, metric="own"), [claim("a", metric="own")])
    (item,) = (
        replace(item, claim=replace(item.claim, metric=replace(item.claim.metric, declared=quantity)))
        for item in judged
    )
    shown = effect(item, item.comparisons[0])
    assert shown.endswith(f"] {unit}" if unit else "]")
    assert shown.startswith("× ") == quantity.log
    assert shown in headline_sheet([item], "P").rows[0][-1].detail


@pytest.mark.parametrize(("metric", "said"), [("test_accuracy", " (of % in points)"), ("test_loss", "")])
def test_a_table_says_the_unit_of_its_differences_where_its_columns_have_another(lab, metric, said):
    for level, optimizer in enumerate(("adam", "shb")):
        for seed in range(3):
            rows = [{"samples": 1, "steps": 1, "train_seconds": 1.0, metric: 0.5 + 0.1 * level + 0.01 * seed * seed}]
            lab.run(f"{optimizer}{seed}", rows, optimizer=optimizer, seed=seed)
    notes = table_sheet(load_table(lab.store, metrics=[metric], baseline="optimizer=shb")).notes
    assert f"Δ: difference from optimizer=shb in the same place{said}, ×: ratio to it" in " ".join(notes)
