"""What a unit of a model is: a module whose per-sample gradients are taken together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.layers import Call

Apply = Callable[..., Any]  # (run, unit, forward, *args, **kwargs) -> what forward(*args, **kwargs) gives


class NotSampleWise(ValueError):
    """A layer, or a model, cannot be treated in this way; the message says why.

    Attributes:
        after_backward: whether gradients have been taken in already.
    """

    def __init__(self, why: str, after_backward: bool = False) -> None:
        super().__init__(why)
        self.after_backward = after_backward


class Pass(Protocol):
    """What a unit tells of its uses in one forward and backward pass (`passes.Pass` keeps it)."""

    samples: int
    one_by_one: set[str]  # the units that do not go through vmap

    def rows(self, unit: Unit, inputs: Sequence[Any]) -> list[bool]:
        """Which of the inputs have one row per sample.

        Raises:
            NotSampleWise: none of them.
        """

    def expect(self, unit: Unit) -> None:
        """A use whose gradient will come."""

    def arrived(self, unit: Unit, call: Call) -> None:
        """The gradient of one use."""

    def later(self, unit: Unit, call: Call) -> None:
        """A use that is ready only when the backward pass is over."""

    def go_one_by_one(self, unit: Unit, why: Exception) -> None:
        """A unit turns out not to go through vmap."""

    def in_backward(self) -> bool:
        """Whether a gradient that comes is one of the losses, not one that the model takes in its forward pass."""

    def compare(self, unit: Unit, again: Tensor, output: Tensor) -> None:
        """See that samples that a unit was run again for (c, ...) give what they gave in the batch."""


def short(why: Exception) -> str:
    """The first line of what went wrong."""
    return (str(why).strip().splitlines() or [type(why).__name__])[0][:160]


@dataclass(frozen=True)
class Unit:
    """A module whose parameters' gradients are taken together; `params` by their names in it."""

    name: str
    module: nn.Module
    params: dict[str, nn.Parameter]
    apply: Apply


@contextmanager
def hidden(unit: Unit) -> Iterator[None]:
    """Keep the unit's parameters out of autograd's sight."""
    try:
        for parameter in unit.params.values():
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in unit.params.values():
            parameter.requires_grad_(True)


class _Attach(torch.autograd.Function):
    """Puts a tensor that needs no gradient into the graph, in place, so that a hook can see its gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, anchor: Tensor) -> Tensor:
        ctx.mark_dirty(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[None, None]:
        return None, None


def hook_on(tensor: Tensor, hook: Callable[[Tensor], None]) -> Tensor:
    """The tensor, a leaf, with a hook on its gradient."""
    register: Callable[[Callable[[Tensor], None]], object] = tensor.register_hook
    register(hook)
    return tensor


def tap(output: Tensor, hook: Callable[[Tensor], None], inputs: Sequence[Tensor]) -> Tensor:
    """The output, with a hook on its gradient; a copy where it shares its memory with an input."""
    if any(output is t or output.untyped_storage().data_ptr() == t.untyped_storage().data_ptr() for t in inputs):
        output = output.clone()
    if not output.requires_grad:
        anchor = torch.empty(0, device=output.device, requires_grad=True)
        output = _Attach.apply(output.clone() if output._is_view() else output, anchor)
    elif output.grad_fn is None:
        output = output.clone()
    node, place = output.grad_fn, output.output_nr

    def arrived(gradients: Sequence[Tensor | None]) -> None:
        gradient = gradients[place]
        if gradient is not None:
            hook(gradient)

    # A hook on the tensor would run before those that the model registers on it later, and not see what they do.
    assert node is not None
    node.register_prehook(arrived)
    return output
