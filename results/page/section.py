"""One paper on the page of results: question, answer, figure, table, verdicts, what was run, caveats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchlab.results.compare.frame import Frame
from batchlab.results.page.facts import facts
from batchlab.results.page.verdicts import in_short, verdict_sheet
from batchlab.results.papers.reproduction import Front, Reproduction
from batchlab.results.show.render import in_markdown, render
from batchlab.results.show.sheet import Sheet
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.words import count

WILL = "of which `--dry-run` says how many it trains"
MAY = "which adds seeds while a claim asks for more; `--dry-run` says how many runs it may come to"


@dataclass(frozen=True)
class Recorded:
    """A sweep of ours that was recorded, with what it says of a paper.

    Attributes:
        made: The reproduction.
        scale: At which scale.
        front: What a visitor is shown first, made while the runs are there.
        frame: All its runs.
        deviations: How its settings differ from the published ones, a line each.
        plan: What was declared before the first look; None: nothing was.
        digest: Of the archive.
    """

    made: Reproduction
    scale: str
    front: Front
    frame: Frame
    deviations: Sequence[str] = ()
    plan: Mapping[str, Any] | None = None
    digest: str = ""

    @property
    def sweep(self) -> str:
        """Its name."""
        return f"{self.made.paper}-{self.scale}"

    @property
    def origin(self) -> str:
        """What it was made from: a page and a figure say it, so that one that is older than its archive is found."""
        return f"{self.sweep} {self.digest}"

    @property
    def figure(self) -> str:
        """Where its figure is, from the folder of the docs."""
        return f"results/{self.sweep}.png"

    @property
    def place(self) -> str:
        """Where its page is, from the folder of the docs."""
        return place_of(self.made.paper)

    @property
    def drawable(self) -> bool:
        """Whether it has a figure."""
        return self.front.figure is not None and self.front.figure.drawable


def place_of(paper: str) -> str:
    """Where a paper's page is, from the folder of the docs; our own comparison across them stands beside."""
    return "crossing.md" if paper == "crossing" else f"papers/{paper}.md"


def section(recorded: Recorded) -> str:
    """What came of a recorded sweep, in Markdown, for the page of its paper."""
    made, front, scale = recorded.made, recorded.front, recorded.scale
    prefix = f"{scale} scale: "
    deviations = [line.removeprefix(prefix) for line in recorded.deviations]
    caveats = [note for note in made.notes if note not in recorded.deviations]
    parts = [f"## What came of it, at {scale} scale\n"]
    parts.append(f"**In short**: {in_markdown(front.answer or f'{in_short(made.claims)}.')}\n")
    parts += picture(recorded, "../" * recorded.place.count("/"))
    parts += [render(sheet, "markdown") for sheet in sheets(recorded)]
    parts.append(render(verdict_sheet(made.claims), "markdown") if front.verdicts else "")
    parts.append(_listed("**What was run**", facts(recorded.frame, recorded.plan)))
    parts.append(_listed("**How that differs from what was published**", deviations))
    parts.append(_folded("How to read it, and what it does not say", [*caveats, *made.problems]))
    parts.append(
        f"All tables and figures of these {count(len(recorded.frame.runs), 'run')}: `batchlab reproduce {made.paper} "
        f"--scale {scale} --recorded --full`. Again from the start: `batchlab reproduce {made.paper} --scale {scale}`, "
        f"{MAY if recorded.plan else WILL}.\n"
    )
    return "\n".join(filter(None, parts))


def picture(recorded: Recorded, folder: str = "") -> list[str]:
    """The figure with what it shows, in Markdown; nothing where there is none.

    Args:
        recorded: Whose.
        folder: Of the page, from where it is shown.
    """
    if not recorded.drawable:
        return []
    caption = recorded.front.caption or recorded.made.title
    return [f"![{_alt(recorded.made.title)}]({folder}{recorded.figure})\n", f"*{in_markdown(caption)}*\n"]


def sheets(recorded: Recorded) -> list[Sheet]:
    """The tables that a visitor is shown."""
    return [table if isinstance(table, Sheet) else table_sheet(table) for table in recorded.front.tables]


def bare(sheet: Sheet) -> Sheet:
    """A table without its notes."""
    return replace(sheet, notes=[])


def _alt(text: str) -> str:
    return re.sub(r"[\[\]\n]", " ", text)


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}\n", *(f"- {in_markdown(line)}" for line in lines), ""]) if lines else ""


def _folded(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return "\n".join(
        [f"<details><summary>{title}</summary>\n", *(f"- {in_markdown(x)}" for x in lines), "\n</details>\n"]
    )
