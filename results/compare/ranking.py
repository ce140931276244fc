"""Contenders in the order of the verdicts on their pairs, with groups of those that are not told apart."""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from batchlab.results.compare.claims import Judged, Verdict


class Ranking(ABC):
    """An order of contenders that no verdict contradicts; every pair of them is a claim of one family.

    The chance that any two of equal contenders do not share a group is that of a false difference in the family.
    """

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The contenders, in any order."""

    @property
    @abstractmethod
    def pairs(self) -> Sequence[Judged]:
        """Every pair's standing; a side's label is its contender's name."""

    @abstractmethod
    def place(self, name: str) -> Any:
        """What sorts contenders where verdicts leave the order open: the least comes first."""

    @cached_property
    def _by_pair(self) -> dict[frozenset[str], Judged]:
        return {frozenset((item.claim.better.label, item.claim.rivals[0].label)): item for item in self.pairs}

    def between(self, a: str, b: str) -> Judged | None:
        """The claim about a pair, in either order."""
        return self._by_pair.get(frozenset((a, b)))

    def beats(self, a: str, b: str) -> bool:
        """Whether it is decided that a is better than b."""
        item = self.between(a, b)
        if item is None or item.verdict not in (Verdict.HOLDS, Verdict.DOES_NOT_HOLD):
            return False
        return (item.verdict is Verdict.HOLDS) == (item.claim.better.label == a)

    @cached_property
    def order(self) -> list[str]:
        """Contenders from the best to the worst: nobody stands above who is decided to be better.

        Where verdicts leave it open, `place` decides.
        """
        left = sorted(self.names, key=self.place)
        order: list[str] = []
        while left:
            free = [a for a in left if not any(self.beats(b, a) for b in left)]
            order.append((free or left)[0])
            left.remove(order[-1])
        return order

    @cached_property
    def groups(self) -> dict[str, str]:
        """By contender the letters of its groups: who shares one is not told apart (Piepho, 2004)."""
        order = self.order
        alike = {a: {b for b in order if b == a or not (self.beats(a, b) or self.beats(b, a))} for a in order}
        cliques = _cliques(order, alike)
        return {a: "".join(_letter(i) for i, clique in enumerate(cliques) if a in clique) for a in order}


def _letter(i: int) -> str:
    """a to z, A to Z, and from then on one that no other group has either."""
    return string.ascii_letters[i] if i < len(string.ascii_letters) else chr(0x3B1 + i - len(string.ascii_letters))


def _cliques(order: Sequence[str], alike: dict[str, set[str]]) -> list[list[str]]:
    """The largest sets in which all are alike, in the order of their first members (Bron and Kerbosch, 1973)."""
    found: list[set[str]] = []

    def grow(clique: set[str], candidates: set[str], done: set[str]) -> None:
        if not candidates and not done:
            found.append(clique)
        for name in sorted(candidates, key=order.index):
            others = alike[name] - {name}
            grow(clique | {name}, candidates & others, done & others)
            candidates = candidates - {name}
            done = done | {name}

    grow(set(), set(order), set())
    return sorted((sorted(clique, key=order.index) for clique in found), key=lambda c: [order.index(n) for n in c])
