"""What came of a paper's claims, for one screen: how many hold, and which are decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.show.claims_sheet import (
    TONES,
    counted,
    outlook_text,
    reading_text,
    seeds_text,
    verdict_text,
)
from batchlab.results.show.effects import corrected_for, effect, levels_text, threshold
from batchlab.results.show.layout import laid_out
from batchlab.results.show.sheet import Column, Sheet, Text, p_value
from batchlab.results.words import listing

SAID = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.DOES_NOT_HOLD: ("does not hold", "do not hold"),
    Verdict.NO_DIFFERENCE: ("of no difference that matters", "of no difference that matters"),
    Verdict.UNDECIDED: ("not decided", "not decided"),
}
"""What is said of one claim, and of several."""
FIRST = (Verdict.DOES_NOT_HOLD, Verdict.HOLDS, Verdict.NO_DIFFERENCE, Verdict.UNDECIDED)
"""In which order claims are listed: where there is not room for all, what does not hold is not what is left out."""
WIDTH = 80
ROOM = 11
"""So many lines of that width, so that with the paths beneath there are 14."""
NEAREST = 3
"""Where no claim is decided, so many of those that the fewest seeds would decide."""
INDENT = "  "
"""Of what was measured, beneath a claim that may take several lines itself."""
NAMED = 4
"""Sides or readings that a line names."""


def tally_text(judged: Sequence[Judged]) -> str:
    """How many claims came to which verdict: `36 claims: 4 hold, 2 do not hold, 30 not decided`.

    Of pairs, which are asked in an order that nobody is to read anything from: `3 pairs: 2 decided, 1 not decided`.
    """
    found = Counter(item.verdict for item in judged)
    pairs = all(item.claim.pair for item in judged)
    if found[Verdict.UNDECIDED] == len(judged):
        return f"{counted(judged)}, none decided" if judged else "no claims"
    said = (
        [f"{n} decided"] if pairs and (n := found.pop(Verdict.HOLDS, 0) + found.pop(Verdict.DOES_NOT_HOLD, 0)) else []
    )
    return f"{counted(judged)}: {', '.join([*said, *each_verdict(found)])}"


def each_verdict(found: Mapping[Verdict, int]) -> list[str]:
    """`4 hold`, `1 does not hold`: a text for each verdict that some claim came to."""
    return [f"{n} {words[n != 1]}" for verdict, words in SAID.items() if (n := found.get(verdict, 0))]


def headline_sheet(judged: Sequence[Judged], reference: str) -> Sheet:
    """The verdicts in short: what is decided, or where nothing is, what the fewest seeds would decide.

    Args:
        judged: All claims.
        reference: Whose they are.
    """
    decided: dict[tuple[Verdict, str], list[Judged]] = {}
    for item in sorted(judged, key=lambda item: FIRST.index(item.verdict)):
        if item.verdict is not Verdict.UNDECIDED:
            decided.setdefault((item.verdict, item.claim.text), []).append(item)
    near = sorted((item for item in judged if item.needed), key=lambda item: item.needed or 0)
    title = f"{reference}: {tally_text(judged)}{'' if decided or not near else '; nearest to it:'}"
    lines = [*decided.values()] or [[item] for item in near[:NEAREST]]
    columns = [Column(("",)), Column(("",))] if decided else [Column(("",))]
    empty = "too few runs are done" if judged else "nothing is claimed of these runs"

    def sheet(shown: int) -> Sheet:
        rows = [_line(own) for own in lines[:shown]]
        notes = _notes([_least(own) for own in lines[:shown]], lines[shown:] if decided else [])
        return Sheet(title, columns, rows, notes, [], empty)

    fitting = (made for shown in range(len(lines), 1, -1) if _height(made := sheet(shown)) <= ROOM)
    return next(fitting, sheet(1))


def _height(sheet: Sheet) -> int:
    """How many lines it takes."""
    return len(laid_out(sheet, WIDTH)) - 1  # the last is empty


def _notes(shown: Sequence[Judged], left: Sequence[Sequence[Judged]]) -> list[str]:
    levels = levels_text(shown)
    said = [f"brackets: {levels} intervals, the level of {corrected_for(shown)}"] if levels else []
    if left:
        found = Counter(item.verdict for own in left for item in own)
        said.append(f"{found.total()} more: {', '.join(each_verdict(found))}")
    return ["; ".join([*said, "--full prints all"])]


def _least(own: Sequence[Judged]) -> Judged:
    """Of several claims with one text the one that is least certain, which all of them come to at least."""
    return max(own, key=lambda item: -math.inf if math.isnan(item.p_holm) else item.p_holm)


def _line(own: Sequence[Judged]) -> list[Text]:
    """A claim, or of several with one text the one that is least certain."""
    item = _least(own)
    shown, n = item.resting_on, seeds_text(item)
    difference = effect(item, shown) if shown else ""
    measured = [difference or item.reason, threshold(item.claim) if difference else ""]
    measured += [] if math.isnan(item.p_holm) else [p_value(item.p_holm)]
    measured += [f"n {n}"] if n else []
    said = ", ".join(filter(None, measured))
    if len(own) > 1 and said:
        said = f"the least certain of them: {said}"
    if item.verdict is Verdict.UNDECIDED:
        said = "; ".join(filter(None, [said, outlook_text(item)]))
    claim = f"{item.claim.text}{_where(own)}"
    detail = f"{INDENT}{said}" if said else ""
    if item.verdict is Verdict.UNDECIDED:
        return [Text(f"· {claim}", detail=f"  {detail}" if detail else "")]  # the claim stands behind its point
    return [Text(verdict_text(item), tone=TONES[item.verdict]), Text(claim, detail=detail)]


def _where(own: Sequence[Judged]) -> str:
    """Which sides they are of, and at which budgets; of many how many they are."""
    sides, readings = (
        [*dict.fromkeys(filter(None, texts))]
        for texts in (
            (item.claim.side for item in own),
            (reading_text(item.claim) for item in own if item.claim.at or len(own) > 1),
        )
    )
    if len(own) > 1 and len(readings) == 1 and own[0].claim.at is None:
        readings = []
    if max(len(sides), 1) * max(len(readings), 1) != len(own) or len(own) > NAMED:
        return f" ({len(own)} comparisons)"
    said = "; ".join(listing(texts) for texts in (sides, readings) if texts)
    return f" ({said})" if said else ""
