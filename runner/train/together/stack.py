"""R models as one: their parameters and buffers stacked, one batched forward pass over all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from batchlab.runner.train.together.drawn import drawing

PLAIN = (bool, int, float, complex, str, bytes, tuple, type(None))


class ApartError(Exception):
    """These runs cannot train together, or would not gain by it; the message says why. Nothing was written."""


class Stack:
    """Models of one architecture, whose parameters and buffers become views of stacked memory.

    What is done to a model from then on (an evaluation, a checkpoint) is done to its part of the stack, and the other
    way round.

    Args:
        models: R of them, on one device; they are changed as said.
        draws: one generator for each, from which its dropout masks are drawn.

    Raises:
        ApartError: they differ in more than parameters and buffers.

    Attributes:
        parameters: name -> (R, ...), leaves of autograd; those that are trained.
        buffers: name -> (R, ...), and parameters that are not trained.
    """

    def __init__(self, models: Sequence[nn.Module], draws: Sequence[torch.Generator]) -> None:
        _check_alike(models)
        named = [dict(model.named_parameters()) for model in models]
        buffered = [dict(model.named_buffers()) for model in models]
        self.parameters = {
            name: _stacked([own[name] for own in named]).requires_grad_()
            for name, p in named[0].items()
            if p.requires_grad
        }
        self.buffers = {
            name: _stacked([own[name] for own in tensors])
            for tensors in (named, buffered)
            for name in tensors[0]
            if name not in self.parameters
        }
        shell = copy.deepcopy(models[0])
        drawing(shell, draws)
        for module in shell.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                vars(module)["forward"] = _widening(module)
        self.shell = shell.to("meta")

    def forward(self, x: Tensor, *, training: bool) -> Tensor:
        """The outputs of all models, (R, m, ...).

        Args:
            x: (R, m, ...), each model's inputs; or (m, ...), the same for all where `training` is False.
            training: in train mode, with BatchNorm's running statistics moving and dropout drawing.
        """
        self.shell.train(training)
        each = 0 if training else None
        run = torch.vmap(self._one, in_dims=(0, 0, each), randomness="error")
        with sdpa_kernel(SDPBackend.MATH):  # the one that is made of operations which vmap knows
            out: Tensor = run(self.parameters, self.buffers, x)
        return out

    def _one(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Any:
        return torch.func.functional_call(self.shell, (parameters, buffers), (x,))

    def clear(self) -> None:
        """Forget the gradients, of the models too."""
        for p in self.parameters.values():
            p.grad = None


def _widening(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """A BatchNorm layer's forward pass in the type of its running statistics, with outputs as narrow as the inputs.

    Under autocast inputs are narrower. Of one model a GPU takes them; what vmap makes of several models' it refuses.
    """
    forward = layer.forward

    def widened(x: Tensor) -> Tensor:
        kept = layer.running_mean
        out: Tensor = forward(x.to(kept.dtype) if isinstance(kept, Tensor) else x).to(x.dtype)
        return out

    return widened


def _check_alike(models: Sequence[nn.Module]) -> None:
    """See that one model can stand for all: what it has beside parameters and buffers is the same in each.

    Raises:
        ApartError: a number or a tensor is not, as one that is drawn where the model is made.
    """
    for modules in zip(*(model.modules() for model in models), strict=True):
        for name, value in vars(modules[0]).items():
            others = [vars(module).get(name) for module in modules[1:]]
            if isinstance(value, Tensor):
                same = all(isinstance(other, Tensor) and torch.equal(value, other) for other in others)
            elif isinstance(value, PLAIN):
                same = all(other == value for other in others)
            else:
                continue
            if not same:
                raise ApartError(f"their models differ in {type(modules[0]).__name__}.{name}, which is no parameter")


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(R, ...): from now on the tensors' memory."""
    with torch.no_grad():
        stacked = torch.stack([t.detach() for t in tensors])
        for place, tensor in enumerate(tensors):
            tensor.data = stacked[place]
    return stacked


Losses = Callable[[Tensor, Tensor], Tensor]


def losses_of(criterion: Losses, outputs: Tensor, targets: Tensor) -> Tensor:
    """The losses of all samples, (R, m).

    Args:
        criterion: of one model: (outputs (n, ...), targets (n, ...)) -> (n,), sample by sample.
        outputs: (R, m, ...).
        targets: (R, m, ...).
    """
    flat = criterion(outputs.flatten(0, 1), targets.flatten(0, 1))
    return flat.view(outputs.shape[:2])
