"""Optimizers are made here only to be looked at: without torch's compiler, which takes seconds to be imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch.optim import Optimizer

KEPT = "__dynamo_disable"
"""Where torch keeps, at a method that is never compiled, what it calls in its place."""


@contextmanager
def uncompiled() -> Iterator[None]:
    """Until the block ends optimizers take their parameters without asking the compiler to stay out of it.

    `Optimizer.add_param_group`, which every constructor calls, is wrapped by torch: at its first call the wrapper
    imports `torch._dynamo` (2 s, with sympy and inductor), asks it for the same method under "do not compile this", and
    keeps that at the method. Here the method itself is kept there meanwhile: where nothing is compiled, the two do the
    same. Another torch, which keeps it elsewhere, takes the seconds.
    """
    method = getattr(Optimizer.add_param_group, "__wrapped__", None)
    if method is None or "torch._dynamo" in sys.modules or hasattr(method, KEPT):
        yield
        return
    setattr(method, KEPT, method)
    try:
        yield
    finally:
        delattr(method, KEPT)
