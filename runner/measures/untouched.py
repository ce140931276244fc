"""What a measure may leave behind of itself in training: nothing of what is put back here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from batchlab.optimizers.moments import ModelState


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back, after the block, all of a model that a forward and a backward pass leave traces in.

    That is what `ModelState` keeps (every module's mode and attributes, the buffers, random states), and each
    parameter's `.grad`. Within the block every `.grad` is None, so that a `backward` adds to nothing of training's. No
    parameter is copied: whoever changes one changes the run.

    Args:
        model: on one device.
    """
    gradients = [(p, p.grad) for p in model.parameters()]
    before = ModelState(model, device=gradients[0][0].device)
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        before.restore()
