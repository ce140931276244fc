"""The verdicts on a paper's claims for somebody who reads only them: a line a claim, with n and effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from batchlab.results.compare.claims import Judged, Verdict
from batchlab.results.show.claims_sheet import READINGS, outlook_text, reading_text
from batchlab.results.show.effects import effect, levels_text, threshold
from batchlab.results.show.headline import SAID, tally_text
from batchlab.results.show.sheet import Column, Sheet, Text

SHORT = {Verdict.UNDECIDED: "not decided", Verdict.NO_DIFFERENCE: "no difference"}


def in_short(judged: Sequence[Judged]) -> str:
    """How many claims hold, reading by reading: `at equal epochs, 12 claims: 10 hold, 2 not decided`."""
    if not judged:
        return "nothing is claimed that these runs could decide"
    parts = []
    for reading, own in _by_reading(judged).items():
        where = "" if reading == READINGS[None] else f"{'of' if reading == READINGS['method'] else 'at'} {reading}, "
        parts.append(f"{where}{tally_text(own)}")
    return "; ".join(parts)


def verdict_sheet(judged: Sequence[Judged]) -> Sheet:
    """A line a claim, a column for each reading of it: verdict, effect and n."""
    lines: dict[str, dict[str, Judged]] = {}
    for item in judged:
        lines.setdefault(item.claim.title, {})[reading_text(item.claim)] = item
    of_method = READINGS["method"]
    readings = [reading for reading in _by_reading(judged) if reading != of_method] or [of_method]
    alone = len(readings) == 1
    columns = [Column(("claim",)), *(Column((reading if not alone else "verdict",)) for reading in readings)]
    rows = []
    for title, found in lines.items():
        first = next(iter(found.values())).claim
        if of_method in found and readings[0] != of_method:  # it has no seeds and no budget, and no column of its own
            found = {readings[0]: found[of_method]}
        cells = [_cell(found[reading]) if reading in found else Text("") for reading in readings]
        rows.append([Text(title, detail=f"({first.source}, {first.certainty})"), *cells])
    of = f", {levels}" if (levels := levels_text(judged)) else ""
    notes = [
        f"effect: what is claimed to be better over its rival, with the interval after correction{of} (too "
        "wide to tell: of more than a factor of a million, or than accuracies can differ by); × is a ratio "
        "(below 1: less). Of several rivals the one that the verdict rests on. n: paired seeds"
    ]
    return Sheet("Verdicts", columns, rows, notes, [], "no claims")


def counts(judged: Iterable[Judged]) -> list[int]:
    """How many claims came to each verdict, in the order of `SAID`."""
    found = Counter(item.verdict for item in judged)
    return [found[verdict] for verdict in SAID]


def _cell(item: Judged) -> Text:
    """`holds (× 0.40 [0.23, 0.69], n 8)`."""
    shown, decided = item.resting_on, item.verdict is not Verdict.UNDECIDED
    verdict = SHORT.get(item.verdict, str(item.verdict))
    if item.verdict is Verdict.NO_DIFFERENCE and item.ruling:
        verdict += f" beyond {item.ruling.smallest}"
    if shown is None or shown.test is None:
        of = f"of {READINGS['method']}: " if item.claim.at == "method" and item.reason else ""
        return Text(verdict, decided, f"({of}{item.reason})" if item.reason else "")
    rival = f" against {shown.rival.label}" if len(item.comparisons) > 1 and not item.claim.distance else ""
    where = f" ({', '.join(map(str, shown.stratum))})" if shown.stratum else ""
    said = [f"{effect(item, shown)}{rival}{where}".strip(), threshold(item.claim), f"n {item.seeds}"]
    if not decided:
        said.append(outlook_text(item))
    return Text(verdict, decided, f"({', '.join(filter(None, said))})")


def _by_reading(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = {}
    for item in judged:
        found.setdefault(reading_text(item.claim), []).append(item)
    return found
