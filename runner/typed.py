"""The command that asks for a sweep, as it stands in its manifest: what says which runs, nothing of where and how.

It is made of what was understood, so that a notebook's request has one too. Folders, engines and callbacks are left
out, which change no number and may be private; what is trained, tried or judged stays as it was typed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from batchlab.results.axes import NEUTRAL, within
from batchlab.results.store.runs import Asked
from batchlab.runner.options import Deciding, GridOptions

METRIC = "test_accuracy"
"""What `compare` judges where nobody says."""
HOW_LONG = "max_minutes"
"""Of `Deciding`, what stops a command and changes nothing of what the next one goes on to."""


def train(overrides: Sequence[str]) -> Asked:
    """A single run."""
    return Asked("train", ("train", *_which(overrides)))


def sweep(overrides: Sequence[str], grid: GridOptions | None, name: str | None) -> Asked:
    """A grid."""
    return Asked("sweep", ("sweep", *_which(overrides), *_options(grid), *_option("name", name)))


def compare(
    overrides: Sequence[str],
    tune: Sequence[str],
    metric: str,
    grid: GridOptions | None,
    deciding: Deciding,
    name: str | None,
) -> Asked:
    """A comparison."""
    judged = metric if metric != METRIC else None
    more = [*_option("tune", tune), *_option("metric", judged), *_options(grid), *_options(deciding)]
    return Asked("compare", ("compare", *_which(overrides), *more, *_option("name", name)))


def reproduce(paper: str, scale: str, deciding: Deciding | None) -> Asked:
    """A paper's comparison.

    Args:
        paper: its name.
        scale: how much is trained.
        deciding: how far to go until its claims are decided; None: the recipe's own runs.
    """
    looks = [] if deciding is None else ["--until-decided", *_options(deciding)]
    return Asked("reproduce", ("reproduce", paper, "--scale", str(scale), *looks))


def _which(overrides: Sequence[str]) -> Iterator[str]:
    """The overrides that can change a number."""
    return (text for text in overrides if not within(text.lstrip("+~").partition("=")[0].partition("@")[0], NEUTRAL))


def _options(block: GridOptions | Deciding | None) -> list[str]:
    """What a block of options has other than where nobody asks for anything."""
    found: list[str] = []
    for field in fields(block) if block is not None else ():
        value = getattr(block, field.name)
        if field.name != HOW_LONG and value != field.default:
            found += _option(field.name.replace("_", "-"), value)
    return found


def _option(name: str, value: Any) -> list[str]:
    """An option, once for each of several values; nothing where there is none."""
    values = [] if value is None else [value] if isinstance(value, (str, int)) else [*value]
    return [word for one in values for word in (f"--{name}", str(one))]
