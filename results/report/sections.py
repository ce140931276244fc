"""What the sections of the report hold: papers, comparisons, where runs ran and what went wrong."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from markupsafe import Markup

from batchlab.results.compare.choice import judged
from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.contest import LABEL, Result
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.report.glance import Glance, glance, sentences
from batchlab.results.report.own import summed_up
from batchlab.results.report.parts import Parts, lead, said
from batchlab.results.show.answer import sentence
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.contest_sheet import contest_sheets
from batchlab.results.show.headline import tally_text
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.status import Status
from batchlab.results.store.run import State
from batchlab.results.words import count

LISTED = 200
"""So many runs that are not done have a line each; of more it is said how they ended."""
NUMBER = re.compile(r"\b\d[\d,.]*(?:e[+-]?\d+)?")
"""In a reason, what differs between runs that ended in the same way."""


@dataclass(frozen=True)
class Section:
    """A part of the page with a title.

    Attributes:
        name: What it is called in an address.
        title: Above it.
        content: What it holds.
        glance: Its claims, for the top of the page; None: it has none.
        sweep: The sweep that it is about; empty: of none, or of several.
        runs: The identities of the runs that it shows.
    """

    name: str
    title: str
    content: Markup
    glance: Glance | None = None
    sweep: str = ""
    runs: frozenset[str] = frozenset()


def of_paper(parts: Parts, made: Reproduction, sweep: str) -> Section:
    """A paper's claims, figures and tables."""
    name = parts.name("s")
    *tables, claims = made.sheets()
    rows, answer, shown = f"{name}-claim", "", made.claims
    top = [lead(f"{made.reference} · sweep {sweep}")]
    if claims.rows and not any(column.header[-1] == "claim" for column in claims.columns):
        # of hundreds of claims the sheet is what came of them, in words: those that are decided are listed beside it
        answer = claims.rows[0][0].text
        lines = [[Text(line.replace("`", ""))] for line in sentences(answer)]
        top.append(parts.sheet(replace(claims, rows=lines)))
        shown = [c for c in made.claims if c.verdict is not Verdict.UNDECIDED]
        claims = claims_sheet(shown, "what is decided")
    top += [parts.sheet(claims, rows)] if shown or not answer else []
    drawn = parts.drawings([plot for plot in (*made.panes, *made.plots) if plot.drawable])
    cards = [parts.name("t") if table.columns[:1] == [Column(("pair",))] else "" for table in tables]
    content = Markup("").join([*top, drawn, *map(parts.sheet, tables, cards)])
    found = replace(
        glance(made.title, name, rows, claims, shown, _in_short(made, answer)), summary=tally_text(made.claims)
    )
    return Section(name, made.title, content, found)


def _in_short(made: Reproduction, answer: str) -> str:
    """An answer of several sentences for the top of the page: a line for each budget, and what follows from all."""
    brief = made.first().brief if answer else None
    if brief is None or not brief.rows:
        return answer
    lines = [f"{row[0].text}: {row[1].text}." for row in brief.rows]
    return " ".join([*(line[:1].upper() + line[1:] for line in lines), sentences(answer)[-1]])


def of_contest(parts: Parts, result: Result, sweep: str) -> Section:
    """The answer in a sentence, the contenders in order, every pair, and the metric over time."""
    name, title = parts.name("s"), f"Comparison {sweep}"
    if not judged(result.frame).runs:
        done = sum(run.state is State.DONE for run in result.frame.runs)
        answer = f"nothing is chosen and nothing judged yet: {count(done, 'run')} that choose are done"
        return Section(name, title, lead(answer), Glance(title, name, answer))
    frame = judged(result.best)
    order, pairs = contest_sheets(result)
    made = [lead(sentence(result)), parts.sheet(order), parts.sheet(pairs, f"{name}-pair")]
    if result.metric.name in frame.names:
        made.append(parts.curves(Plot(frame, Metric(result.metric.name), ("samples", "seconds"), LABEL)))
    made.append(summed_up(parts, result.frame))
    found = [item for a, b in combinations(result.order, 2) if (item := result.between(a, b)) is not None]
    top = glance(title, name, f"{name}-pair", pairs, found, sentence(result))
    return Section(name, title, Markup("").join(made), top)


def environment(parts: Parts, frame: Frame, total: int) -> Markup:
    """The combinations of hardware and versions that occur, each with its number of runs.

    Args:
        parts: Makes the table.
        frame: The runs that began.
        total: Of all runs, those that never did too.
    """
    said = (tuple(_words(run.info.get(key)) for key in ("hardware", "versions", "git")) for run in frame.runs)
    places = Counter(place for place in said if any(place))  # of one that was cut off before it said where: nothing
    columns = [Column(("runs",), "right"), Column(("hardware",)), Column(("versions",)), Column(("git",))]
    rows = [[Text(f"{n:,}"), *(Text(word) for word in place)] for place, n in places.most_common()]
    notes = ["times compare only between runs of the same hardware"] if len(places) > 1 else []
    if 0 < (silent := total - places.total()) < total:
        notes.append(
            f"{count(silent, 'run')} of {total:,} left out: not begun, or lost before they said where they ran"
        )
    made = Sheet("hardware and versions", columns, rows, notes, [], "no run has started yet")
    return parts.sheet(made, parts.name("t"))  # cards on a phone, where columns of words have no room


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items() if item not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "" if value is None else str(value)


def failures(parts: Parts, runs: Status) -> Markup:
    """The runs that are not done, with their reasons."""
    _, *rest = runs.sheets()
    if rest and len(rest[-1].rows) > LISTED:
        rest = [_summed(runs, rest[-1].notes)]
    return Markup("").join(map(parts.sheet, rest)) or said("nothing: every run is done")


def _summed(runs: Status, notes: list[str]) -> Sheet:
    """The runs that are not done by how they ended: of thousands nobody reads a line each."""
    ways: dict[tuple[str, str], list[str]] = {}
    for run in runs.runs:
        if run.state not in (State.DONE, State.PENDING):
            ways.setdefault((run.state, NUMBER.sub("N", run.reason or "")), []).append(run.run_id)
    order = sorted(ways.items(), key=lambda way: -len(way[1]))
    columns = [Column(("runs",), "right"), Column(("state",)), Column(("why",)), Column(("one of them",))]
    rows = [[Text(f"{len(ids):,}"), *map(Text, way), Text(ids[0])] for way, ids in order[:LISTED]]
    more = sum(len(ids) for _, ids in order[LISTED:])
    other = f"; {count(more, 'run')} ended in other ways" if more else ""
    notes = [f"`batchlab status` has a line for each{other}", *notes]
    return Sheet(
        f"{count(sum(map(len, ways.values())), 'run')} that are not done, by how they ended", columns, rows, notes
    )
