"""Names that people gave to files and columns, as a command line says them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[A-Za-z_]\w*", re.ASCII | re.IGNORECASE)
"""What Hydra's grammar takes for a text without quotes."""


def in_list(key: str, name: str) -> str:
    r"""An override of `dataset` whose value is a list of one text, as a shell takes it.

    >>> in_list("drop", "age"), in_list("drop", "size (cm)")
    ('dataset.drop=[age]', '"dataset.drop=[\'size (cm)\']"')
    """
    if PLAIN.fullmatch(name):
        return f"dataset.{key}=[{name}]"
    return _in_shell(f"dataset.{key}=[{_quoted(name)}]")


def text(key: str, value: Any) -> str:
    """A name that Hydra's grammar may have taken for a number: `dataset.file=2024`.

    Raises:
        ValueError: it can be no name, or nobody can say how it was written.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    written = {None: "null", True: "true", False: "false"}.get(value) if isinstance(value, (bool, type(None))) else None
    way = f"; one that is called so is quoted, {_in_shell(f'dataset.{key}={_quoted(written)}')}" if written else ""
    raise ValueError(f"dataset.{key}={written or value}: a name is needed{way}")


def no_column(key: str, value: Any, name: str, there: Sequence[str]) -> ValueError:
    """What to say of a column that there is not.

    Args:
        key: of `dataset`, which names it.
        value: what it says.
        name: the same as a text.
        there: the columns that there are.
    """
    alike = [column for column in there if column.strip().casefold() == name.strip().casefold()]
    alike = alike or get_close_matches(name, there, 1)
    hint = ""
    if alike:
        hint = f" (did you mean {alike[0]!r}?)"
    elif not isinstance(value, str):
        hint = f" (a name that looks like a number is quoted, {_in_shell(f'dataset.{key}={_quoted(name)}')})"
    columns = ", ".join(column if column.isidentifier() else repr(column) for column in there)
    return ValueError(f"dataset.{key}: there is no column {name!r}{hint}; there are {columns}")


def _quoted(name: str) -> str:
    """A text in quotes of Hydra's grammar, where backslashes count before a quote, and at the end."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", name)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _in_shell(override: str) -> str:
    return shlex.quote(override) if re.search(r'[$`"\\!]', override) else f'"{override}"'
