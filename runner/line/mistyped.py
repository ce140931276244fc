"""What to say of an option that there is not: the override that was meant, or the option."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any

from batchlab.results.words import listing
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
    there = f"it has {', '.join(known)}" if known else "it has no options"
    return f"{command} has no {typed}; " + (f"did you mean {' or '.join(near)}?" if near else there)


def wrong_line(error: Exception) -> str | None:
    """One line for what typer refuses of a command line, where it draws a box.

    Returns:
        The line; empty where help was asked for and printed, None for errors that are not typer's.
    """
    if not hasattr(error, "format_message"):
        return None
    if type(error).__name__ == "NoArgsIsHelpError":  # printed when it was made
        return ""
    context: Any = getattr(error, "ctx", None)
    said = " ".join(str(error.format_message()).split()).replace("Value error, ", "").rstrip(".")
    said = said[:1].lower() + said[1:]
    if found := re.fullmatch(r"no such command '(.*)'", said):
        return _unknown_command(found[1], context)
    if found := re.fullmatch(r"got unexpected extra arguments?(?:\(s\))? \((.*)\)", said):
        said = f"{context.info_name} does not take {found[1]}"
        if "--where" in [option for p in context.command.params for option in p.opts]:
            said += f": runs are chosen by --where run_id={found[1].split()[0]}, or another AXIS=VALUE"
        elif "=" in found[1]:
            said += ": overrides are for train, sweep, compare and show"
    return said


def _unknown_command(typed: str, context: Any) -> str:
    """Of a word where a command should stand."""
    commands = list(getattr(context.command, "commands", {}))
    if "=" in typed:
        return f"{typed}: a command comes first, as in `batchlab sweep {typed}`"
    near = difflib.get_close_matches(typed, commands, 2, 0.6)
    return f"no command {typed}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"there are {listing(commands)}"
    )


def _key(name: str, arguments: Sequence[str]) -> str:
    """The override of this name, or the only one that ends in it; empty where there is none."""
    keys = [*offered.GROUPS, *offered.keys(text for text in arguments if "=" in text)]
    name = name.replace("-", "_")
    ends = [key for key in keys if key.endswith(f".{name}")]
    return name if name in keys else ends[0] if len(ends) == 1 else ""
