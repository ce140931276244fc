"""Which runs of a sweep train together in one process: groups of runs that differ in nothing but numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from batchlab.results.words import count
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.schema import Node

LIMIT = 64
"""Runs of a group, where nobody says how many."""
LONELY = "no other run like it"
LEFT_OVER = "left over by groups of those like it"
ROOM = "there is a place for each"
Group = tuple[Planned, ...]
"""Runs of one process; mostly one."""


@dataclass(frozen=True)
class Grouping:
    """The runs of a sweep in the groups in which they are trained.

    Attributes:
        groups: In the order in which they are started; each run is in one of them.
        alone: How many of them train alone for which reason.
        tried: Whether a trial decides if groups train together after all.
    """

    groups: list[Group] = field(default_factory=list)
    alone: Counter[str] = field(default_factory=Counter)
    tried: bool = False

    def __str__(self) -> str:
        """What a dry run says of it."""
        fused = [len(group) for group in self.groups if len(group) > 1]
        parts = []
        if fused:
            size = f"{'' if len(fused) == 1 else 'up to '}{max(fused)}"
            trial = " where a trial finds that quicker" if self.tried else ""
            way_out = "(--fuse off trains each alone)"
            parts.append(f"{sum(fused):,} runs train in {count(len(fused), 'group')} of {size}{trial} {way_out}")
        if self.alone:
            reasons = ", ".join(f"{reason} ({n:,})" for reason, n in self.alone.most_common())
            parts.append(f"{self.alone.total():,} alone: {reasons}")
        return "; ".join(parts)


def grouped(
    plans: Sequence[Planned],
    most: int | None,
    places: int,
    why: Callable[[Planned], str] = lambda planned: "",
    mates: Mapping[str, str] | None = None,
) -> Grouping:
    """Put runs into groups.

    Args:
        plans: The runs, in the order in which they would be started one by one.
        most: Runs of a group at most; None: `LIMIT`, and so few that no place of the executor is idle, at first or
            while another trains far more than its share.
        places: How many processes the executor trains at a time.
        why: Why a run trains alone, whatever its configuration says; empty where it says nothing of it.
        mates: Of runs that were trained in groups before, by which they know each other: they stay together, so that
            they are where the others are, and go on to the same numbers.
    """
    alone: Counter[str] = Counter()
    kinds: dict[tuple[str, str], list[int]] = {}
    for place, planned in enumerate(plans):
        if reason := why(planned) or why_alone(planned.tree, most):
            alone[reason] += 1
        else:
            mate = (mates or {}).get(planned.run_id, "")
            kinds.setdefault((key(planned.tree), mate), []).append(place)
    together = [group for group in _parts(kinds, most, places - alone.total()) if len(group) > 1]
    first = {group[0]: group for group in together}
    others = {place for group in together for place in group}
    groups = [
        tuple(plans[i] for i in first.get(place, [place]))
        for place in range(len(plans))
        if place in first or place not in others
    ]
    like = Counter(kind for (kind, _), runs in kinds.items() for _ in runs)
    left = Counter(kind for (kind, _), runs in kinds.items() for place in runs if place not in others)
    for kind, n in left.items():
        alone[LONELY if like[kind] == 1 else ROOM if len(plans) <= places else LEFT_OVER] += n
    return Grouping(groups, alone, most is None and any(not _solved(plans[group[0]].tree) for group in together))


def _solved(tree: Node) -> bool:
    """Whether a run's are a solver's steps: those share a process, and nothing is tried."""
    from batchlab.runner.plan.build import is_solver

    return is_solver(tree["optimizer"])


def why_alone(tree: Node, most: int | None) -> str:
    """Why a run trains alone, as far as its configuration says; empty where it may train with others.

    Args:
        tree: its whole configuration.
        most: runs of a group at most.
    """
    executor = tree["executor"]
    if "fuse" not in executor:
        return f"executor={executor['name']}"
    if most == 1:
        return "--fuse off"
    if executor["launcher"] != "fork":
        return f"executor.launcher={executor['launcher']}"
    from batchlab.runner.plan import fusable

    return fusable.why_alone(tree)


def key(tree: Node) -> str:
    """As `fusable.key`, whose torch is only waited for where something is left to be trained.

    Args:
        tree: the whole configuration of a run.
    """
    from batchlab.runner.plan import fusable

    return fusable.key(tree)


def _parts(kinds: Mapping[tuple[str, str], list[int]], most: int | None, places: int) -> list[list[int]]:
    """Each kind of runs in parts of about one size; `places` are those that no other run takes.

    Where nobody says how many, there are so many parts that each place has one, and none is more than a place's share.
    """
    parts = {kind: -(-len(runs) // (most or LIMIT)) for kind, runs in kinds.items()}
    total = sum(map(len, kinds.values()))

    def size(kind: tuple[str, str]) -> float:
        return len(kinds[kind]) / parts[kind]

    while most is None and places > 0:
        larger = [kind for kind, runs in kinds.items() if not kind[1] and len(runs) > parts[kind]]
        fair = all(len(kinds[kind]) * places <= total * parts[kind] for kind in larger)  # of integers: 7 * (n / 7) > n
        if fair and (not larger or sum(parts.values()) >= places):
            break
        parts[max(larger, key=size)] += 1
    return [part for kind, runs in kinds.items() for part in _cut(runs, parts[kind])]


def _cut(runs: Sequence[int], parts: int) -> list[list[int]]:
    """A list in so many parts, none of which has two more than another."""
    ends = [len(runs) * part // parts for part in range(parts + 1)]
    return [list(runs[begin:end]) for begin, end in pairwise(ends)]
