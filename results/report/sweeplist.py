"""The sweeps below the report's list of runs: the command of each, and where on the page its runs are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchlab.results.compare.frame import Frame
from batchlab.results.report.commands import sweep_command
from batchlab.results.report.sections import Section
from batchlab.results.store.runs import Sweep


@dataclass(frozen=True)
class Listed:
    """A sweep in the list.

    Attributes:
        name: What it is called.
        runs: How many it has.
        command: What gives it; empty where none is known.
        own: The section that is about it; None: it has none.
        others: Otherwise the sections that show its runs, as few as hold them all.
    """

    name: str
    runs: int
    command: str
    own: Section | None
    others: Sequence[Section]


def listed(known: Sequence[Sweep], every: Frame, sections: Sequence[Section]) -> list[Listed]:
    """What the list says of some sweeps, the latest first; of a run that was trained by itself its row says it.

    Args:
        known: The sweeps, the latest last.
        every: The runs that began.
        sections: Those that show runs.
    """
    configs = {run.run_id: run.config for run in every.runs}
    found = []
    for sweep in reversed(known):
        if sweep.alone:
            continue
        own = next((section for section in sections if section.sweep == sweep.name), None)
        others = [] if own else _holding({entry.run_id for entry in sweep.entries}, sections)
        found.append(Listed(sweep.name, len(sweep.entries), sweep_command(sweep, configs), own, others))
    return found


def _holding(runs: set[str], sections: Sequence[Section]) -> list[Section]:
    """The sections that show some runs, those that show most of them first; of some that never began there is none."""
    found: list[Section] = []
    while runs:
        shown = [len(runs & section.runs) for section in sections]
        if not any(shown):
            break
        found.append(sections[shown.index(max(shown))])
        runs = runs - found[-1].runs
    return found
