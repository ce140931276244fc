"""Words for people: counts, lists, captions. Standard library only; every wing may use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def caption(labels: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """What sets a run apart in its sweep.

    >>> caption({"experiment": "CNN", "test": "norm test"}, ["seed=3"])
    'CNN · norm test seed=3'
    >>> caption({"tuning": True, "whole": False, "part": "toy"}, [])
    'tuning · toy'
    """
    said = ((key, value) for key, value in labels.items() if value != "" and value is not False)
    named = " · ".join(key if value is True else str(value) for key, value in said)
    return " ".join([*([named] if named else []), *overrides])


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> count(1, "run"), count(1200, "run"), count(2, "batch", "batches")
    ('1 run', '1,200 runs', '2 batches')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listing(items: Sequence[str]) -> str:
    """Several words as one phrase.

    >>> listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
