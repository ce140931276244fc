"""What came of a paper's claims, for one screen: how many hold, and which are decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.show.claims_sheet import READINGS, TONES, effect, outlook_text, resting_on, verdict_text
from batchlab.results.show.sheet import Column, Sheet, Text, p_value
from batchlab.results.words import count, listing

SAID = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.DOES_NOT_HOLD: ("does not hold", "do not hold"),
    Verdict.NO_DIFFERENCE: ("of no difference that matters", "of no difference that matters"),
    Verdict.UNDECIDED: ("not decided", "not decided"),
}
FIRST = (Verdict.DOES_NOT_HOLD, Verdict.HOLDS, Verdict.NO_DIFFERENCE, Verdict.UNDECIDED)
"""In which order claims are listed: where there is not room for all, what does not hold is not what is left out."""
LISTED = 8
"""Claims that are decided have so many lines at most."""
NEAREST = 3
"""Where none is, so many of those that the fewest seeds would decide."""


def tally_text(judged: Sequence[Judged]) -> str:
    """How many claims came to which verdict: `36 claims: 4 hold, 2 do not hold, 30 not decided`."""
    found = Counter(item.verdict for item in judged)
    if found[Verdict.UNDECIDED] == len(judged):
        return f"{count(len(judged), 'claim')}, none decided" if judged else "no claims"
    return f"{count(len(judged), 'claim')}: {_each(found)}"


def _each(found: Counter[Verdict]) -> str:
    said = ((found[verdict], words[found[verdict] != 1]) for verdict, words in SAID.items())
    return ", ".join(f"{n} {word}" for n, word in said if n)


def headline_sheet(judged: Sequence[Judged], reference: str) -> Sheet:
    """The verdicts in short: what is decided, or where nothing is, what the fewest seeds would decide.

    Args:
        judged: All claims.
        reference: Whose they are.
    """
    lines: dict[tuple[Verdict, str], list[Judged]] = {}
    for item in sorted(judged, key=lambda item: FIRST.index(item.verdict)):
        if item.verdict is not Verdict.UNDECIDED:
            lines.setdefault((item.verdict, item.claim.text), []).append(item)
    near = sorted((item for item in judged if item.needed), key=lambda item: item.needed or 0)
    shown = [*lines.values()][:LISTED] or [[item] for item in near[:NEAREST]]
    columns = [Column(("verdict",)), Column(("claim",)), Column(("effect [95 %]",))]
    columns += [Column(("p",), "right"), Column(("n",), "right")]
    left = [item for own in [*lines.values()][LISTED:] for item in own]
    notes = [f"and {len(left)} more: {_each(Counter(item.verdict for item in left))}"] if left else []
    if near and not lines and len(judged) > len(shown):
        notes.append("shown: what the fewest seeds would decide")
    title = f"{reference}: {tally_text(judged)}"
    empty = "too few runs are done" if judged else "nothing is claimed of these runs"
    return Sheet(title, columns, [_line(own) for own in shown], notes, [], empty)


def _line(own: Sequence[Judged]) -> list[Text]:
    """A claim; of several with one text the one that is least certain, which all of them come to at least."""
    item = max(own, key=lambda item: -math.inf if math.isnan(item.p_holm) else item.p_holm)
    decided, shown = item.verdict is not Verdict.UNDECIDED, resting_on(item)
    return [
        Text(verdict_text(item) if decided else "not decided", tone=TONES[item.verdict]),
        Text(f"{item.claim.text}{_where(own)}", detail="" if decided else outlook_text(item)),
        Text(effect(item, shown) if shown else item.reason),
        Text("" if math.isnan(item.p_holm) else p_value(item.p_holm).removeprefix("p ")),
        Text("" if item.claim.at == "method" else str(item.seeds)),
    ]


def _where(own: Sequence[Judged]) -> str:
    """At which budgets, or how often."""
    readings = list(dict.fromkeys(READINGS.get(item.claim.at, f"equal {item.claim.at}") for item in own))
    if len(own) == 1:
        return f" ({readings[0]})" if own[0].claim.at else ""
    return f" ({listing(readings)})" if len(readings) == len(own) else f" ({len(own)} comparisons)"
