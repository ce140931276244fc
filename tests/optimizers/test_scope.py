"""What an optimizer says of how far its numbers look is true: stacked or listed, it takes the steps of each alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, optim

from batchlab.optimizers import LAMB, LARS, NSHB, RK4, VRSGD, AdaGradNorm, AdamsBashforth, Heun, Muon, Taylor
from batchlab.optimizers.scope import ELEMENTWISE, scope_of

ELEMENTS: list[Callable[..., optim.Optimizer]] = [
    *sorted(ELEMENTWISE, key=str),
    NSHB,
    Taylor,
    AdamsBashforth,
    Heun,
    RK4,
]
TENSORS: list[Callable[..., optim.Optimizer]] = [LARS, LAMB]


def moved(make: Callable[..., Any], copies: list[list[Tensor]], *, stacked: bool) -> list[Tensor]:
    """Parameters after five steps on a function that ties coordinates of a copy, and no copies, together."""
    if stacked:
        params = [torch.stack(list(same)).requires_grad_() for same in zip(*copies, strict=True)]
    else:
        params = [p.clone().requires_grad_() for own in copies for p in own]
    optimizer = make(params, lr=0.05)

    def closure() -> float:
        optimizer.zero_grad()
        groups = (
            [[p[i] for p in params] for i in range(len(copies))]
            if stacked
            else [params[i : i + 2] for i in range(0, len(params), 2)]
        )
        loss = sum((weight.sin().sum() * bias.square().sum() + weight.square().sum() for weight, bias in groups))
        loss.backward()
        return float(loss)

    for _ in range(5):
        optimizer.step(closure)
    if stacked:
        return [p.detach()[i] for i in range(len(copies)) for p in params]
    return [p.detach() for p in params]


def copies(count: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [
        [torch.randn(3, 2, generator=generator, dtype=torch.float64), torch.randn(2, generator=generator).double()]
        for _ in range(count)
    ]


@pytest.mark.parametrize("make", ELEMENTS)
def test_elements_stack(make: Any) -> None:
    assert scope_of(make) == "elements"
    given = copies(3)
    alone = [p for own in given for p in moved(make, [own], stacked=False)]
    assert all(
        torch.allclose(a, b, rtol=1e-13, atol=0) for a, b in zip(alone, moved(make, given, stacked=True), strict=True)
    )


@pytest.mark.parametrize("make", TENSORS)
def test_tensors_are_listed(make: Any) -> None:
    assert scope_of(make) == "tensors"
    given = copies(3)
    alone = [p for own in given for p in moved(make, [own], stacked=False)]
    listed = moved(make, given, stacked=False)
    assert all(torch.allclose(a, b, rtol=1e-13, atol=0) for a, b in zip(alone, listed, strict=True))
    stacked = moved(make, given, stacked=True)
    assert not all(torch.allclose(a, b) for a, b in zip(alone, stacked, strict=True)), "then it could say elements"


def test_a_model_is_what_nothing_is_known_of() -> None:
    class Own(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    class Renamed(optim.SGD):
        pass

    class Wrong(optim.Optimizer):
        scope = "layers"

    for kind in (AdaGradNorm, Muon, VRSGD, optim.LBFGS, Own, optim.Adafactor):
        assert scope_of(kind) == "model"
    Renamed([torch.zeros(1, requires_grad=True)])  # torch hooks into the class
    assert scope_of(Renamed) == "elements"
    Own([torch.zeros(1, requires_grad=True)])
    assert scope_of(Own) == "model"
    with pytest.raises(ValueError, match="choose one of elements, tensors, model"):
        scope_of(Wrong)
