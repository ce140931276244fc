"""Arguments of the functions that Python calls: what is no text, list or number is said, with the argument's name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from batchlab.runner.options import usual_runs

Words = str | Iterable[str]
Folder = str | Path | None


def folder(runs: Folder) -> Path:
    """The folder that holds all runs: by default what BATCHLAB_RUNS names, else `runs`.

    Raises:
        ValueError: For what is no path.
    """
    if runs is None:
        return usual_runs() or Path("runs")
    if not isinstance(runs, (str, os.PathLike)):
        raise ValueError(f"runs takes a folder, not {runs!r}")
    return Path(runs)


def words(name: str, value: Words) -> list[str]:
    """A list of words, also where one was given alone; those in one text are told apart by spaces.

    Args:
        name: of the argument.
        value: its value.

    Raises:
        ValueError: For anything else.
    """
    if isinstance(value, str):
        return value.split()
    given: object = value  # who calls from a notebook checks no types
    found = list(given) if isinstance(given, Iterable) and not isinstance(given, bytes) else [None]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(found):
        raise ValueError(f"{name} takes a text or a list of texts, not {given!r}")
    return texts


def word(name: str, value: str) -> str:
    """One text.

    Args:
        name: of the argument.
        value: its value.

    Raises:
        ValueError: For anything else.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} takes one text, not {value!r}")
    return value


def word_or_none(name: str, value: str | None) -> str | None:
    """One text, or None where nothing was given; errors as of `word`."""
    return None if value is None else word(name, value)


def number_or_none(name: str, value: int | None, least: int = 0) -> int | None:
    """A whole number, or None where nothing was given.

    Args:
        name: of the argument.
        value: its value.
        least: the least that it may be.

    Raises:
        ValueError: For anything else.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ValueError(f"{name} takes a whole number, {least} or more, not {value!r}")
    return value
