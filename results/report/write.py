"""`batchlab report`: everything a store knows in one HTML file that needs no network.

Summary of the runs, where they ran, the papers' reproductions with their verdicts, a table and curves of the
other runs, and every failure with its reason.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path
from typing import Any

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import judged
from batchlab.results.compare.contest import LABEL, Result, result_of
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CLOCKS, Metric
from batchlab.results.compare.table import build_table
from batchlab.results.papers.catalogue import known_papers, reproduce
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.papers.scale import Scale
from batchlab.results.show.answer import sentence
from batchlab.results.show.contest_sheet import contest_sheets
from batchlab.results.show.css import CSS
from batchlab.results.show.drawing import OTHER_FILE, Drawing
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.plot import Plot
from batchlab.results.show.render import render
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.status import TONES, Status, read_status
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.atomic import replace_text, writing
from batchlab.results.store.run import State, now
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count, visible

CANDIDATES = ("test_accuracy", "test_loss", "train_loss", "full_gradient_norm", "gap")
"""What is shown of runs that belong to no paper: the first three that were recorded."""
SHOWN = (*CANDIDATES, *CLOCKS.values())
OWN = 3
"""So many of the columns that runs declare are shown beside them."""
LINES = 14
"""With more lines a plot is left out: nobody could tell them apart."""
PANELS = 6
"""The same for the panels of a plot of layers."""
LISTED = 200
"""So many runs that are not done have a line each; of more it is said how they ended."""
NUMBER = re.compile(r"\b\d[\d,.]*(?:e[+-]?\d+)?")
"""In a reason, what differs between runs that ended in the same way."""


def write_report(store: RunStore, path: Path, sweep: str | None = None) -> Path:
    """Write the report of a store, or of one sweep, atomically.

    A sweep named `PAPER-SCALE` (sgdm_schedules-laptop) is shown as that paper's reproduction; where that cannot be, its
    section says why, and its runs are shown with the others.

    Args:
        store: Where the runs are.
        path: The HTML file to write; its folders are made.
        sweep: Only the runs of this sweep.

    Returns:
        The same path.

    Raises:
        ValueError: When the file cannot be written.
    """
    everything = read_status(store, sweep)
    named = [sweep] if sweep else store.sweeps()
    papers = {f"{paper}-{scale}": paper for paper in known_papers() for scale in Scale}
    sections = []
    shown: set[str] = set()
    for name in filter(papers.__contains__, named):
        try:
            made = reproduce(store, papers[name], name)
            sections.append((made.title, _reproduction(made, name)))
            shown |= {entry.run_id for entry in store.sweep(name).entries}
        except ValueError as error:
            sections.append((name, f"<p class='empty'>{html.escape(str(error))}</p>"))
    for name in named:
        try:
            if (compared := result_of(store, name)) is not None:
                sections.append((f"Comparison {name}", _contest(compared)))
                shown |= {entry.run_id for entry in store.sweep(name).entries}
        except ValueError as error:
            sections.append((name, f"<p class='empty'>{html.escape(str(error))}</p>"))
    every = load(store, sweep, columns=SHOWN)
    if own := _own(every):
        every = load(store, sweep, columns=(*SHOWN, *own))
    rest = every.select(lambda run: run.run_id not in shown)
    if rest.runs:
        sections.append(("Other runs" if sections else "Runs", _overview(rest)))
    sections.append(("Where they ran", _environment(every)))
    sections.append(("What went wrong", _failures(everything)))
    page = _page(everything, sections)
    with writing(path, OTHER_FILE):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, visible(page))
    return path


def _page(runs: Status, sections: list[tuple[str, str]]) -> str:
    cards = "".join(
        f"<div class='card {TONES.get(state, '')}'><b>{n:,}</b><span>{state}</span></div>"
        for state, n in runs.counts.items()
    )
    links = "".join(f"<a href='#s{i}'>{html.escape(name)}</a>" for i, (name, _) in enumerate(sections))
    body = "".join(
        f"<section id='s{i}'><h2>{html.escape(name)}</h2>{content}</section>"
        for i, (name, content) in enumerate(sections)
    )
    what = f"sweep {runs.sweep}" if runs.sweep else "all runs"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>batchlab: {html.escape(what)}</title>
<style>{CSS}</style>
</head>
<body>
<header>
<h1>batchlab report</h1>
<p class="lead">{html.escape(what)} · {count(runs.total, "run")} · {now()[:16].replace("T", " ")} UTC</p>
<nav>{links}</nav>
<div class="cards"><div class="card"><b>{runs.total:,}</b><span>runs</span></div>{cards}</div>
</header>
<main>{body}</main>
<footer>A mean is over seeds; runs that diverged, failed or are not over are counted beside it, never dropped.</footer>
</body>
</html>
"""


