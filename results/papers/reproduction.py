"""A paper's comparison, run again: tables, claims with verdicts, plots, and the published numbers beside them.

Each paper is one module of `papers` with a function `build(frame) -> Reproduction`; `catalogue.reproduce` finds it by
its name. `batchlab reproduce` prints a reproduction and `batchlab report` embeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchlab.results.compare.claims import Judged
from batchlab.results.compare.table import Table
from batchlab.results.show.claims_sheet import claims_sheet
from batchlab.results.show.sheet import Sheet
from batchlab.results.show.table_sheet import table_sheet

if TYPE_CHECKING:
    from batchlab.results.show.drawing import Drawing


@dataclass(frozen=True)
class Front:
    """What a visitor is shown first of a reproduction, on the page of results.

    Attributes:
        question: What the paper asks, in a sentence or two.
        tables: The one or two that say most, the published numbers beside ours where there are some.
        figure: The one that says most; None: there is none.
        caption: What it shows, in a sentence.
        answer: What came of it in a paragraph, where one can be made from the verdicts.
        brief: The same for a screen, where that is not the verdicts.
        verdicts: Whether each claim is listed with its verdict: not where there are hundreds.
    """

    question: str
    tables: Sequence[Table | Sheet]
    figure: Drawing | None = None
    caption: str = ""
    answer: str = ""
    brief: Sheet | None = None
    verdicts: bool = True


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
        front: Makes what `first` returns; None: the first table and the first figure will do.
        panes: Figures for the report alone, before the others: a glance at recorded runs does not wait for them.
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
    front: Callable[[], Front] | None = field(default=None, repr=False, compare=False, kw_only=True)
    panes: Sequence[Drawing] = field(default=(), kw_only=True)

    def sheets(self) -> list[Sheet]:
        """All there is to print, in reading order: our tables, the published numbers, the claims."""
        claims = claims_sheet(self.claims, f"{self.reference}: the claims, and what was measured")
        claims = replace(claims, notes=[*claims.notes, *self.notes, *self.problems])
        tables = [table if isinstance(table, Sheet) else table_sheet(table) for table in self.tables]
        return [*tables, *self.published, claims]

    def first(self) -> Front:
        """What a visitor is shown first: what its paper's module says, else the first table and the first figure."""
        if self.front is not None:
            return self.front()
        drawable = [plot for plot in self.plots if plot.drawable]
        return Front("", self.tables[:1], drawable[0] if drawable else None)

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
