"""The same runs at other seeds: what a comparison that goes on until it is decided asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from batchlab.results.compare.choice import TUNING
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.identity import run_id


def tunes(planned: Planned) -> bool:
    """Whether a run chooses for others, and is judged in nothing."""
    return planned.labels.get(TUNING) is True


def judged_seeds(plans: Iterable[Planned], n: int) -> tuple[int, ...]:
    """The first `n` seeds to judge by: those of the plans, then the next ones that nobody tunes on.

    Args:
        plans: those that tune and those that are judged, of one seed at least.
        n: how many.
    """
    plans = list(plans)
    taken = {int(planned.tree["seed"]) for planned in plans if tunes(planned)}
    seeds = sorted({int(planned.tree["seed"]) for planned in plans if not tunes(planned)})
    following = seeds[-1] + 1
    while len(seeds) < n:
        if following not in taken:
            seeds.append(following)
        following += 1
    return tuple(seeds[:n])


def at_seeds(plans: Iterable[Planned], seeds: Sequence[int]) -> list[Planned]:
    """Each method of the plans at each of these seeds, seed by seed.

    A method is what a run is but for its seed; its first run among the plans gives labels and overrides.

    Args:
        plans: runs at any seeds.
        seeds: of the runs to be.
    """
    methods: dict[str, Planned] = {}
    for planned in plans:
        methods.setdefault(run_id(planned.tree | {"seed": None}), planned)
    return [_at(planned, seed) for seed in seeds for planned in methods.values()]


def _at(planned: Planned, seed: int) -> Planned:
    tree = planned.tree | {"seed": seed}
    others = tuple(text for text in planned.overrides if not text.startswith("seed="))
    return replace(planned, run_id=run_id(tree), tree=tree, overrides=(*others, f"seed={seed}"))
