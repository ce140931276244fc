"""Composing the runs of a grid block by block (`blocks.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from batchlab.runner.plan.blocks import Tree
from batchlab.runner.plan.overrides import Setting
from batchlab.runner.plan.several import axis_of

_ABSENT = object()


class Shared:
    """Trees whose equal blocks are the same objects. A block without interpolations depends on its own overrides only.

    Args:
        whole: makes the tree of some choices of groups and the other settings, and says whether its blocks are
            independent: none had an interpolation, which may lead into another.
        seed: makes the seed of these groups and the setting that gives it. A sweep may have as many as runs.
    """

    def __init__(
        self,
        whole: Callable[[tuple[str, ...], Sequence[Setting]], tuple[Tree, bool]],
        seed: Callable[[tuple[str, ...], Setting], Any],
    ) -> None:
        self._whole = whole
        self._seed = seed
        self._known: dict[tuple[Any, ...], Any] = {}
        self._orders: dict[tuple[Any, ...], list[str]] = {}

    def tree(self, groups: tuple[str, ...], settings: Sequence[Setting]) -> Tree:
        """The tree of a run.

        Args:
            groups: choices of groups.
            settings: the other overrides; the same objects from call to call, kept by the caller.

        Raises:
            ConfigError: they make none.
        """
        own: dict[str, tuple[int, ...]] = {}
        seeds = []
        for setting in settings:
            top = axis_of(setting) or setting.key.partition(".")[0]
            own[top] = (*own.get(top, ()), id(setting))
            if top == "seed":
                seeds.append(setting)
        order = self._orders.get((groups, *own))
        if order is not None:
            if len(seeds) == 1 and isinstance(seed := self._seed(groups, *seeds), int):
                self._known[groups, "seed", own["seed"]] = seed
            known = [(top, self._known.get((groups, top, own.get(top, ())))) for top in (*order, *own)]
            if all(block is not None for _, block in known):
                return {top: block for top, block in known if block is not _ABSENT}
        tree, independent = self._whole(groups, settings)
        if not independent:
            return tree
        self._orders[(groups, *own)] = list(tree)
        places = {top: (groups, top, own.get(top, ())) for top in (*tree, *own)}
        made = {top: self._known.setdefault(place, tree.get(top, _ABSENT)) for top, place in places.items()}
        return {top: block for top, block in made.items() if block is not _ABSENT}
