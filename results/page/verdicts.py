"""The verdicts on a paper's claims for somebody who reads only them: a line a claim, with n and effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.show.claims_sheet import READINGS, effect, outlook_text, resting_on
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.words import count, listing

WORDS = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.DOES_NOT_HOLD: ("does not hold", "do not hold"),
    Verdict.NO_DIFFERENCE: ("is of a difference too small to matter", "are of a difference too small to matter"),
    Verdict.UNDECIDED: ("is not decided", "are not decided"),
}

SHORT = {Verdict.UNDECIDED: "not decided", Verdict.NO_DIFFERENCE: "no difference"}


def in_short(judged: Sequence[Judged]) -> str:
    """How many claims hold, reading by reading: `at equal epochs, of 12 claims: 10 hold and 2 are not decided`."""
    if not judged:
        return "nothing is claimed that these runs could decide"
    parts = []
    for reading, own in _by_reading(judged).items():
        found = Counter(item.verdict for item in own)
        said = listing([f"{n} {WORDS[verdict][n != 1]}" for verdict in WORDS if (n := found[verdict])])
        where = "" if reading == READINGS[None] else f"{'of' if reading == READINGS['method'] else 'at'} {reading}, "
        parts.append(f"{where}of {count(len(own), 'claim')}: {said}")
    return "; ".join(parts)


def verdict_sheet(judged: Sequence[Judged]) -> Sheet:
    """A line a claim, a column for each reading of it: verdict, effect and n."""
    lines: dict[tuple[str, str], dict[str, Judged]] = {}
    twice = {text for text, sides in _sides(judged).items() if len(sides) > 1}
    for item in judged:
        key = item.claim.text, _versus(item) if item.claim.text in twice else ""
        lines.setdefault(key, {})[_reading(item)] = item
    of_method = READINGS["method"]
    readings = [reading for reading in _by_reading(judged) if reading != of_method] or [of_method]
    alone = len(readings) == 1
    columns = [Column(("claim",)), *(Column((reading if not alone else "verdict",)) for reading in readings)]
    rows = []
    for (text, versus), found in lines.items():
        first = next(iter(found.values())).claim
        said = ", ".join(filter(None, (versus, f"{first.source}, {first.certainty}")))
        if of_method in found and readings[0] != of_method:  # it has no seeds and no budget, and no column of its own
            found = {readings[0]: found[of_method]}
        cells = [_cell(found[reading]) if reading in found else Text("") for reading in readings]
        rows.append([Text(text, detail=f"({said})"), *cells])
    notes = [
        "effect: what is claimed to be better over its rival, with the 95 % interval after correction (too "
        "wide to tell: of more than a factor of a million, or than accuracies can differ by); × is a ratio "
        "(below 1: less), signed numbers are points. Of several rivals the one that the verdict rests on. n: paired "
        "seeds"
    ]
    return Sheet("Verdicts", columns, rows, notes, [], "no claims")


def counts(judged: Iterable[Judged]) -> list[int]:
    """How many claims came to each verdict, in the order of `WORDS`."""
    found = Counter(item.verdict for item in judged)
    return [found[verdict] for verdict in WORDS]


def _cell(item: Judged) -> Text:
    """`holds (× 0.40 [0.23, 0.69], n 8)`."""
    shown, decided = resting_on(item), item.verdict is not Verdict.UNDECIDED
    verdict = SHORT.get(item.verdict, str(item.verdict))
    if item.verdict is Verdict.NO_DIFFERENCE and item.ruling:
        verdict += f" beyond {item.ruling.smallest}"
    if shown is None:
        of = f"of {READINGS['method']}: " if item.claim.at == "method" and item.reason else ""
        return Text(verdict, decided, f"({of}{item.reason})" if item.reason else "")
    rival = f" against {shown.rival.label}" if len(item.comparisons) > 1 and not item.claim.distance else ""
    where = f" ({', '.join(map(str, shown.stratum))})" if shown.stratum else ""
    said = [f"{effect(item, shown)}{rival}{where}".strip(), f"n {item.seeds}"]
    if not decided:
        said.append(outlook_text(item).replace("seeds would", "seeds would decide"))
    return Text(verdict, decided, f"({', '.join(filter(None, said))})")


def _by_reading(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = {}
    for item in judged:
        found.setdefault(_reading(item), []).append(item)
    return found


def _reading(item: Judged) -> str:
    return READINGS.get(item.claim.at, f"equal {item.claim.at}")


def _versus(item: Judged) -> str:
    return f"{item.claim.better.label} against {listing([rival.label for rival in item.claim.rivals])}"


def _sides(judged: Iterable[Judged]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in judged:
        found.setdefault(item.claim.text, set()).add(_versus(item))
    return found
