"""Inner products of the per-sample gradients with a direction, in a second pass over the same batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from batchlab.optimizers.moments.flat import exact
from batchlab.optimizers.moments.replay import autocast_as_now, called_with
from batchlab.optimizers.moments.state import ModelState
from batchlab.optimizers.moments.truth import Batch, gradients_of, rounding


class Micro:
    """A micro-batch to come back to: a copy of the data, and the state and precision that the model met it in."""

    def __init__(self, batch: Batch) -> None:
        self.model, self.losses_of = batch.model, batch.losses_of
        self.x = batch.x.detach().clone()  # loops refill their tensors
        self.y = tree_map(lambda t: t.detach().clone() if isinstance(t, Tensor) else t, batch.y)
        self.autocast: Callable[[], AbstractContextManager[Any]] = autocast_as_now(self.x.device)
        self.before = ModelState(self.model, self.losses_of.criterion, device=self.x.device)

    def by_forward_mode(self, params: Sequence[Tensor], direction: Sequence[Tensor], careful: bool) -> Tensor:
        """<g_i, direction> of each sample, (n,): the derivative of the samples' losses along the direction.

        Args:
            params: the parameters.
            direction: aligned with them.
            careful: keep the parameters, lest the forward pass changes them.
        """
        with self._as_then(careful), forward_mode.dual_level():
            make_dual: Callable[..., Tensor] = forward_mode.make_dual
            unpack_dual: Callable[..., tuple[Tensor, Tensor | None]] = forward_mode.unpack_dual
            named = self._named(params, direction).items()
            losses, slopes = unpack_dual(self._losses({name: make_dual(p.detach(), d) for name, (p, d) in named}))
            return torch.zeros_like(losses) if slopes is None else slopes

    def by_double_backward(self, params: Sequence[Tensor], direction: Sequence[Tensor], careful: bool) -> Tensor:
        """The same by differentiating the backward pass: <J^T u, direction> has the gradient J direction in u."""
        named = self._named(params, direction)
        with self._as_then(careful), torch.enable_grad():
            free = {name: p.detach().requires_grad_() for name, (p, _) in named.items()}
            losses = self._losses(free)
            u = torch.ones_like(losses, requires_grad=True)
            given = torch.autograd.grad(losses, list(free.values()), u, create_graph=True, allow_unused=True)
            pairs = zip(given, named.values(), strict=True)
            products = [(g * d).sum() for g, (_, d) in pairs if g is not None]
            if not products:
                return torch.zeros_like(losses)
            return torch.autograd.grad(torch.stack(products).sum(), u)[0]

    def by_samples(self, params: Sequence[Tensor], direction: Sequence[Tensor], careful: bool) -> Tensor:
        """The same by a backward pass for every sample."""
        with self._as_then(careful), torch.enable_grad():
            kept = [p.detach().clone() for p in params] if careful else []
            losses = self.losses_of(self.model(self.x.clone()), self.y, len(self.x))
            if not all(torch.equal(p, before) for p, before in zip(params if careful else [], kept, strict=True)):
                raise ValueError("the forward pass changes parameters: a second one is not the first again")
            products = torch.zeros(len(losses), dtype=exact(losses.device), device=losses.device)
            for sample, loss in enumerate(losses):
                for gradient, d in zip(gradients_of(loss, params), direction, strict=True):
                    if gradient is not None:
                        products[sample] += (gradient.to(products.dtype) * d).sum()
            return products

    def _named(self, params: Sequence[Tensor], direction: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        place = {id(p): i for i, p in enumerate(params)}
        named = [(name, p) for name, p in self.model.named_parameters() if id(p) in place and p.requires_grad]
        return {name: (p, direction[place[id(p)]].to(p.dtype)) for name, p in named}

    def _losses(self, params: dict[str, Tensor]) -> Tensor:
        return self.losses_of(called_with(self.model, params, (self.x.clone(),)), self.y, len(self.x))

    @contextmanager
    def _as_then(self, careful: bool) -> Iterator[None]:
        """The state and the precision of the backward pass, and operations that can be differentiated."""
        now = ModelState(self.model, self.losses_of.criterion, device=self.x.device, parameters=careful)
        # A padding row gets no gradient, yet its tangent would get through (where the table is tied).
        hooks = [
            module.register_forward_hook(partial(_still_row, module.weight.detach()[module.padding_idx]))
            for module in self.model.modules()
            if isinstance(module, nn.Embedding) and module.padding_idx is not None
        ]
        try:
            self.before.restore()
            with self.autocast(), sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            now.restore()
            for hook in hooks:
                hook.remove()


class Products:
    """The quickest way to the inner products that adds up to the batch's gradient, in this batch as in those before."""

    def __init__(self) -> None:
        self._judged = False
        self._ways = [Micro.by_forward_mode, Micro.by_double_backward, Micro.by_samples]

    def of(
        self,
        micros: Sequence[Micro],
        params: Sequence[Tensor],
        direction: Sequence[Tensor],
        total: Tensor,
        size: Tensor,
    ) -> list[Tensor]:
        """<g_i, direction> of each sample of each micro-batch, (n,) each.

        Args:
            micros: the micro-batches of this rank.
            params: the parameters.
            direction: aligned with them.
            total: what the products must add up to, ().
            size: that rounding is relative to, ().

        Raises:
            ValueError: no way gives products that add up to what they must.
        """
        if not micros:
            return []
        wrong: object = None
        while self._ways:
            try:
                products = [self._ways[0](micro, params, direction, not self._judged) for micro in micros]
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError, TypeError) as error:  # an operation without this kind of derivative
                wrong = error
            else:
                added = torch.stack([p.to(exact(p.device)).sum() for p in products]).sum()
                eps = rounding(params, micros[0].x.device)
                if not bool(size.isfinite()):
                    return products
                last = 0.01 if len(self._ways) == 1 else 0.0  # of coarse types within the model we know nothing
                if bool((added - total).abs() <= max(min(100 * eps, 0.05), last) * size):
                    self._judged = True
                    return products
                wrong = f"they add up to {float(added):.6g}, not to {float(total):.6g}"
            self._ways.pop(0)
        raise ValueError(
            f"the inner products of this model's per-sample gradients cannot be had ({wrong}): use estimator=groups, "
            "or a test that needs the variance alone, such as NormTest"
        )


def _still_row(row: Tensor, layer: nn.Embedding, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    padding = torch.eq(inputs[0], layer.padding_idx or 0)
    return torch.where(padding.unsqueeze(-1), row, output)
