"""The effect of a claim as it is written everywhere, with its unit, and of which level its interval is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from batchlab.results.compare.claims import Claim, Comparison, Judged
from batchlab.results.compare.outcomes import alike, tally
from batchlab.results.show.sheet import effect_text, factor
from batchlab.results.words import count


def effect(item: Judged, comparison: Comparison) -> str:
    """The difference with unit and interval, of the level of the claim: a factor where the metric is logarithmic."""
    claim, test = item.claim, comparison.test
    if test is None:
        return ""
    test = test.at_level(1 - item.level)
    if test.ranks:  # means say little where some have no number: who was better how often does
        return standing(claim, comparison)
    quantity = claim.metric.quantity
    sign = 1.0 if quantity.better == "up" else -1.0
    ends = (sign * test.difference, *sorted((sign * test.low, sign * test.high)))
    if alike(comparison.outcomes, comparison.of_rival):
        ends = (0.0, 0.0, 0.0)
    if quantity.log:
        return effect_text(*(math.exp(min(end, 700)) for end in ends), ratio=True)
    most = quantity.scale if quantity.share else math.inf
    return effect_text(*(quantity.scale * end for end in ends), ratio=False, most=most, unit=quantity.apart)


def shown_of(item: Judged) -> list[Comparison]:
    """What there is room for: of strata that were compared one by one, only the one that the verdict rests on."""
    return [item.resting_on] if item.claim.distance and item.resting_on else item.comparisons


def threshold(claim: Claim) -> str:
    """What the effect of a claim with a margin has to lie beyond, or within: `claimed: below × 0.5`; else empty."""
    if not claim.margin:
        return ""
    quantity = claim.metric.quantity
    sign = 1.0 if quantity.better == "up" else -1.0
    if quantity.log:
        edge, *both = (f"× {factor(math.exp(way * claim.edge))}" for way in (sign, -1.0, 1.0))
    else:
        edge, *both = (f"{way * quantity.scale * claim.edge:+.12g}" for way in (sign, -1.0, 1.0))
    of = f" {quantity.apart}" if quantity.apart else ""
    if claim.distance:
        return f"claimed: {'beyond' if claim.apart else 'within'} {both[0]} to {both[1]}{of}"
    return f"claimed: {'above' if sign > 0 else 'below'} {edge}{of}"


def standing(claim: Claim, comparison: Comparison) -> str:
    """In how many seeds the side was better than its rival, where some outcomes have no number."""
    up = claim.metric.quantity.better == "up"
    better, worse, neither = tally(comparison.outcomes, comparison.of_rival, up=up, log=comparison.log)
    text = f"better in {better} of {count(comparison.seeds, 'seed')}, worse in {worse}"
    return f"{text}, neither in {neither}" if neither else text


def heading(what: str, judged: Sequence[Judged]) -> str:
    """The title of a column of effects: with the level of its intervals, or without where they have several.

    Args:
        what: `effect`, `difference` or `ratio`.
        judged: The claims of the column. Where their levels differ, `levels_text` belongs below it.
    """
    levels = _levels(judged)
    return f"{what} [{levels[0] if len(levels) == 1 else 'interval'}]" if levels else what


def levels_text(judged: Sequence[Judged]) -> str:
    """The levels of the intervals of some claims: `98.3 %`, `90 to 99.97 %`; empty where none has an interval."""
    levels = _levels(judged)
    return f"{levels[0].removesuffix(' %')} to {levels[-1]}" if len(levels) > 1 else "".join(levels)


def corrected_for(judged: Sequence[Judged]) -> str:
    """What the levels of some intervals are of: `look and family`, or without looks `family`."""
    return "look and family" if any(item.ruling for item in judged) else "family"


def _levels(judged: Sequence[Judged]) -> list[str]:
    """The levels that intervals are shown at, as they are written, from the least."""
    alphas = {item.level for item in judged if any(_has_interval(comparison) for comparison in shown_of(item))}
    return list(dict.fromkeys(_percent(alpha) for alpha in sorted(alphas, reverse=True)))


def _has_interval(comparison: Comparison) -> bool:
    test = comparison.test
    return test is not None and not test.ranks and not math.isnan(test.low)


def _percent(alpha: float) -> str:
    """What is left of 100 % by the first two digits of alpha, or the first of a small one.

    >>> _percent(0.05), _percent(0.1), _percent(0.05 / 3), _percent(0.00062), _percent(0.00003)
    ('95 %', '90 %', '98.3 %', '99.94 %', '99.997 %')
    """
    places = max(0, (alpha >= 0.001) - math.floor(math.log10(100 * alpha)))
    text = f"{100 * (1 - alpha):.{places}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
