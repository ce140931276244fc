"""What to say of an option that there is not: the override that was meant, or the option."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence

from batchlab.runner.line import offered


def unknown_option(command: str, option: str, arguments: Sequence[str], known: Sequence[str], overrides: bool) -> str:
    """One line for an option that a command does not have.

    >>> unknown_option("sweep", "--optimizer", ["--optimizer", "shb"], ["--runs"], True)
    '--optimizer shb: what a run is made of has no dashes, write optimizer=shb'
    >>> unknown_option("table", "--row", ["--row=seed"], ["--rows", "--cols"], False)
    'table has no --row; did you mean --rows?'

    Args:
        command: Its name.
        option: As it was refused.
        arguments: Of the command.
        known: Its options.
        overrides: Whether it takes overrides.
    """
    at = next((i for i, text in enumerate(arguments) if text.startswith(option)), 0)
    typed, equals, value = arguments[at].partition("=") if arguments else (option, "", "")
    rest = arguments[at + 1 : at + 2]
    if not equals and rest and not rest[0].startswith("-") and "=" not in rest[0]:
        value = rest[0]
    if overrides and (key := _key(typed.lstrip("-"), arguments)):
        said = " ".join([arguments[at], *([value] if value and not equals else [])])
        write = shlex.quote(f"{key}={value}") if value else f"{key}=..."
        return f"{said}: what a run is made of has no dashes, write {write}"
    near = [name for name in known if name.startswith(typed)] or difflib.get_close_matches(typed, known, 1, 0.6)
    return f"{command} has no {typed}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
    )


def _key(name: str, arguments: Sequence[str]) -> str:
    """The override of this name, or the only one that ends in it; empty where there is none."""
    keys = [*offered.GROUPS, *offered.keys(text for text in arguments if "=" in text)]
    name = name.replace("-", "_")
    ends = [key for key in keys if key.endswith(f".{name}")]
    return name if name in keys else ends[0] if len(ends) == 1 else ""
