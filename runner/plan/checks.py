"""What options check themselves with. An error names the override that mends it.

Types are checked by our own few lines: messages must name the override.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints


class ConfigError(ValueError):
    """A request that cannot be run. The message names the cause and the override that mends it."""


def check_choice(key: str, value: object, offered: Sequence[str], more: str = "") -> None:
    """ConfigError, with what `more` could be meant, unless the value is one of those offered."""
    if value not in offered:
        raise ConfigError(f"{key}={value}: choose {', '.join(offered[:-1])} or {offered[-1]}{more}")


KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    list: "a list [..]",
}
"""Types that a value can have, in words; the first that fits is a value's own."""


def as_kind(value: Any, kind: type) -> Any:
    """The value as one of KINDS, None where it is not one.

    >>> as_kind(1, float), as_kind(1e4, int), as_kind(1.5, int), as_kind(True, int)
    (1.0, 10000, None, None)
    """
    if isinstance(value, bool) and kind is not bool:
        return None
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is float and isinstance(value, int):
        return float(value) if abs(value) <= sys.float_info.max else math.inf if value > 0 else -math.inf
    return value if isinstance(value, kind) else None


def check_kind(key: str, value: object, kind: type, *, optional: bool = False) -> Any:
    """The value as `kind`, one of KINDS, or None where it is `optional`; ConfigError where it is neither."""
    found = as_kind(value, kind)
    if found is None and not (optional and value is None):
        raise ConfigError(f"{key} must be {KINDS[kind]}{' or null' if optional else ''}, got {value!r}")
    return found


COUNTED = 2**53
"""The most of anything that is counted, where nobody says less: what a float still tells from the next."""


def check_least(key: str, value: object, least: int, most: int = COUNTED) -> int:
    """The value as a whole number; ConfigError unless it is one, at least so much and at most so much."""
    number: int = check_kind(key, value, int)
    if number < least:
        raise ConfigError(f"{key}={value} must be at least {least}")
    if number > most:
        raise ConfigError(f"{key}={number:.4g} must be at most {most}")
    return number


def check_positive(key: str, value: float) -> None:
    """ConfigError unless the number is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}={value} must be positive{' and finite' if value > 0 or math.isnan(value) else ''}")


class Block:
    """Options whose fields are of the types that they are declared with, whatever file they come from."""

    def check_kinds(self, block: str) -> None:
        """Put each field into its type; ConfigError where it has another."""
        this: Any = type(self)
        for name, (kind, optional) in kinds(this).items():
            if kind not in KINDS:  # a field of Any, which checks itself
                continue
            value = check_kind(f"{block}.{name}", getattr(self, name), kind, optional=optional)
            object.__setattr__(self, name, value)


@cache
def kinds(block: type[Block]) -> dict[str, tuple[type, bool]]:
    """Field -> its type and whether it may be None."""
    hints = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(block).items()}
    return {name: (found[0], NoneType in found) for name, found in hints.items()}
