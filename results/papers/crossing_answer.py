"""What to use at which budget: a paragraph, made of the verdicts and the numbers of `crossing`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.outcomes import Fate
from batchlab.results.papers.crossing_costs import CLOCKED, Costs
from batchlab.results.papers.crossing_readings import PLURALS, Standing
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.words import count, listing

NOTHING = "No judged run is done yet: nothing can be said."
QUESTION = "What should I use at this budget?"
NAMED = 4
"""Contenders that a sentence names."""
NEAR = 0.02
"""Scores that are this near the best one are named with it."""


def answer_sheet(standings: Sequence[Standing], costs: Costs) -> Sheet:
    """The paragraph as a sheet of one cell."""
    text = answer(standings, costs)
    return Sheet(QUESTION, [Column(("read off the verdicts above",))], [[Text(text)]], [], [{"answer": text}])


def answer(standings: Sequence[Standing], costs: Costs) -> str:
    """The paragraph.

    Args:
        standings: Everything that was compared, with verdicts.
        costs: Of the same runs.
    """
    found = {(one.kind, one.reading.name): one for one in standings}
    if not any(one.values(name) for one in standings for name in one.names):
        return NOTHING
    parts = []
    for reading in dict.fromkeys(one.reading for one in standings):
        own = [one for one in standings if one.reading == reading]
        said = [_said(one) for one in own]
        parts.append(f"With {reading.words}: {'; '.join(filter(None, said))}.")
    parts.append(_cheapest(costs))
    parts.append(_so(found["contender", standings[0].reading.name]))
    return " ".join(filter(None, parts))


def brief_sheet(standings: Sequence[Standing], title: str) -> Sheet:
    """The same for a screen: a line for each budget, and what follows.

    Args:
        standings: Everything that was compared, with verdicts.
        title: Of the sheet.
    """
    columns = [Column(("",)), Column(("",))]
    if not any(one.values(name) for one in standings for name in one.names):
        return Sheet(title, columns, [], empty=NOTHING)
    rows = []
    for reading in dict.fromkeys(one.reading for one in standings):
        own = [one for one in standings if one.reading == reading and len(one.names) > 1]
        decided = {PLURALS[one.kind]: [*filter(None, [_first(one)]), *_others(one, "beats")] for one in own}
        first = [f"{kind}: {', '.join(texts)}" for kind, texts in decided.items() if texts]
        left = [PLURALS[one.kind] for one in own if not decided[PLURALS[one.kind]] and not _untested(one)]
        without = [PLURALS[one.kind] for one in own if _untested(one)]
        said = [*first, *([f"{listing(left)}: not decided"] if left else [])]
        said += [f"{listing(without)}: not compared"] if without else []
        rows.append([Text(reading.name), Text("; ".join(said))])
    contenders = next(one for one in standings if one.kind == "contender")
    return Sheet(title, columns, rows, [f"{_so(contenders)} --full prints all."])


def _first(one: Standing) -> str:
    """Who stands first of its kind, and whom it is better than; empty where it is better than none."""
    best, *others = one.order
    worse = [name for name in others if one.beats(best, name)]
    if not worse or not (values := one.values(best)):
        return ""
    than = "every other" if len(worse) == len(others) else _few(worse)
    return f"{best} first ({100 * sum(values) / len(values):.2f} %), better than {than}"


def _others(one: Standing, beats: str = "is better than") -> list[str]:
    """What is decided of pairs beyond whom the first of its kind is better than; of many pairs how many they are.

    Args:
        one: What was compared.
        beats: How it is said; a screen has less room.
    """
    best = one.order[0]
    worse = {name: [other for other in one.order if one.beats(name, other)] for name in one.order if name != best}
    better = {name: others for name, others in worse.items() if others}
    same = [pair for pair in combinations(one.order, 2) if _is(one, *pair, Verdict.NO_DIFFERENCE)]
    n = sum(map(len, better.values()))
    if n > NAMED:
        said = [f"{n} more pairs are told apart"]
    else:
        said = [f"{name} {beats} {listing(others)}" for name, others in better.items()]
    if len(same) > NAMED:
        return [*said, f"{len(same)} pairs differ by no more than {_smallest(one)}"]
    return [*said, *(f"{a} is no more than {_smallest(one)} from {b}" for a, b in same)]


def _smallest(one: Standing) -> str:
    return next((item.ruling.smallest for item in one.pairs if item.ruling and item.ruling.smallest), "")


def _untested(one: Standing) -> list[str]:
    """Why nothing of a kind could be tested."""
    return [item.reason for item in one.pairs if item.reason and item.comparisons and not item.tested]


def _said(one: Standing) -> str:
    """Who is best at a budget, beyond whom, and against whom that is open."""
    if len(one.names) < 2:
        return ""
    best, *others = one.order
    values = one.values(best)
    if not values:
        return f"no {one.kind} has a number"
    if reasons := _untested(one):
        return f"{PLURALS[one.kind]} are not compared ({reasons[0]})"
    worse = [name for name in others if one.beats(best, name)]
    decided = _others(one)
    mean = f"{100 * sum(values) / len(values):.2f} %, {count(len(values), 'seed')}"
    if not worse and not decided:
        every = count(len(one.names), one.kind, PLURALS[one.kind])
        return f"between {every} nothing is decided ({best} has the highest mean, {mean})"
    also = f", while {', '.join(decided)}" if decided else ""
    if len(worse) == len(others):
        return f"{_called(one, best)} best, better than every other ({mean}){also}"
    left = [name for name in others if name not in worse and not _is(one, best, name, Verdict.NO_DIFFERENCE)]
    beyond = f", better than {_few(worse)}" if worse else ""
    open_ = f", not told apart from {_few(left)}" if left else ""
    return f"{_called(one, best)} first ({mean}){beyond}{open_}{also}"


def _called(one: Standing, name: str) -> str:
    return f"{name} batches are" if one.kind == "batches" else f"{name} is"


def _is(one: Standing, a: str, b: str, verdict: Verdict) -> bool:
    item = one.between(a, b)
    return item is not None and item.verdict is verdict


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    if len(names) <= NAMED + 1:
        return listing(list(names))
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _cheapest(costs: Costs) -> str:
    """Who comes to the targets at the least cost; a description without a test."""
    said = []
    for clock in costs.clocks:
        scores = costs.scores(clock)
        top = max(scores.values(), default=0.0)
        if clock == "gradients" or not top > 0 or math.isnan(top):
            continue
        if clock == "seconds" and costs.untimely:
            said.append(f"time is not compared ({costs.untimely[0]})")
            continue
        first = [name for name in sorted(scores, key=lambda name: -scores[name]) if scores[name] >= top - NEAR]
        shown = dict.fromkeys(f"{scores[name]:.2f}" for name in (first[0], first[-1]))
        said.append(
            f"in {CLOCKED[clock]} {_few(first)} ({'scores' if len(shown) > 1 else 'score'} {' to '.join(shown)})"
        )
    never = [problem for problem in costs.targets if not _came(costs, problem)]
    missed = f" No contender came to the target of {listing(never)}, which tells none from another." if never else ""
    return f"Cheapest to the targets, as these runs went: {'; '.join(said)}.{missed}" if said else ""


def _came(costs: Costs, problem: str) -> bool:
    """Whether any run came to a problem's target."""
    spent = (outcome for name in costs.contenders for outcome in costs.of("samples", name, problem))
    return any(outcome.fate is Fate.MEASURED for outcome in spent)


def _so(one: Standing) -> str:
    """What follows, where anything does."""
    best, *others = one.order
    worse = [name for name in others if any(one.beats(other, name) for other in one.order)]
    if not worse:
        return (
            "So: of these contenders any may be the best; take what is easiest to tune, or add seeds "
            "(`--until-decided`) before believing an order."
        )
    if all(one.beats(best, name) for name in others):
        return f"So: {best}, on these problems."
    kept = [name for name in one.order if name not in worse]
    return (
        f"So: with a whole budget, any of {_few(kept)}; what is decided is what to leave: {_few(worse[::-1])}. Among "
        "those that are left cost may decide: steps where a batch is spread over many machines, time where it is not."
    )
