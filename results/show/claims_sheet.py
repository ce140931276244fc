"""Claims with what was measured and the verdict, as a sheet for any format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from batchlab.results.compare.caveats import batchnorm_note, selection_note
from batchlab.results.compare.claims import Claim, Comparison, Judged, Verdict, deciding
from batchlab.results.compare.outcomes import Fate, Outcome, restricted_mean, tally
from batchlab.results.compare.power import POWER, detectable
from batchlab.results.compare.stats import ALPHA
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number, p_value
from batchlab.results.words import count, listing

READINGS = {None: "whole runs", "seconds": "equal time", "method": "the method itself"}
TONES: dict[Verdict, Any] = {Verdict.HOLDS: "good", Verdict.DOES_NOT_HOLD: "bad", Verdict.UNDECIDED: "dim"}


def claims_sheet(judged: Sequence[Judged], title: str = "claims") -> Sheet:
    """Claims with what was measured and the verdict, a row each.

    Args:
        judged: The verdicts; a text that repeats the row above is left blank.
        title: Of the sheet.
    """
    columns = [Column((name,)) for name in ("claim", "read at", "measured", "effect [95 %]")]
    columns += [Column(("p",), "right"), Column(("n",), "right"), Column(("verdict",))]
    rows, records, before = [], [], ""
    for item in judged:
        claim = item.claim
        same = claim.text == before
        before = claim.text
        shown = _shown(item)
        seeds = [c.seeds for c in item.comparisons]
        rows.append(
            [
                Text("" if same else claim.text, detail="" if same else f"{claim.source}, {claim.certainty}"),
                Text(READINGS.get(claim.at, f"equal {claim.at}"), detail=_budget(item)),
                Text("\n".join(_values(claim, c) for c in shown) or item.reason),
                Text("\n".join(effect(claim, c) for c in shown)),
                _p(item),
                Text(str(min(seeds)) if seeds else "" if claim.at == "method" else "0"),
                Text(item.verdict, item.verdict is not Verdict.UNDECIDED, _lost(item), TONES[item.verdict]),
            ]
        )
        records += [_record(item, c) for c in item.comparisons] or [_record(item, None)]
    notes = [
        "rule: one difference per seed, two-sided paired t-test (signed ranks where a seed has no number), Holm over "
        f"the claims of one reading (p: of how many), intervals as wide; needs p < {ALPHA} against every rival"
    ]
    notes += power_note(judged)
    notes += selection_note(item.claim.metric for item in judged)
    parts: dict[int, int] = {}
    for item in judged:
        parts |= {part: max(batch, parts.get(part, 0)) for part, batch in item.parts.items()}
    notes += batchnorm_note(parts)
    margins = sorted({item.claim.margin for item in judged})
    notes.append(f"margin: {', '.join(f'{margin:g}' for margin in margins)}" if margins != [0.0] else "margin: none")
    return Sheet(title, columns, rows, notes, records, "no claims")


def power_note(judged: Sequence[Judged]) -> list[str]:
    """What the paired t-tests of this sheet could have seen, at the level of the first step of Holm's correction.

    One note, from the least to the greatest effect where numbers of seeds or families differ.
    """
    asked = {(min(c.seeds for c in item.comparisons), item.family) for item in judged if item.family}
    seen = sorted((detectable(n, ALPHA / family), n, family) for n, family in asked)
    if not seen:
        return []
    said = [f"{effect:.2g} at n = {n} and p of {count(family, 'claim')}" for effect, n, family in (seen[0], seen[-1])]
    return [
        f"power: a difference of {' up to '.join(dict.fromkeys(said))} is detected with {POWER:.0%}, in standard "
        "deviations of the paired differences"
    ]


def _p(item: Judged) -> Text:
    """The corrected p, and for how many claims it is."""
    if math.isnan(item.p_holm):
        return Text("")
    return Text(p_value(item.p_holm).removeprefix("p "), detail=f"of {item.family}" if item.family > 1 else "")


def _shown(item: Judged) -> list[Comparison]:
    """What there is room for: of strata that were compared one by one, only the one that decides."""
    tested = [c for c in item.comparisons if c.test]
    return [deciding(item.claim, tested)[0]] if item.claim.distance and tested else item.comparisons


def effect(claim: Claim, comparison: Comparison) -> str:
    """The difference with its interval: a factor where the metric is logarithmic, else in its unit."""
    test = comparison.test
    if test is None:
        return ""
    if test.ranks:  # means say little where some have no number: who was better how often does
        return standing(claim, comparison)
    sign = 1.0 if claim.metric.quantity.better == "up" else -1.0
    ends = sorted((sign * test.low, sign * test.high))
    if claim.metric.quantity.log:
        middle, low, high = (math.exp(min(x, 700)) for x in (sign * test.difference, *ends))
        return f"× {middle:.3g} [{low:.3g}, {high:.3g}]"
    scale = claim.metric.quantity.scale
    middle, low, high = scale * sign * test.difference, scale * ends[0], scale * ends[1]
    places = decimals((high - low) / 4, middle)
    return f"{middle:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}]"


def _values(claim: Claim, comparison: Comparison) -> str:
    shown = [side_text(claim, side) for side in (comparison.outcomes, comparison.of_rival)]
    where = f" ({', '.join(map(str, comparison.stratum))})" if comparison.stratum else ""
    return f"{claim.better.label} {shown[0]}, {comparison.rival.label} {shown[1]}{where}"


def side_text(claim: Claim, side: Mapping[Any, Outcome]) -> str:
    """The mean of a side, `≥` where some seed never got there, and how many seeds lost runs."""
    quantity = claim.metric.quantity
    lost = sum(outcome.fate is Fate.LOST for outcome in side.values())
    if side and lost == len(side):
        return f"lost in all of {count(lost, 'seed')}"
    mean = quantity.scale * restricted_mean(side.values(), log=quantity.log)
    bound = "≥ " if any(outcome.fate is Fate.NEVER for outcome in side.values()) else ""
    return f"{bound}{number(mean, decimals(math.nan, mean))}{f' († lost in {lost} of {len(side)})' if lost else ''}"


def standing(claim: Claim, comparison: Comparison) -> str:
    """In how many seeds the side was better than its rival, where some outcomes have no number."""
    up = claim.metric.quantity.better == "up"
    better, worse, neither = tally(comparison.outcomes, comparison.of_rival, up=up, log=comparison.log)
    text = f"better in {better} of {count(comparison.seeds, 'seed')}, worse in {worse}"
    return f"{text}, neither in {neither}" if neither else text


def _budget(item: Judged) -> str:
    if math.isnan(item.budget):
        return ""
    unit = "s" if item.claim.at == "seconds" else item.claim.at
    return f"{item.budget:,.4g} {unit}" if item.budget < 1000 else f"{item.budget:,.0f} {unit}"


def _lost(item: Judged) -> str:
    dropped = max((c.dropped for c in item.comparisons), default=0)
    parts = [f"{count(sum(item.lost.values()), 'run')} not done"] if item.lost else []
    if dropped:
        parts.append(f"{count(dropped, 'seed')} left out")
    if item.reason and item.comparisons:
        parts.append(item.reason)
    return f"† {', '.join(parts)}" if parts else ""


def _record(item: Judged, comparison: Comparison | None) -> dict[str, Any]:
    claim, test = item.claim, comparison.test if comparison else None
    return {
        "claim": claim.text,
        "source": claim.source,
        "certainty": claim.certainty,
        "metric": str(claim.metric),
        "at": claim.at or "",
        "budget": item.budget,
        "better": claim.better.label,
        "stratum": ", ".join(map(str, comparison.stratum)) if comparison else "",
        "rival": comparison.rival.label if comparison else listing([side.label for side in claim.rivals]),
        "n": comparison.seeds if comparison else 0,
        "value_better": comparison.ours if comparison else math.nan,
        "value_rival": comparison.theirs if comparison else math.nan,
        "log_scale": claim.metric.quantity.log,
        "advantage": test.difference if test else math.nan,
        "ci_low": test.low if test else math.nan,
        "ci_high": test.high if test else math.nan,
        "margin": claim.margin,
        "p_holm": item.p_holm,
        "family": item.family,
        "verdict": item.verdict.value,
        "reason": item.reason,
    }