def _reproduction(made: Reproduction, sweep: str) -> str:
    *tables, claims = made.sheets()
    lead = f"{made.reference} · sweep {sweep}"
    parts = [f"<p class='lead'>{html.escape(lead)}</p>", render(claims, "html")]
    parts += [_svg(plot) for plot in made.plots if plot.drawable]
    parts += [render(sheet, "html") for sheet in tables]
    return "".join(parts)


def _contest(result: Result) -> str:
    """The answer in a sentence, the contenders in order, every pair, and the metric over time."""
    frame = judged(result.best)
    parts = [f"<p class='lead'>{html.escape(sentence(result))}</p>"]
    parts += [render(sheet, "html") for sheet in contest_sheets(result)]
    if result.metric.name in frame.names and len(result.order) <= LINES:
        parts.append(_svg(Plot(frame, Metric(result.metric.name), ("samples", "seconds"), LABEL)))
    return "".join(parts)


def _overview(frame: Frame) -> str:
    """A table over the axes that vary, and curves: for runs that belong to no paper."""
    own = _own(frame)
    metrics = [Metric(name) for name in [*[name for name in CANDIDATES if name in frame.names][:3], *own]]
    varying = [axis for axis in CHOICES if len({run.value(axis) for run in frame.runs}) > 1]
    if not metrics:
        return "<p class='empty'>no run has recorded a row yet</p>"
    rows = varying[:-1] or varying or ["optimizer"]
    cols = varying[-1:] if len(varying) > 1 else []
    parts = [render(table_sheet(build_table(frame, rows=rows, cols=cols, metrics=metrics[:1])), "html")]
    if len(metrics) > 1:
        parts.append(render(table_sheet(build_table(frame, rows=varying or rows, metrics=metrics[1:])), "html"))
    hue = ",".join(varying[:2]) or "optimizer"
    drawn = [metric for i, metric in enumerate(metrics) if i < 2 or metric.name in own]
    if len({run.value(hue) for run in frame.runs}) <= LINES:
        parts += [_svg(Plot(frame, metric, ("samples", "seconds"), hue)) for metric in drawn]
    layers = frame.stream("layers").select(lambda run: run.rows.stop > run.rows.start)
    if layers.runs and len({run.value(hue) for run in layers.runs}) <= PANELS:
        parts.append(_svg(Layers(layers, tuple(map(Metric, ("mean", "clipped_low", "clipped_high"))), hue)))
    return "".join(parts)


def _own(frame: Frame) -> list[str]:
    """The columns that runs declare themselves, of which something can be said."""
    own = [name for name, known in frame.quantities.items() if known.better and name in frame.names]
    return [name for name in own if name not in SHOWN][:OWN]


def _svg(plot: Drawing) -> str:
    try:
        return f"<figure><div class='plot{'' if plot.wide else ' narrow'}'>{plot.svg()}</div></figure>"
    except ValueError as error:  # nothing to draw yet
        return f"<p class='empty'>{html.escape(str(error))}</p>"


def _environment(frame: Frame) -> str:
    """The combinations of hardware and versions that occur, each with its number of runs."""
    places = Counter(
        tuple(_words(run.info.get(key)) for key in ("hardware", "versions", "git")) for run in frame.runs if run.info
    )
    columns = [Column(("runs",), "right"), Column(("hardware",)), Column(("versions",)), Column(("git",))]
    rows = [[Text(f"{n:,}"), *(Text(word) for word in place)] for place, n in places.most_common()]
    notes = ["times compare only between runs of the same hardware"] if len(places) > 1 else []
    return render(Sheet("hardware and versions", columns, rows, notes, [], "no run has started yet"), "html")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items() if item not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "" if value is None else str(value)


def _failures(runs: Status) -> str:
    _, *rest = runs.sheets()
    if rest and len(rest[-1].rows) > LISTED:
        rest = [_summed(runs, rest[-1].notes)]
    return "".join(render(sheet, "html") for sheet in rest) or "<p class='empty'>nothing: every run is done</p>"


def _summed(runs: Status, said: list[str]) -> Sheet:
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
    notes = [f"`batchlab status` has a line for each{other}", *said]
    return Sheet(
        f"{count(sum(map(len, ways.values())), 'run')} that are not done, by how they ended", columns, rows, notes
    )
