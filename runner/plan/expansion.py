"""What a tree's interpolations stand for, counted before any is resolved: ten lines of ten each are 10^10 letters."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

MOST = 1_000_000
"""Letters and values that one key may come to stand for."""
DEPTH = 32
"""Of interpolations that lead to interpolations."""
LINK = re.compile(r"\$\{\s*([^${}:]+?)\s*\}")


class _Beyond(Exception):
    """A bound was passed."""


def beyond(texts: Sequence[tuple[str, Any]]) -> tuple[str, str]:
    """A key that stands for more than it can be meant to, and what is wrong with it; two empty texts where none does.

    What leads in a circle, or nowhere, is for who resolves it to say.

    Args:
        texts: every value of a tree with its dotted key; those of a list share the list's.
    """
    below: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for key, leaf in texts:
        parts = key.split(".")
        for end in range(1, len(parts) + 1):
            below[".".join(parts[:end])].append((key, leaf))
    known: dict[str, tuple[int, int]] = {}
    trail: list[str] = []

    def size(target: str) -> tuple[int, int]:
        """What a key stands for, and through how many others."""
        if target in known or target in trail:
            return known.get(target, (0, 0))
        total = deep = 0
        trail.append(target)
        for key, leaf in below.get(target, ()):
            total += len(leaf) if isinstance(leaf, str) else 1
            for link in _links(key, leaf):
                added, depth = size(link) if len(trail) <= DEPTH else (0, DEPTH)
                total, deep = total + added, max(deep, 1 + depth)
        trail.pop()
        if deep > DEPTH:
            raise _Beyond(target, f"its interpolations lead through more than {DEPTH} others: give it a value")
        if total > MOST:
            raise _Beyond(target, f"its interpolations stand for more than {MOST:,} letters: give it a value")
        known[target] = total, deep
        return total, deep

    try:
        for key, leaf in texts:
            if isinstance(leaf, str) and "${" in leaf:
                size(key)
    except _Beyond as error:
        return error.args[0], error.args[1]
    return "", ""


def _links(key: str, leaf: Any) -> list[str]:
    """The keys that a value's interpolations name; those that begin with dots are relative to its own."""
    if not isinstance(leaf, str) or "${" not in leaf:
        return []
    found = []
    for name in LINK.findall(leaf):
        bare = re.sub(r"\[[^\]]*\]", "", name)
        up = len(bare) - len(bare.lstrip("."))
        found.append(".".join([*key.split(".")[:-up], bare.lstrip(".")]) if up else bare)
    return found
