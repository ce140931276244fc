"""What makes an integrator of the gradient flow good on paper: its order of accuracy and its stability limit.

Both are measured on the optimizer itself, as a user would step it, so gradient descent and the momentum
methods of `torch.optim` can be measured beside the schemes of this package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from batchlab.optimizers.integrators.multistep import Multistep, Taylor

Make = Callable[[list[Tensor], float], Optimizer]  # (parameters, learning rate) -> optimizer


class CoshFlow:
    """The gradient flow of f(x) = sum_i cosh((Q x)_i), Q a rotation: smooth, coupled, solved in closed form.

    In y = Q x each coordinate follows y' = -sinh(y), so tanh(y / 2) = tanh(y_0 / 2) exp(-t), also for t < 0.
    """

    def __init__(self) -> None:
        c, s = math.cos(0.7), math.sin(0.7)
        self.rotation = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        self.start = torch.tensor([1.0, -0.6], dtype=torch.float64)  # y at t = 0

    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (), of x of shape (2,)."""
        return torch.cosh(self.rotation @ x).sum()

    def exact(self, time: float) -> Tensor:
        """x at `time`, shape (2,), float64."""
        y = 2 * torch.atanh(torch.tanh(self.start / 2) * math.exp(-time))
        return self.rotation.T @ y

    def gradient(self, time: float) -> Tensor:
        """grad f along the flow at `time`, shape (2,), float64."""
        return self.rotation.T @ torch.sinh(self.rotation @ self.exact(time))


def flow_error(make: Make, eta: float, *, steps: int, strides: Sequence[float] = (1.0,), primed: bool = True) -> float:
    """Distance from the exact flow after `steps` steps whose lengths are eta * strides, cycling.

    Args:
        make: builds the optimizer.
        eta: unit of length of the steps.
        strides: lengths of consecutive steps in units of eta; (1,) is a constant learning rate.
        steps: number of steps.
        primed: give a multistep scheme the exact values of the flow as its history, so that its starting
            steps, of lower order, do not set the error.

    Returns:
        The Euclidean distance.
    """
    flow = CoshFlow()
    x = flow.exact(0.0).requires_grad_()
    optimizer = make([x], eta)
    if primed and isinstance(optimizer, Multistep):
        at = flow.exact if isinstance(optimizer, Taylor) else flow.gradient
        optimizer.prime([[at(-eta * i)] for i in range(optimizer.memory, 0, -1)])
    time = 0.0
    for step in range(steps):
        length = eta * strides[step % len(strides)]
        optimizer.param_groups[0]["lr"] = length
        optimizer.step(_closure(optimizer, x, flow.loss))
        time += length
    return float(torch.linalg.vector_norm(x.detach() - flow.exact(time)))


def order_of_accuracy(etas: Sequence[float], errors: Sequence[float]) -> float:
    """The p of error ~ eta^p.

    Args:
        etas: lengths of the steps, two at least.
        errors: the error at each.

    Returns:
        The slope of the least-squares line through log(error) against log(eta).
    """
    x = torch.tensor(etas, dtype=torch.float64).log()
    y = torch.tensor(errors, dtype=torch.float64).log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def stability_limit(make: Make, *, upper: float = 8.0, resolution: float = 1e-3, steps: int = 2000) -> float:
    """The smallest lr * curvature at which `make`'s optimizer no longer converges on a quadratic.

    By repeated section of (0, upper): 32 curvatures are iterated at once, one per coordinate, at learning
    rate 1, and the search goes on between the last that shrinks and the first that grows.

    Args:
        make: builds the optimizer.
        upper: where the search ends; the limit must lie below.
        resolution: width of the last interval.
        steps: iterations that tell growth from decay; close to the limit the two differ by exp(resolution *
            steps).

    Returns:
        The limit, to half of `resolution`.
    """
    low, high = 0.0, upper
    while high - low > resolution:
        curvature = torch.linspace(low, high, 34, dtype=torch.float64)[1:-1]
        x = torch.ones(32, dtype=torch.float64, requires_grad=True)
        optimizer = make([x], 1.0)
        closure = _closure(optimizer, x, partial(_quadratic, curvature))
        sizes = []
        for _ in range(steps):
            optimizer.step(closure)
            sizes.append(x.detach().abs())
        _, before, _, after = (quarter.amax(0) for quarter in torch.stack(sizes).chunk(4))
        grows = ~((after < before) | (after == 0))  # an overflow is a growth, an underflow is not
        first = int(grows.int().argmax()) if bool(grows.any()) else 32
        edges = [low, *curvature.tolist(), high]
        low, high = edges[first], edges[first + 1]
    return (low + high) / 2


def survey(makes: Mapping[str, Make]) -> dict[str, Any]:
    """Error and stability limit of many optimizers: some seconds.

    Args:
        makes: name -> how to build the optimizer.

    Returns:
        `steps`, numbers of steps in which the flow is followed to time 1; `errors`, name -> the distance from the
        exact flow after each; `limits`, name -> the stability limit, to 0.004.
    """
    steps = (40, 80, 160, 320)
    return {
        "steps": list(steps),
        "errors": {name: [flow_error(make, 1 / n, steps=n) for n in steps] for name, make in makes.items()},
        "limits": {name: stability_limit(make, upper=4.0, resolution=4e-3, steps=1000) for name, make in makes.items()},
    }


def _quadratic(curvature: Tensor, x: Tensor) -> Tensor:
    return (curvature * x**2).sum() / 2


def _closure(optimizer: Optimizer, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Callable[[], float]:
    def closure() -> float:
        optimizer.zero_grad()
        value = loss(x)
        torch.autograd.backward(value)
        return float(value.detach())

    return closure
