"""What a measure may leave behind of itself in training: nothing of what is put back here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from batchlab.optimizers.moments import ModelState
from batchlab.optimizers.moments.state import set_torch_random_states, torch_random_states

OURS = ("batchlab.", "torch.nn.")
"""Modules whose layers draw random numbers from torch alone."""


def draws_from_torch(*parts: object) -> bool:
    """Whether these models and objects of batchlab's draw from no other generators than torch's.

    Python's and NumPy's take 100 us to keep and to put back, which is half of what a small model's evaluation takes.

    Args:
        *parts: modules, or objects of one class each.
    """
    every = [m for part in parts for m in (part.modules() if isinstance(part, nn.Module) else [part])]
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in every if isinstance(m, nn.Module))
    return not hooked and all(type(m).__module__.startswith(OURS) and "forward" not in vars(m) for m in every)


@contextmanager
def untouched(model: nn.Module, *, torch_only: bool = False) -> Iterator[None]:
    """Put back, after the block, all of a model that a forward and a backward pass leave traces in.

    That is what `ModelState` keeps (every module's mode and attributes, the buffers, random states), and each
    parameter's `.grad`. Within the block every `.grad` is None, so that a `backward` adds to nothing of training's. No
    parameter is copied: whoever changes one changes the run.

    Args:
        model: on one device.
        torch_only: nothing in the block draws from Python's or NumPy's generators, see `draws_from_torch`.
    """
    gradients = [(p, p.grad) for p in model.parameters()]
    device = gradients[0][0].device
    before = ModelState(model, device=None if torch_only else device)
    states = torch_random_states(device)
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        before.restore()
        set_torch_random_states(device, states)
