"""Inner products of the per-sample gradients with a direction, all of them from one forward-mode product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from batchlab.optimizers.moments.units import autocast_as_now


class Micro:
    """A micro-batch to come back to: the data (no copy), and the random numbers and precision it was run with."""

    def __init__(self, model: nn.Module, losses_of: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self.model, self.losses_of, self.x = model, losses_of, x
        self.autocast: Callable[[], AbstractContextManager[Any]] = autocast_as_now(x.device)
        self.random = torch.get_rng_state()
        self.device_random = torch.cuda.get_rng_state(x.device) if x.device.type == "cuda" else None

    def products(self, params: Sequence[Tensor], direction: Sequence[Tensor]) -> Tensor:
        """<g_i, direction> of each sample, (n,): the derivative of the samples' losses along the direction.

        Where an operation has no forward-mode derivative, by differentiating the backward pass: u -> <J^T u,
        direction> is linear in u with the gradient J direction.
        """
        place = {id(p): i for i, p in enumerate(params)}
        named = {name: p for name, p in self.model.named_parameters() if id(p) in place}
        along = {name: direction[place[id(p)]].to(p.dtype) for name, p in named.items()}
        point = {name: p.detach() for name, p in named.items()}
        try:
            with self._as_then(), forward_mode.dual_level():
                make_dual: Callable[..., Tensor] = forward_mode.make_dual
                unpack_dual: Callable[..., tuple[Tensor, Tensor]] = forward_mode.unpack_dual
                dual = {name: make_dual(p, along[name]) for name, p in point.items()}
                return unpack_dual(self._losses(dual))[1]
        except NotImplementedError:
            with self._as_then(), torch.enable_grad():
                free = {name: p.requires_grad_() for name, p in point.items()}
                losses = self._losses(free)
                u = torch.ones_like(losses, requires_grad=True)
                given = torch.autograd.grad(losses, list(free.values()), u, create_graph=True, allow_unused=True)
                pairs = zip(given, along.values(), strict=True)
                product = torch.stack([(g * v).sum() for g, v in pairs if g is not None]).sum()
            return torch.autograd.grad(product, u)[0]

    def _losses(self, params: dict[str, Tensor]) -> Tensor:
        return self.losses_of(torch.func.functional_call(self.model, params, (self.x,)))

    @contextmanager
    def _as_then(self) -> Iterator[None]:
        """The random numbers and the precision of the backward pass, and operations that can be differentiated."""
        # A padding row gets no gradient, yet its tangent would get through (where the table is tied).
        hooks = [
            module.register_forward_hook(partial(_still_row, module.weight.detach()[module.padding_idx]))
            for module in self.model.modules()
            if isinstance(module, nn.Embedding) and module.padding_idx is not None
        ]
        devices = [self.x.device] if self.device_random is not None else []
        try:
            with torch.random.fork_rng(devices), self.autocast(), sdpa_kernel(SDPBackend.MATH):
                torch.set_rng_state(self.random)
                if self.device_random is not None:
                    torch.cuda.set_rng_state(self.device_random, self.x.device)
                yield
        finally:
            for hook in hooks:
                hook.remove()


def _still_row(row: Tensor, layer: nn.Embedding, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    padding = torch.eq(inputs[0], layer.padding_idx or 0)
    return torch.where(padding.unsqueeze(-1), row, output)
