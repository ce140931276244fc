"""The same runs at other seeds: what a comparison that goes on until it is decided asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.identity import run_id


def method_of(planned: Planned) -> str:
    """What a run is but for its seed: runs of one method share it."""
    return run_id(planned.tree | {"seed": None})


def at_seeds(plans: Iterable[Planned], seeds: Sequence[int], methods: Collection[str] | None = None) -> list[Planned]:
    """Each method of the plans at each of these seeds, seed by seed.

    Args:
        plans: runs at any seeds; the first of a method gives labels and overrides.
        seeds: of the runs to be.
        methods: only these (see `method_of`); None: all.
    """
    models: dict[str, Planned] = {}
    for planned in plans:
        models.setdefault(method_of(planned), planned)
    chosen = [planned for method, planned in models.items() if methods is None or method in methods]
    return [_at(planned, seed) for seed in seeds for planned in chosen]


def _at(planned: Planned, seed: int) -> Planned:
    tree = planned.tree | {"seed": seed}
    others = tuple(text for text in planned.overrides if not text.startswith("seed="))
    return replace(planned, run_id=run_id(tree), tree=tree, overrides=(*others, f"seed={seed}"))
