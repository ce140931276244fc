"""Which papers can be reproduced, and each by its name: on top of their modules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from batchlab.results.compare.decide import Plan, decide
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.load import load
from batchlab.results.papers import literature
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.store.runs import RunStore

ADDED = (
    "seeds were added where they could decide a claim, so that n differs between rows of the tables; what no claim "
    "compares (learning rates that were not chosen) was not trained"
)
"""Said of runs that were bought until claims were decided."""


OURS = ("crossing",)
"""Comparisons of our own, which are made as the papers' are: without published numbers."""


def known_papers() -> list[str]:
    """What can be reproduced: a module here and numbers in `published/`, under one name, and what is `OURS`."""
    found = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return sorted([*(paper for paper in literature.published_papers() if paper in found), *OURS])


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

    Where a plan was declared, the verdicts are those of its looks.

    Args:
        store: Where its runs are.
        paper: By the name that the command takes.
        sweep: Whose runs they are, with the paper's labels.

    Raises:
        ValueError: For a paper or a sweep that is not there, or runs without the paper's labels.
    """
    frame = replace(load(store, sweep), measured=store.measured(paper))
    made, declared = build(paper, frame), store.plan(sweep)
    made = replace(made, notes=[*store.sweep(sweep).notes, *made.notes])
    if declared is None:
        return made
    claims = decide(frame, lambda part: build(paper, part).claims, Plan.of(declared))
    return replace(made, claims=claims, notes=[ADDED, *made.notes])
