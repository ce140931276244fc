"""A paper's comparison, run again: tables, claims with verdicts, plots, and the published numbers beside them.

Each paper is one module of `papers` with a function `build(frame) -> Reproduction`; `reproduce` finds it by its
name. `batchlab reproduce` prints a reproduction and `batchlab report` embeds it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchlab.results.compare.claims import Judged
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.load import load
from batchlab.results.compare.table import Table
from batchlab.results.papers import literature
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.sheet import Sheet
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.runs import RunStore

if TYPE_CHECKING:
    from batchlab.results.show.drawing import Drawing

SCALES = ("laptop", "gpu", "paper")
"""At which a paper can be reproduced; its sweep is called `PAPER-SCALE`."""


@dataclass(frozen=True)
class Reproduction:
    """What was measured of a paper's comparison, and what it says about the paper's claims.

    Attributes:
        paper: The module's name in `papers`.
        title: What it compares.
        reference: The paper: authors, title, arXiv number.
        tables: Our results.
        claims: The paper's claims, each with its verdict.
        plots: Figures, in the order in which they are saved.
        published: The paper's numbers.
        notes: How to read it: what differs from the paper, what is unknown.
        problems: Damaged files, one line each.
    """

    paper: str
    title: str
    reference: str
    tables: Sequence[Table | Sheet] = ()
    claims: list[Judged] = field(default_factory=list)
    plots: Sequence[Drawing] = ()
    published: list[Sheet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sheets(self) -> list[Sheet]:
        """All there is to print, in reading order: our tables, the published numbers, the claims."""
        claims = claims_sheet(self.claims, f"{self.reference}: the claims, and what was measured")
        claims = replace(claims, notes=[*claims.notes, *self.notes, *self.problems])
        tables = [table if isinstance(table, Sheet) else table_sheet(table) for table in self.tables]
        return [*tables, *self.published, claims]

    def save_plots(self, folder: Path, suffix: str = ".png") -> list[Path]:
        """Write every plot that has something to draw.

        Args:
            folder: Where to.
            suffix: Of PNG, SVG or PDF files.

        Returns:
            The files, `PAPER-1.png` and so on.
        """
        drawable = [plot for plot in self.plots if plot.drawable]
        return [plot.save(folder / f"{self.paper}-{i}{suffix}") for i, plot in enumerate(drawable, 1)]


def known_papers() -> list[str]:
    """The papers that can be reproduced: a module here and numbers in `published/`, under one name."""
    found = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return [paper for paper in literature.published_papers() if paper in found]


def build(paper: str, frame: Frame) -> Reproduction:
    """The reproduction of a paper from loaded runs.

    Args:
        paper: Its name.
        frame: Runs with the labels of its module, in any state.

    Raises:
        ValueError: For a paper that is not there, or runs without its labels.
    """
    if paper not in known_papers():
        raise ValueError(f"no paper {paper}: choose {', '.join(known_papers())}")
    module = importlib.import_module(f"{__package__}.{paper}")
    make: Callable[[Frame], Reproduction] = module.build
    return replace(make(replace(frame, problems=[])), problems=frame.problems)  # said once, not under each table


def reproduce(store: RunStore, paper: str, sweep: str) -> Reproduction:
    """The reproduction of a paper from the runs of a sweep: what `batchlab reproduce` prints when they are done.

    Raises:
        ValueError: For a paper or a sweep that is not there, or runs without the paper's labels.
    """
    return build(paper, replace(load(store, sweep), measured=store.measured(paper)))
