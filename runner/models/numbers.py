"""Numbers that models are made with, checked where torch would make something else of them, or fail without a name."""

from __future__ import annotations

WIDEST = 2**24
"""No layer has more channels: their products stay numbers of weights that torch can count."""
DEEPEST = 10_000
"""No network has more layers: torch makes each by itself, and a billion of them until the memory is full."""


def size(key: str, value: object, most: int = WIDEST) -> int:
    """A number of channels, groups or layers.

    Args:
        key: its name.
        value: what is given.
        most: the largest that is taken.

    Raises:
        ValueError: it is not a whole number from 1 to `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most or value != int(value):
        raise ValueError(f"{key}={value} must be a whole number, at least 1 and at most {most}")
    return int(value)


def share(key: str, value: float | None) -> float | None:
    """A weight in [0, 1]; None where torch takes none.

    Raises:
        ValueError: it lies outside.
    """
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{key}={value} must be between 0 and 1")
    return value
