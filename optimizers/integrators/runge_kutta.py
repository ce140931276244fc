"""Runge-Kutta integrators of the gradient flow: several gradients per step, all on the same mini-batch."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import NON_NEGATIVE, DenseOptimizer, LossClosure, is_half, split
from batchlab.optimizers.needs import Closure
from batchlab.optimizers.scope import Scope


class RungeKutta(DenseOptimizer):
    """An explicit Runge-Kutta scheme each of whose stages starts from the gradient of the stage before alone.

    With x the parameters, h = lr and g_i the gradient at stage i: stage 1 is at x, stage i + 1 at x - h
    nodes[i] g_i, and the step ends at x - h sum_i weights[i] g_i. Nothing is carried from step to step, so
    `state_dict` holds the groups only and the learning rate may change freely.

    `step(closure)` calls the closure `needs.evaluations` times. Each call must clear the gradients,
    evaluate the loss and the mean gradient of the *same* global mini-batch at the parameters as they are, and
    return the loss. What the model does beside that happens in each call: BatchNorm's running statistics move
    that many times, dropout draws anew. The loss of the first call, at the point the step starts from, is returned.

    The schemes are classical; whether arXiv 2409.04707, which asks what higher order brings, uses them is unknown.
    Deviation: gradients are those of one mini-batch, so a scheme follows that batch's flow for the length of a step.

    Args:
        params: parameters or groups. Shapes are free; real and dense.
        lr: h, the learning rate, at least 0.
        weight_decay: coupled: adds weight_decay * x to the gradient at every stage.
        foreach: all tensors of a group at a time (True), one at a time (False), or by device (None).

    Raises:
        ValueError: a step without a closure, hyper-parameters out of range, complex parameters, sparse gradients.
    """

    limits: ClassVar = dict.fromkeys(("lr", "weight_decay"), NON_NEGATIVE)
    scope: ClassVar[Scope] = "elements"
    nodes: ClassVar[tuple[float, ...]]
    weights: ClassVar[tuple[float, ...]]
    needs: ClassVar[Closure]

    def __init__(
        self, params: ParamsT, lr: float = 1e-2, weight_decay: float = 0.0, foreach: bool | None = None
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "foreach": foreach}
        super().__init__(params, defaults)

    @override
    def take(self, closure: LossClosure | None) -> float | None:
        if closure is None:
            name = type(self).__name__
            raise ValueError(f"{name} evaluates {self.needs.evaluations} gradients per step: call step(closure)")
        x = [[p for p in group["params"] if p.requires_grad] for group in self.param_groups]
        start = [[p.clone() for p in parameters] for parameters in x]
        end = [[p.float() if is_half(p) else p.clone() for p in parameters] for parameters in x]  # rounded once
        losses = []
        try:
            for node, weight in zip((*self.nodes, None), self.weights, strict=True):
                with torch.enable_grad():
                    losses.append(closure())
                for group, now, before, after in zip(self.param_groups, x, start, end, strict=True):
                    h = float(group["lr"])
                    for places in split(now, group["foreach"]):
                        p, p_start, p_end = ([row[i] for i in places] for row in (now, before, after))
                        g = self._gradients(p, group["weight_decay"])
                        _add(p_end, g, -h * weight)
                        torch._foreach_copy_(p, p_end if node is None else p_start)
                        if node is not None:
                            _add(p, g, -h * node)
        except BaseException:  # a step that is cut short (out of memory, an interrupt) has not happened
            for now, before in zip(x, start, strict=True):
                for parameter, value in zip(now, before, strict=True):
                    parameter.copy_(value)
            raise
        return losses[0]

    def _gradients(self, x: list[Tensor], weight_decay: float) -> list[Tensor | None]:
        """Gradient plus decay where there is a gradient; a missing one counts as zero for this stage."""
        present = [None if p.grad is None else self.dense_gradient(p) for p in x]
        present = [g.float() if g is not None and is_half(g) else g for g in present]
        if weight_decay == 0:
            return present
        return [None if g is None else g.add(p, alpha=weight_decay) for g, p in zip(present, x, strict=True)]


def _add(x: list[Tensor], g: list[Tensor | None], alpha: float) -> None:
    pairs = [(a, b) for a, b in zip(x, g, strict=True) if b is not None]
    if pairs:
        torch._foreach_add_([a for a, _ in pairs], [b for _, b in pairs], alpha=alpha)


class Heun(RungeKutta):
    r"""Heun's scheme of order 2 (RK2, the explicit trapezoid) on the gradient flow: two gradients per step.

        g_1 = g(x),   g_2 = g(x - h g_1),   x <- x - h (g_1 + g_2) / 2,   h = lr, both on the same mini-batch.

    On a quadratic of curvature l it is stable while lr * l < 2, like gradient descent, at twice the cost.

    Arguments, source and deviation: see `RungeKutta`.

    >>> x = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Heun([x], lr=0.1)
    >>> def closure() -> torch.Tensor:
    ...     optimizer.zero_grad()
    ...     loss = (x**2 / 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> round(x.item(), 6)  # 1 - 0.1 + 0.1**2 / 2
    0.905
    """

    nodes = (1.0,)
    weights = (1 / 2, 1 / 2)
    needs = Closure(2)


class RK4(RungeKutta):
    r"""The classical Runge-Kutta scheme of order 4 on the gradient flow: four gradients per step.

        g_1 = g(x),  g_2 = g(x - h/2 g_1),  g_3 = g(x - h/2 g_2),  g_4 = g(x - h g_3),
        x <- x - h (g_1 + 2 g_2 + 2 g_3 + g_4) / 6,   h = lr, all on the same mini-batch.

    On a quadratic of curvature l it is stable while lr * l < 2.785, so per gradient evaluation it covers
    about a third of the distance that gradient descent may.

    Arguments, source and deviation: see `RungeKutta`.

    >>> from batchlab.optimizers.integrators.measure import flow_error
    >>> error, half = (flow_error(RK4, 1 / n, steps=n) for n in (20, 40))
    >>> round(error / half)  # half the step, about 2**4 times as near to the flow
    16
    """

    nodes = (1 / 2, 1 / 2, 1.0)
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    needs = Closure(4)
