"""Optimizers that train other weights than those they mean: `train()` and `eval()` go from one to the other.

A schedule-free optimizer takes gradients at an extrapolated point and is to be judged at an average. Whoever has both
methods is driven like that; others are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import torch
from torch.optim import Optimizer

from batchlab.optimizers.needs import Modes


def modes_of(optimizer: Optimizer) -> Modes | None:
    """The optimizer, where it has both."""
    kind: Any = type(optimizer)
    return cast(Modes, optimizer) if _has_modes(kind) else None


@cache
def _has_modes(kind: type) -> bool:
    """Asked once a class: to ask the protocol takes 50 us, and each evaluation asks twice."""
    return issubclass(kind, Modes)


def to_train(optimizer: Optimizer) -> None:
    """Let the parameters be those that are trained, where there is a choice."""
    if (modes := modes_of(optimizer)) is not None:
        modes.train()


@contextmanager
def evaluating(optimizer: Optimizer) -> Iterator[None]:
    """Within the block the parameters are those that the optimizer is judged by; after it those of before, bit by bit.

    There and back is exact on paper only: without the copy, how often a run is evaluated would change its numbers.
    """
    modes = modes_of(optimizer)
    if modes is None:
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in parameters]
    modes.eval()
    try:
        yield
    finally:
        modes.train()
        with torch.no_grad():
            for parameter, kept in zip(parameters, before, strict=True):
                parameter.copy_(kept)
