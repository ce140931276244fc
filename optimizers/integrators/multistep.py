"""Multistep integrators of the gradient flow: one gradient per step, higher order from the past ones.

Gradient descent is Euler's method for x' = -grad f(x), the learning rate h being the step in time. The
schemes here keep what past steps have seen and reach order 2 to 4 at the cost of one gradient per step.

The learning rate may change between steps: the coefficients are those of the *variable-step* scheme,
functions of the past step lengths, so that the order of accuracy holds under any schedule (with constant
coefficients it falls to 1 wherever the rate jumps). Three rules complete this:

- the first steps, and a parameter's first ones, use the lower-order members of the family (Euler for
  `Taylor`);
- a step more than twice as long as the one before extrapolates too far from what is remembered (the
  coefficients of order p grow as the ratio to the power p - 1, and with them the noise): the history is
  dropped and built anew;
- a step of length 0 moves nothing in time and is not remembered. Neither is a missing gradient: that
  parameter's time stands still.

The batch size has no part in this: another batch is another noise on the same flow, so the history stays.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import NON_NEGATIVE, DenseOptimizer, is_half, parts
from batchlab.optimizers.scope import Scope

# Longest step, in units of the one before, that past gradients are trusted for. A linear warm-up from 0
# starts by doubling; the small allowance is for its rounding.
LONGEST_STRIDE = 2.0 * (1 + 1e-9)


class Multistep(DenseOptimizer):
    """What the multistep schemes share: the history, its start, and what of it a step may use.

    State of a parameter: `history`, at most `memory` tensors shaped like it, and `steps`, the learning rates
    of the steps they belong to, both newest first. Both travel in `state_dict`, so a resumed run continues
    bit for bit.

    Args:
        params: parameters or groups. Shapes are free; real and dense.
        lr: h, the learning rate, at least 0.
        weight_decay: coupled: adds weight_decay * x to the gradient, so the flow is that of f + weight_decay
            |x|^2 / 2.
        foreach: all tensors of a group at a time (True), one at a time (False), or by device (None).
        own: the scheme's other hyper-parameters.

    Raises:
        ValueError: hyper-parameters out of range, complex parameters, sparse gradients.
    """

    limits: ClassVar = dict.fromkeys(("lr", "weight_decay"), NON_NEGATIVE)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        **own: int,
    ) -> None:
        super().__init__(params, {"lr": lr, **own, "weight_decay": weight_decay, "foreach": foreach})

    @property
    @abstractmethod
    def memory(self) -> int:
        """Past instants kept."""

    @abstractmethod
    def advance(
        self, x: list[Tensor], g: list[Tensor], past: list[list[Tensor]], h: float, steps: tuple[float, ...]
    ) -> list[Tensor]:
        """Take a step.

        Args:
            x: the parameters, moved in place.
            g: their gradients, aligned with `x`.
            past: what was remembered, newest first, each aligned with `x`. When the history is full its oldest tensors,
                `past[-1]`, are free to be overwritten and returned.
            h: the length of the step.
            steps: the lengths of the past steps, aligned with `past`.

        Returns:
            What to remember of this step, aligned with `x`.
        """

    @abstractmethod
    def records(self, instants: list[list[Tensor]], now: list[Tensor], h: list[float]) -> list[list[Tensor]]:
        """What `prime` was given, turned into what `advance` would have remembered, oldest first."""

    def prime(self, instants: Sequence[Sequence[Tensor]]) -> None:
        """Give the history, so that the first step already has the full order.

        Args:
            instants: per past instant, oldest first, one tensor for each parameter in the order of the
                groups: its gradient there (Adams-Bashforth) or its value (Taylor). The instants lie one learning
                rate apart, the last of them one before now. At most `memory` of them.

        Raises:
            ValueError: too many instants, or tensors that do not fit the parameters.
        """
        if len(instants) > self.memory:
            raise ValueError(f"{len(instants)} past instants given, {self.memory} are used: give the last ones")
        owned = [(p, float(group["lr"])) for group in self.param_groups for p in group["params"]]
        now = [p.detach() for p, _ in owned]
        for instant in instants:
            if [t.shape for t in instant] != [p.shape for p in now]:
                raise ValueError("each past instant needs one tensor per parameter, of that parameter's shape")
        now = [p.float() if is_half(p) else p for p in now]  # as the state is that steps leave
        given = [[t.detach().to(p) for t, p in zip(instant, now, strict=True)] for instant in instants]
        remembered = self.records(given, now, [h for _, h in owned])
        for i, (parameter, h) in enumerate(owned):
            history = [instant[i].clone() for instant in reversed(remembered)]
            self.state[parameter].update(history=history, steps=[h] * len(history))

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; ValueError where the state is a scheme's of another order, whose history means another thing."""
        for group in state_dict["param_groups"]:
            if (order := group.get("order")) != self.defaults.get("order"):
                whose = f"order {order}" if order else "another scheme"
                raise ValueError(f"this state is of {whose}: load it into the optimizer that it was saved from")
        super().load_state_dict(state_dict)

    @override
    def update(self, group: dict[str, Any]) -> None:
        if (h := float(group["lr"])) > 0:
            for steps, parameters in self._by_history(group["params"], h).items():
                for part in parts(parameters, group["foreach"]):
                    self._step(part, h, steps, group["weight_decay"])

    def _by_history(self, parameters: list[Tensor], h: float) -> dict[tuple[float, ...], list[Tensor]]:
        """The parameters that have a gradient, by the past steps that a step of length `h` may build on."""
        found: dict[tuple[float, ...], list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                state = self.state[parameter]
                steps = state.get("steps", [])
                if not steps or h > LONGEST_STRIDE * steps[0]:
                    steps = state["steps"] = []
                    state["history"] = []
                found.setdefault(tuple(steps), []).append(parameter)
        return found

    def _step(self, x: list[Tensor], h: float, steps: tuple[float, ...], weight_decay: float) -> None:
        g = [self.dense_gradient(parameter) for parameter in x]
        if weight_decay:
            g = list(torch._foreach_add(g, x, alpha=weight_decay))
        states = [self.state[parameter] for parameter in x]
        past = [list(instant) for instant in zip(*(state["history"] for state in states), strict=True)]
        for state, newest in zip(states, self.advance(x, g, past, h, steps), strict=True):
            state["history"] = [newest, *state["history"]][: self.memory]
            state["steps"] = [h, *steps][: self.memory]


class AdamsBashforth(Multistep):
    r"""The Adams-Bashforth scheme of order 2, 3 or 4 on the gradient flow.

    With g_t the gradient at x_t and equal steps h = lr:

    - order 2: x <- x - h (3 g_t - g_{t-1}) / 2
    - order 3: x <- x - h (23 g_t - 16 g_{t-1} + 5 g_{t-2}) / 12
    - order 4: x <- x - h (55 g_t - 59 g_{t-1} + 37 g_{t-2} - 9 g_{t-3}) / 24

    In general x <- x - integral over the coming step of the polynomial through the last `order` gradients, at
    the times they were taken: these are the coefficients above where lr is constant, and keep the order where
    it is not (the module's docstring has the rules). Starting steps: order 1 (Euler), 2, ... On a quadratic
    of curvature l the scheme is stable while lr * l < 1, 6/11, 3/10 for orders 2, 3, 4, against 2 for
    gradient descent.

    Source: a classical scheme; arXiv 2409.04707 poses the question (does a higher-order discretisation of
    gradient descent help?), but whether it uses this scheme is unknown. Deviation from the classical setting:
    gradients are those of mini-batches, so g_{t-1} is another sample's. The scheme multiplies gradient noise
    by the norm of its coefficients: 1.6, 2.4 and 3.7 times that of SGD in a single step, though their sum stays 1.

    Args:
        order: 2, 3 or 4; order - 1 gradients per parameter are kept.
        params, lr, weight_decay, foreach: see `Multistep`, which also says what is refused.

    >>> x = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = AdamsBashforth([x], lr=0.1, order=2)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (x**2 / 2).sum().backward()
    ...     optimizer.step()
    >>> round(x.item(), 6)  # 1, then 0.9 by Euler, then 0.9 - 0.1 (3 * 0.9 - 1) / 2
    0.815
    """

    scope: ClassVar[Scope] = "elements"
    orders: ClassVar[tuple[int, ...]] = (2, 3, 4)

    def __init__(
        self, params: ParamsT, lr: float = 1e-2, order: int = 2, weight_decay: float = 0.0, foreach: bool | None = None
    ) -> None:
        if order not in self.orders:
            raise ValueError(f"order must be 2, 3 or 4, not {order}; order 1 is torch.optim.SGD")
        super().__init__(params, lr, weight_decay, foreach, order=order)

    @property
    @override
    def memory(self) -> int:
        return int(self.defaults["order"]) - 1

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if (order := param_group.get("order", self.defaults["order"])) != self.defaults["order"]:
            raise ValueError(f"a group of order {order} in a scheme of order {self.defaults['order']}: build another")
        super().add_param_group(param_group)

    @override
    def advance(
        self, x: list[Tensor], g: list[Tensor], past: list[list[Tensor]], h: float, steps: tuple[float, ...]
    ) -> list[Tensor]:
        ratios = tuple(step / h for step in steps)
        for coefficient, gradients in zip(adams_bashforth(ratios), (g, *past), strict=True):
            torch._foreach_add_(x, gradients, alpha=-h * coefficient)
        if len(past) < self.memory:
            return [gradient.clone() for gradient in g]
        torch._foreach_copy_(past[-1], g)
        return past[-1]

    @override
    def records(self, instants: list[list[Tensor]], now: list[Tensor], h: list[float]) -> list[list[Tensor]]:
        return instants


class Taylor(Multistep):
    r"""The Taylor 4-instant scheme on the gradient flow: batchlab's interpretation of arXiv 2409.04707.

    The paper replaces Euler's method by a "Taylor multi-step" scheme; its formula is unknown to us. This is
    the scheme of that name that fits its words, an explicit three-step formula of order 2 in four instants:

        x_{t+1} = 3/2 x_t - x_{t-1} + 1/2 x_{t-2} - h g_t,   g_t the gradient at x_t, h = lr.

    Kept as velocities v_t = (x_t - x_{t-1}) / h, which lose no digits in a difference of nearly equal points
    and do not mind if the parameters are changed between steps, it is Taylor's expansion of the flow with the
    second derivative from a backward difference. With the past steps' lengths h_1 (the last) and h_2 it
    reads, for any learning rates,

        v <- -g_t + h / (h_1 + h_2) (v_t - v_{t-1}),   x <- x + h v

    and keeps order 2 (the module's docstring has the rules for changes of lr). Starting steps: Euler, twice.
    On a quadratic of curvature l it is stable while lr * l < 1, against 2 for gradient descent.

    Deviations: the formula itself (see above); gradients are those of mini-batches.

    Arguments: see `Multistep`, which also says what is refused.

    >>> x = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Taylor([x], lr=0.1)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     (x**2 / 2).sum().backward()
    ...     optimizer.step()
    >>> round(x.item(), 6)  # 1, 0.9, 0.81 by Euler, then 3/2 * 0.81 - 0.9 + 1/2 * 1 - 0.1 * 0.81
    0.734
    """

    scope: ClassVar[Scope] = "elements"

    def __init__(
        self, params: ParamsT, lr: float = 1e-2, weight_decay: float = 0.0, foreach: bool | None = None
    ) -> None:
        super().__init__(params, lr, weight_decay, foreach)

    @property
    @override
    def memory(self) -> int:
        return 2

    @override
    def advance(
        self, x: list[Tensor], g: list[Tensor], past: list[list[Tensor]], h: float, steps: tuple[float, ...]
    ) -> list[Tensor]:
        if len(past) < self.memory:
            velocity = list(torch._foreach_neg(g))
        else:
            weight = h / (steps[0] + steps[1])
            velocity = past[-1]
            torch._foreach_mul_(velocity, -weight)
            torch._foreach_add_(velocity, past[0], alpha=weight)
            torch._foreach_sub_(velocity, g)
        torch._foreach_add_(x, velocity, alpha=h)
        return velocity

    @override
    def records(self, instants: list[list[Tensor]], now: list[Tensor], h: list[float]) -> list[list[Tensor]]:
        points = [*instants, now]
        return [
            [(b - a) / step for a, b, step in zip(before, after, h, strict=True)] for before, after in pairwise(points)
        ]


@lru_cache(maxsize=1024)
def adams_bashforth(steps: tuple[float, ...]) -> tuple[float, ...]:
    """Variable-step Adams-Bashforth coefficients of the gradients now and at the past instants, newest first.

    Args:
        steps: lengths of the past steps, newest first, in units of the coming step.

    Returns:
        len(steps) + 1 weights with sum 1: the integrals over the coming step, of length 1, of the polynomials
        that are 1 at one instant and 0 at the others.

    >>> [round(12 * c, 6) for c in adams_bashforth((1.0, 1.0))]
    [23.0, -16.0, 5.0]
    """
    instants = [0.0, *(-time for time in accumulate(steps))]
    weights = []
    for i, instant in enumerate(instants):
        others = instants[:i] + instants[i + 1 :]
        basis = np.poly1d(others, r=True) / math.prod(instant - other for other in others)
        weights.append(float(basis.integ()(1.0)))
    return tuple(weights)
