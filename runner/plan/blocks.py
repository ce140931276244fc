"""The runs of a grid, block by block: what runs share is made once, and is one object in all of them.

A block is what stands below a key of the top (`optimizer`, `train`). A sweep of 50,000 runs has some tens of them, and
what is asked of each run (its identity, what it is made of, whether its options make sense) is mostly asked of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")
Tree = dict[str, Any]


class OfBlocks(Generic[Made]):
    """What a function makes of blocks, made once for each object: blocks are not changed once a run is composed.

    Args:
        make: takes blocks.
    """

    def __init__(self, make: Callable[..., Made]) -> None:
        self._make = make
        self._known: dict[tuple[int, ...], tuple[tuple[Any, ...], Made]] = {}  # with the blocks: it keeps ids theirs

    def __call__(self, *blocks: Any) -> Made:
        """What is made of these, in this order."""
        key = tuple(map(id, blocks))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = blocks, self._make(*blocks)
        return found[1]


def signature(tree: Mapping[str, Any]) -> tuple[Any, ...]:
    """What trees have in common that differ in their seed alone, as long as their blocks live."""
    return tuple(
        (key, id(value) if isinstance(value, (dict, list)) else (type(value), value))
        for key, value in tree.items()
        if key != "seed"
    )


def different(trees: Iterable[Tree]) -> list[Tree]:
    """The first of all trees that differ in their seed alone."""
    found: dict[tuple[Any, ...], Tree] = {}
    for tree in trees:
        found.setdefault(signature(tree), tree)
    return list(found.values())
