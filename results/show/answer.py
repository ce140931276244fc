"""The answer to a contest in plain English."""

from __future__ import annotations

import math

from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.contest import Result, turned
from batchlab.results.compare.stats import summarize
from batchlab.results.show.claims_sheet import outlook_text
from batchlab.results.show.effects import effect
from batchlab.results.show.sheet import decimals, number
from batchlab.results.words import count, listing, written


def sentence(result: Result) -> str:
    """Who is best, beyond whom and by how much, from whom it does not differ, and what is not decided."""
    if not result.judged:
        return "No judged run is there yet: nothing can be said."
    best, *others = result.order
    values = result.values(best, result.metric)
    if not values:
        return _nothing(result)
    worse = [name for name in others if result.beats(best, name)]
    alike = [name for name in others if _is(result, best, name, Verdict.NO_DIFFERENCE)]
    above = [name for name in others if result.beats(name, best)]
    left = [name for name in others if name not in (*worse, *alike, *above)]
    mean = f"{_mean(result, values)} over {count(len(values), 'seed')}"
    label = result.metric.label
    if (worse or alike) and not left:
        parts = [f"{best}{_chosen(result, best)} has the best {label}: {mean}."]
    else:
        lead = "" if worse or alike else "Nothing is decided yet. "
        parts = [f"{lead}{best}{_chosen(result, best)} has the best mean {label} so far: {mean}."]
    if worse:
        parts.append(f"It is better than {listing([f'{name} ({_lead(result, best, name)})' for name in worse])}.")
    if above:
        parts.append(f"But it is decided that {listing(above)} is better than it.")
    if alike:
        item = result.between(best, alike[0])
        smallest = item.ruling.smallest if item and item.ruling else ""
        parts.append(f"No difference beyond {smallest} from {listing(alike)}.")
    if left:
        outlooks = {name: outlook_text(item) for name in left if (item := result.between(best, name)) is not None}
        shown = [f"{name} ({outlooks[name]})" if outlooks.get(name) else name for name in left]
        parts.append(f"Not decided against {listing(shown)}.")
    return " ".join(parts)


def chosen_value(result: Result, name: str) -> str:
    """The values that tuning gave a contender; empty where nothing was tuned."""
    value = result.choice.chosen.get((name,), "–") if result.choice else ""
    return written(value)


def places_of(result: Result) -> int:
    """Decimal places of the metric, the same for all contenders."""
    scale = result.metric.quantity.scale
    summaries = [summarize([scale * v for v in result.values(name, result.metric)]) for name in result.order]
    spreads = sorted(s.std for s in summaries if s.n > 1 and s.std > 0)
    means = [abs(s.mean) for s in summaries if s.n]
    return decimals(spreads[len(spreads) // 2] if spreads else math.nan, min(means, default=math.nan))


def _nothing(result: Result) -> str:
    """Why no contender has a number."""
    lost = sum(result.lost(name) for name in result.order)
    if lost:
        return f"No contender has a number: {count(lost, 'judged run')} diverged or failed."
    if result.unmeasured:
        name = result.metric.name
        done = count(result.done, "judged run")
        return f"{done} done, and none has measured {name}: choose what does with +measure=NAME."
    if result.done:
        return f"No judged run came to {result.metric.title}: nothing can be said but that."
    return "No judged run is done yet: nothing can be said."


def _chosen(result: Result, name: str) -> str:
    keys = result.contest.keys
    if not keys:
        return ""
    pairs = zip(keys, chosen_value(result, name).split(), strict=False)
    return f" ({', '.join(f'{key} {value}' for key, value in pairs)})"


def _mean(result: Result, values: list[float]) -> str:
    quantity = result.metric.quantity
    mean = quantity.scale * sum(values) / len(values)
    return f"{number(mean, places_of(result))}{f' {quantity.unit}' if quantity.unit else ''}"


def _is(result: Result, a: str, b: str, verdict: Verdict) -> bool:
    item = result.between(a, b)
    return item is not None and item.verdict is verdict


def _lead(result: Result, best: str, other: str) -> str:
    """By how much, from the side of the best, at the seeds of the look that decided it."""
    item = result.between(best, other)
    if item is None or not item.comparisons:
        return ""
    item = item if item.claim.better.label == best else turned(item)
    test = item.comparisons[0].test
    seeds = "" if test and test.ranks else f" at {count(item.seeds, 'seed')}"
    return f"{effect(item, item.comparisons[0])}{seeds}"
