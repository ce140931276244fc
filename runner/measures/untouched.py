"""What a measure may leave behind of itself in training: nothing of what is put back here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back, after the block, all of a model that a forward and a backward pass leave traces in.

    That is every module's mode, the buffers, each parameter's `.grad` and torch's random states (the CPU's and that of
    the model's device). Within the block every `.grad` is None, so that a `backward` adds to nothing of training's. No
    parameter is copied: whoever changes one changes the run.

    Args:
        model: on one device.
    """
    modes = [(module, module.training) for module in model.modules()]
    places = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    buffers: list[tuple[Tensor, Tensor]] = [(b, b.detach().clone()) for b in model.buffers()]
    gradients = [(p, p.grad) for p in model.parameters()]
    devices = {p.device for p, _ in gradients if p.device.type == "cuda"}
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
        for module, kept in places:
            module._buffers.update(kept)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
