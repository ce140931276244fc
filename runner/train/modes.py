"""Optimizers that train other weights than those they mean: `train()` and `eval()` go from one to the other.

A schedule-free optimizer takes gradients at an extrapolated point and is to be judged at an average. Whoever has both
methods is driven like that; others are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.optim import Optimizer


def has_modes(optimizer: Optimizer) -> bool:
    """Whether it has `train()` and `eval()`."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def to_train(optimizer: Optimizer) -> None:
    """Let the parameters be those that are trained, where there is a choice."""
    if has_modes(optimizer):
        optimizer.train()  # type: ignore[attr-defined]


@contextmanager
def evaluating(optimizer: Optimizer) -> Iterator[None]:
    """Within the block the parameters are those that the optimizer is judged by; after it those of before, bit by bit.

    There and back is exact on paper only: without the copy, how often a run is evaluated would change its numbers.
    """
    if not has_modes(optimizer):
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in parameters]
    optimizer.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        optimizer.train()  # type: ignore[attr-defined]
        with torch.no_grad():
            for parameter, kept in zip(parameters, before, strict=True):
                parameter.copy_(kept)
