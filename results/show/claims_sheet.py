"""Claims with what was measured and the verdict, as a sheet for any format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from batchlab.results.compare.caveats import batchnorm_note, selection_note, timed, together
from batchlab.results.compare.claims import Claim, Comparison, Judged, Side, Verdict
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Fate, Outcome, restricted_mean
from batchlab.results.compare.power import MOST, POWER, detectable
from batchlab.results.compare.stats import ALPHA
from batchlab.results.show.effects import effect, heading, levels_text, shown_of, threshold
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number, p_value
from batchlab.results.words import count, duration, listing

READINGS = {None: "whole runs", "seconds": "equal time", "method": "the method itself"}
ANY = 100
"""An effect of more standard deviations is not worth its digits: so few seeds hardly see any."""
P = "p (Holm)"
"""What the column of corrected p is called; over how many claims it is, `family_text` says once."""
TONES: dict[Verdict, Any] = {
    Verdict.HOLDS: "good",
    Verdict.DOES_NOT_HOLD: "bad",
    Verdict.NO_DIFFERENCE: "",
    Verdict.UNDECIDED: "dim",
}


def claims_sheet(judged: Sequence[Judged], title: str = "claims") -> Sheet:
    """Claims with what was measured and the verdict, a row each.

    Args:
        judged: The verdicts; what repeats the row above is left blank.
        title: Of the sheet.
    """
    columns = [Column((name,)) for name in ("claim", "read at", "measured", heading("effect", judged))]
    columns += [Column((P,), "right"), Column(("n",), "right"), Column(("verdict",))]
    rows, records, before = [], [], Claim("", "", "", Side("", {}), (), Metric(""))
    for item in judged:
        claim = item.claim
        shown = shown_of(item)
        rows.append(
            [
                _named(claim, before),
                Text(reading_text(claim), detail=_budget(item)),
                Text("\n".join(_values(claim, c) for c in shown) or item.reason),
                Text(
                    "\n".join(effect(item, c) for c in shown),
                    detail=threshold(claim) if _tested(shown) else "",
                ),
                Text("" if math.isnan(item.p_holm) else p_value(item.p_holm).removeprefix("p ")),
                Text(seeds_text(item, shown)),
                Text(
                    verdict_text(item), item.verdict is not Verdict.UNDECIDED, verdict_detail(item), TONES[item.verdict]
                ),
            ]
        )
        before = claim
        records += [_record(item, c) for c in item.comparisons] or [_record(item, None)]
    notes = [*rule_notes(judged), *power_note(judged)]
    notes += selection_note(item.claim.metric for item in judged)
    parts: dict[int, int] = {}
    for item in judged:
        parts |= {part: max(batch, parts.get(part, 0)) for part, batch in item.parts.items()}
    notes += batchnorm_note(parts)
    return Sheet(title, columns, rows, notes, records, "no claims")


def reading_text(claim: Claim) -> str:
    """What a claim was read at."""
    return READINGS.get(claim.at, f"equal {claim.at}")


def counted(judged: Sequence[Judged]) -> str:
    """`3 claims`; of contenders that are compared `3 pairs`."""
    return count(len(judged), _noun(judged))


def _noun(judged: Sequence[Judged]) -> str:
    return "pair" if judged and all(item.claim.pair for item in judged) else "claim"


def pair_text(item: Judged) -> str:
    """A pair, which claims nothing: `a against b`."""
    return f"{item.claim.better.label} against {item.claim.rivals[0].label}"


def family_text(judged: Sequence[Judged]) -> str:
    """Over how many claims p is corrected: `11 claims of whole runs, 3 of equal time`; empty where nothing has a p."""
    sizes: dict[str, set[int]] = {}
    for item in judged:
        if not math.isnan(item.p_holm):
            sizes.setdefault(reading_text(item.claim), set()).add(item.family)
    every = sorted(set().union(*sizes.values()))
    if not every:
        return ""
    noun = _noun(judged)
    if len(sizes) == 1 or len(every) == 1:
        more = " of each reading" if len(sizes) > 1 else ""
        return f"{_span(every)} {noun}{'' if every == [1] else 's'}{more}"
    first, *others = [(reading, _span(sorted(own))) for reading, own in sizes.items()]
    return ", ".join([f"{first[1]} {noun}s of {first[0]}", *(f"{n} of {reading}" for reading, n in others)])


def _span(sizes: Sequence[int]) -> str:
    return f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"


def seeds_text(item: Judged, shown: Sequence[Comparison] = ()) -> str:
    """How many seeds were compared; a line for each of the comparisons shown, where they differ."""
    if item.claim.at == "method":
        return ""
    own = [str(comparison.seeds) for comparison in shown]
    return "\n".join(own) if len(set(own)) > 1 else str(item.seeds)


def _named(claim: Claim, before: Claim) -> Text:
    """What is claimed, less what the row above has said."""
    if claim.title == before.title:
        return Text("")
    if claim.text == before.text:
        return Text(f"… {claim.side}")
    return Text(claim.title, detail=f"{claim.source}, {claim.certainty}")


def rule_notes(judged: Sequence[Judged]) -> list[str]:
    """How verdicts came about: of runs that are all there, or in looks."""
    test = "one difference per seed, two-sided paired t-test (signed ranks where a seed has no number)"
    rulings = [item.ruling for item in judged if item.ruling]
    levels = f" ({said})" if (said := levels_text(judged)) else ""
    over = f": {said}" if (said := family_text(judged)) else ""
    if not rulings:
        return [
            f"rule: {test}, Holm over the claims of one reading{over}; intervals as wide{levels}; needs p < {ALPHA} "
            "against every rival"
        ]
    looks = ", ".join(map(str, rulings[0].looks))
    notes = [
        f"rule: {test}; looks at {looks} seeds, declared before the first: over all looks, and over a family of "
        f"claims (Holm{over}), a true null is rejected with about {ALPHA:.0%}. p is corrected for both, "
        f"intervals are of the level of their look and family{levels}; a verdict is that of the look it fell at, where "
        "an effect looks too large on average"
    ]
    smallest = list(dict.fromkeys(ruling.smallest for ruling in rulings if ruling.smallest))
    if smallest:
        notes.append(
            f"no difference: two one-sided tests, as often wrong at most, reject a difference of {listing(smallest)} "
            "or more either way"
        )
    return notes


def verdict_text(item: Judged) -> str:
    """The verdict in words, with the seeds or the smallest effect that it is about."""
    if item.verdict is Verdict.NO_DIFFERENCE and item.ruling:
        return f"no difference beyond {item.ruling.smallest}"
    if item.verdict is Verdict.UNDECIDED:
        return f"not decided at n = {item.seeds}" if item.tested else "not decided"
    if item.claim.pair:
        return f"{(item.claim.better if item.verdict is Verdict.HOLDS else item.claim.rivals[0]).label} is better"
    return str(item.verdict)


def undecided_by_shared_times(judged: Sequence[Judged]) -> str:
    """What could not be decided because runs trained together, whose seconds are shares; empty where nothing was.

    One sentence, whose way out only a command knows.
    """
    open_ = [item for item in judged if item.verdict is Verdict.UNDECIDED and timed(item.claim.metric, item.claim.at)]
    if not (n := sum(together(item.runs) > 0 for item in open_)):
        return ""
    are, of_which = ("is", "its") if n == 1 else ("are", "their")
    return f"{count(n, 'claim')} about time {are} not decided because {of_which} runs trained together"


def power_note(judged: Sequence[Judged]) -> list[str]:
    """What the paired t-tests of this sheet could have seen, at the level of the first step of Holm's correction.

    One note, from the least to the greatest effect where numbers of seeds or families differ; the greater one where
    claims of one family differ in their level.
    """
    asked: dict[tuple[int, int], float] = {}
    for item in judged:
        if item.family and item.seeds > 1:
            of = item.seeds, item.family
            asked[of] = min(item.level, asked.get(of, 1.0))
    seen = sorted((detectable(n, level), n, family) for (n, family), level in asked.items())
    if not seen:
        return []
    said = [
        f"at n = {n} (Holm over {count(family, _noun(judged))}) one of {_deviations(effect)} standard deviations"
        for effect, n, family in (seen[0], seen[-1])
    ]
    return [f"power: what a paired difference is detected at with {POWER:.0%}: {', '.join(dict.fromkeys(said))}"]


def _deviations(effect: float) -> str:
    return f"more than {ANY}" if effect > ANY else f"{effect:.2g}"


def _tested(shown: Sequence[Comparison]) -> bool:
    return any(comparison.test for comparison in shown)


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


def _budget(item: Judged) -> str:
    if math.isnan(item.budget):
        return ""
    unit = "s" if item.claim.at == "seconds" else item.claim.at
    return f"{item.budget:,.4g} {unit}" if item.budget < 1000 else f"{item.budget:,.0f} {unit}"


def verdict_detail(item: Judged) -> str:
    """When it fell, or what would decide it; what was lost."""
    lines = []
    ruling = item.ruling
    if ruling and ruling.look is not None and item.verdict is not Verdict.UNDECIDED:
        lines.append(f"at look {ruling.look + 1} of {len(ruling.looks)}, n = {ruling.looks[ruling.look]}")
    if item.needed and item.verdict is Verdict.UNDECIDED:
        lines.append(outlook_text(item))
    dropped = max((c.dropped for c in item.comparisons), default=0)
    parts = [f"{count(n, 'run')} {state}" for state, n in item.lost.items()]
    if dropped:
        parts.append(f"{count(dropped, 'seed')} left out")
    if item.reason and item.comparisons:
        parts.append(item.reason)
    return "\n".join([*lines, *([f"† {', '.join(parts)}"] if parts else [])])


def outlook_text(item: Judged) -> str:
    """How many seeds would decide, and what they would take: `5 seeds would decide: the next look, 3 min more`."""
    if not item.needed:
        return ""
    if item.needed > MOST:
        return f"more than {MOST:,} seeds would decide"
    looks = item.ruling.looks if item.ruling else ()
    minutes = f"{duration(max(1.0, 60 * item.minutes))} more" if math.isfinite(item.minutes) else ""
    if item.ruling and item.ruling.look is not None and item.needed in looks[item.ruling.look + 1 :]:
        place = looks.index(item.needed)
        which = "the next look" if place == item.ruling.look + 1 else f"look {place + 1} of {len(looks)}"
        return ", ".join(filter(None, [f"{item.needed} seeds would decide: {which}", minutes]))
    about = f"about {item.needed} seeds would decide"
    return f"{about}, beyond this plan's {looks[-1]}" if looks else ", ".join(filter(None, [about, minutes]))


def _record(item: Judged, comparison: Comparison | None) -> dict[str, Any]:
    claim, ruling = item.claim, item.ruling
    test = comparison.test.at_level(1 - item.level) if comparison and comparison.test else None
    return {
        "claim": claim.text,
        "side": claim.side,
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
        "advantage": test.difference if test and math.isfinite(test.difference) else math.nan,
        "ci_low": test.low if test else math.nan,
        "ci_high": test.high if test else math.nan,
        "ci_level": 1 - item.level if test else math.nan,
        "margin": claim.margin,
        "p_holm": item.p_holm,
        "family": item.family,
        "verdict": item.verdict.value,
        "look": ruling.looks[ruling.look] if ruling and ruling.look is not None else None,
        "smallest": ruling.smallest if ruling else "",
        "p_equal": ruling.p_equal if ruling else math.nan,
        "seeds_needed": item.needed,
        "minutes_needed": item.minutes,
        "reason": item.reason,
    }
