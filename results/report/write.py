"""`batchlab report`: everything a store knows in one HTML file that needs no network.

On top the verdict on every claim, then the list of all runs, then papers, comparisons and a user's own sweeps with
their tables and curves, where the runs ran, and every failure with its reason. Without a script it can be read all the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from batchlab.results.compare.contest import result_of
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.load import load, swept_keys
from batchlab.results.papers.catalogue import known_papers, reproduce
from batchlab.results.papers.scale import Scale
from batchlab.results.report.assets import fill, scripts, styles
from batchlab.results.report.own import SHOWN, of_sweep, overview, own_columns
from batchlab.results.report.parts import Parts, said
from batchlab.results.report.runlist import run_list
from batchlab.results.report.sections import Section, environment, failures, of_contest, of_paper
from batchlab.results.report.sweeplist import listed
from batchlab.results.show.drawing import OTHER_FILE
from batchlab.results.show.status import TONES, read_status
from batchlab.results.store.atomic import replace_text, writing
from batchlab.results.store.run import now
from batchlab.results.store.runs import RunStore, Sweep
from batchlab.results.words import count, visible

SECTIONS = 12
"""So many of a user's own sweeps have a section each, the latest; the runs of others are shown together."""


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
    page = report_page(store, sweep)
    with writing(path, OTHER_FILE):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, page)
    return path


def report_page(store: RunStore, sweep: str | None = None, follow: str = "") -> str:
    """The report as the text of one HTML file.

    Args:
        store: Where the runs are.
        sweep: Only the runs of this sweep.
        follow: What the page ends with where somebody serves it and runs go on, or have not begun.
    """
    status, parts = read_status(store, sweep), Parts()
    what = status.title if status.sweep else "all runs"
    title = f"batchlab: {visible(what)}"
    if not status.total:
        body = _seen(fill("none", what=f"folder {status.root}", served=bool(follow)))
        return str(fill("page", title=title, style=styles(), body=body, script="", follow=follow))
    named = [sweep] if sweep else store.sweeps()
    judged = _judged(store, named, parts)
    every = load(store, sweep, columns=SHOWN)
    if own := own_columns(every):
        every = load(store, sweep, columns=(*SHOWN, *own))
    known = _readable(store, named)
    sections = [*judged, *_own(store, every, known, judged, parts)]
    asked_for = listed(known, every, sections)
    sections.append(Section(parts.name("s"), "Where they ran", environment(parts, every, status.total)))
    sections.append(Section(parts.name("s"), "What went wrong", failures(parts, status)))
    runs = run_list(status, every, swept_keys(store, every, sweep), (*SHOWN[:5], *own), known, asked_for)
    body = fill(
        "body",
        what=what,
        lead=f"{what} · {count(status.total, 'run')} · {now()[:16].replace('T', ' ')} UTC",
        cards=[(n, str(state), TONES.get(state, "")) for state, n in status.counts.items()],
        total=status.total,
        glances=[section.glance for section in sections if section.glance],
        runs=runs.html(),
        sections=sections,
    )
    return str(fill("page", title=title, style=styles(), body=_seen(body), script=scripts(), follow=follow))


def _seen(body: str) -> Markup:
    """A page without control characters: what a run is called comes from anywhere."""
    return Markup(visible(str(body)))


def _judged(store: RunStore, named: Sequence[str], parts: Parts) -> list[Section]:
    """The papers and comparisons among some sweeps."""
    papers = {f"{paper}-{scale}": paper for paper in known_papers() for scale in Scale}
    sections: list[Section] = []

    def add(name: str, made: Section) -> None:
        runs = frozenset(entry.run_id for entry in store.sweep(name).entries)
        sections.append(replace(made, sweep=name, runs=runs))

    for name in filter(papers.__contains__, named):
        try:
            add(name, of_paper(parts, reproduce(store, papers[name], name), name))
        except ValueError as error:
            sections.append(Section(parts.name("s"), name, said(str(error))))
    for name in named:
        try:
            if (compared := result_of(store, name)) is not None:
                add(name, of_contest(parts, compared, name))
        except ValueError as error:
            sections.append(Section(parts.name("s"), name, said(str(error))))
    return sections


def _readable(store: RunStore, named: Sequence[str]) -> list[Sweep]:
    """Those of some sweeps whose manifests can be read."""
    return [sweep for sweep in store.manifests()[0] if sweep.name in named]


def _own(
    store: RunStore, every: Frame, known: Sequence[Sweep], judged: Sequence[Section], parts: Parts
) -> list[Section]:
    """A user's own sweeps, the latest first, and the runs that belong to none.

    One all of whose runs other sections show has none itself: the list of sweeps says which ones (`sweeplist`).
    """
    sections: list[Section] = []
    told = {run_id for section in judged for run_id in section.runs}
    for sweep in reversed(known):
        ids = frozenset(entry.run_id for entry in sweep.entries)
        if len(sections) == SECTIONS or ids <= told:
            continue
        frame = of_sweep(every, sweep)
        if not frame.runs:
            continue
        content = overview(parts, frame, swept_keys(store, frame, sweep.name))
        title = f"{'Run' if sweep.alone else 'Sweep'} {sweep.name}"
        sections.append(Section(parts.name("s"), title, content, sweep=sweep.name, runs=ids))
        told |= ids
    rest = every.select(lambda run: run.run_id not in told)
    if rest.runs:
        title = "Other runs" if sections or told else "Runs"
        ids = frozenset(run.run_id for run in rest.runs)
        sections.append(Section(parts.name("s"), title, overview(parts, rest), runs=ids))
    return sections
