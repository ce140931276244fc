"""NSHB and AdaGrad-Norm against float64 transcriptions of their formulas, and the identities they obey."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import Parameter
from torch.optim import Optimizer

from batchlab.optimizers import NSHB, AdaGradNorm

SHAPES = [(3, 4), (4,), (2, 3, 2), ()]
Arrays = list[np.ndarray]


def gradients(steps: int, seed: int = 0) -> list[Arrays]:
    """Gradients that depend on nothing, so that a transcription needs no model."""
    random = np.random.default_rng(seed)
    return [[random.normal(size=shape) for shape in SHAPES] for _ in range(steps)]


def run(make: Callable[[list[Parameter]], Optimizer], given: list[Arrays], rates: list[float] | None = None) -> Arrays:
    """Where parameters that begin at 1 end after the given gradients, in float64."""
    params = [Parameter(torch.ones(shape, dtype=torch.float64)) for shape in SHAPES]
    optimizer = make(params)
    for t, arrays in enumerate(given):
        for parameter, array in zip(params, arrays, strict=True):
            parameter.grad = torch.from_numpy(np.asarray(array))
        for group in optimizer.param_groups:
            group["lr"] = rates[t] if rates else group["lr"]
        optimizer.step()
    return [p.detach().numpy() for p in params]


def same(ours: Arrays, theirs: Arrays) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("path", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_nshb_is_its_formula(path: dict[str, bool], decay: float) -> None:
    rates, beta = [0.1, 0.1, 0.3, 0.2, 0.0, 0.05], 0.87
    x = [np.ones(shape) for shape in SHAPES]
    m = [np.zeros(shape) for shape in SHAPES]
    for lr, arrays in zip(rates, gradients(6), strict=True):
        for i, g in enumerate(arrays):
            m[i] = beta * m[i] + (1 - beta) * (g + decay * x[i])
            x[i] = x[i] - lr * m[i]
    same(run(lambda p: NSHB(p, lr=9.0, momentum=beta, weight_decay=decay, **path), gradients(6), rates), x)


def test_nshb_is_heavy_ball_at_another_rate() -> None:
    heavy_ball = run(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), gradients(8))
    same(run(lambda p: NSHB(p, lr=0.01 / (1 - 0.9), momentum=0.9), gradients(8)), heavy_ball)


def test_nshb_is_not_torchs_dampening() -> None:
    dampened = run(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.9), gradients(1))
    normalised = run(lambda p: NSHB(p, lr=0.1, momentum=0.9), gradients(1))
    np.testing.assert_allclose(1 - dampened[0], 10 * (1 - normalised[0]))


def test_nshb_groups_have_their_own_momentum() -> None:
    a, b = Parameter(torch.zeros(1)), Parameter(torch.zeros(1))
    optimizer = NSHB([{"params": [a], "momentum": 0.5}, {"params": [b]}], lr=1.0, momentum=0.9)
    a.grad = b.grad = torch.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == pytest.approx((-0.5, -0.1))


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5])
def test_nshb_refuses_momentum_outside_its_range(momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum"):
        NSHB([Parameter(torch.zeros(1))], momentum=momentum)


def adagrad_norm(given: list[Arrays], rates: list[float], initial: float, eps: float, decay: float) -> Arrays:
    x, v = [np.ones(shape) for shape in SHAPES], initial
    for lr, arrays in zip(rates, given, strict=True):
        g = [a + decay * y for a, y in zip(arrays, x, strict=True)]
        v += sum(float((a**2).sum()) for a in g)
        x = [y - lr * a / (np.sqrt(v) + eps) for y, a in zip(x, g, strict=True)]
    return x


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(("initial", "eps", "decay"), [(0.0, 1e-10, 0.0), (2.0, 0.5, 0.3)])
def test_adagrad_norm_is_its_formula(foreach: bool, initial: float, eps: float, decay: float) -> None:
    rates = [0.1, 0.5, 0.5, 0.2, 0.3]
    theirs = adagrad_norm(gradients(5), rates, initial, eps, decay)

    def ours(params: list[Parameter]) -> Optimizer:
        return AdaGradNorm(params, initial=initial, eps=eps, weight_decay=decay, foreach=foreach)

    def in_groups(params: list[Parameter]) -> Optimizer:
        groups = [{"params": params[:1]}, {"params": params[1:]}]
        return AdaGradNorm(groups, initial=initial, eps=eps, weight_decay=decay, foreach=foreach)

    same(run(ours, gradients(5), rates), theirs)
    same(run(in_groups, gradients(5), rates), theirs)


@pytest.mark.parametrize("foreach", [False, True])
def test_adagrad_norm_per_row(foreach: bool) -> None:
    x = [np.ones(shape) for shape in SHAPES]
    v = [np.full(shape[:1], 0.5) for shape in SHAPES]
    for arrays in gradients(4):
        for i, g in enumerate(arrays):
            for r in np.ndindex(v[i].shape):  # no row: a number, which is one
                v[i][r] += (g[r] ** 2).sum()
                x[i][r] -= 0.2 * g[r] / (np.sqrt(v[i][r]) + 1e-10)
    same(run(lambda p: AdaGradNorm(p, lr=0.2, per_row=True, initial=0.5, foreach=foreach), gradients(4)), x)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_adagrad_norm_does_not_see_the_scale_of_the_loss(scale: float, seed: int) -> None:
    plain, scaled = gradients(5, seed), [[scale * a for a in arrays] for arrays in gradients(5, seed)]
    same(run(lambda p: AdaGradNorm(p, eps=0.0), plain), run(lambda p: AdaGradNorm(p, eps=0.0), scaled))


def test_adagrad_norm_stands_still_without_a_gradient_and_first_steps_by_lr() -> None:
    nothing = [[np.zeros(shape) for shape in SHAPES]]
    same(run(lambda p: AdaGradNorm(p), nothing), [np.ones(shape) for shape in SHAPES])
    after = run(lambda p: AdaGradNorm(p, lr=0.7), gradients(1))
    assert np.sqrt(sum(((x - 1) ** 2).sum() for x in after)) == pytest.approx(0.7)


def test_adagrad_norm_with_an_empty_first_group() -> None:
    """As of a model that has no biases."""
    w, same = (torch.nn.Parameter(torch.tensor([3.0, 4.0])) for _ in range(2))
    for optimizer, p in (
        (AdaGradNorm([{"params": []}, {"params": [w]}], lr=1.0), w),
        (AdaGradNorm([same], lr=1.0), same),
    ):
        for _ in range(3):
            p.grad = p.detach().clone()
            optimizer.step()
    assert torch.equal(w, same)


def test_adagrad_norm_keeps_its_scalar_in_half_precision_and_copies() -> None:
    x = Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = AdaGradNorm([x])
    x.grad = torch.full_like(x, 2**-6)
    for _ in range(1000):  # a sum in bfloat16 would stand still at about 2^8 times what is added
        optimizer.step()
    assert copy.deepcopy(optimizer).param_groups[0]["v"].item() == pytest.approx(1000 * 3 * 2.0**-12, rel=1e-5)


def test_adagrad_norms_scalar_is_as_wide_as_the_widest_parameter() -> None:
    """First in float32, which could not tell 1 + 2^-40 from 1, then in float64, where a group of it has come."""
    x, y = Parameter(torch.ones(1)), Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = AdaGradNorm([x])
    x.grad = torch.ones(1)
    optimizer.step()
    optimizer.add_param_group({"params": [y]})
    x.grad, y.grad = torch.zeros(1), torch.full((1,), 2.0**-20, dtype=torch.float64)
    optimizer.step()
    assert optimizer.param_groups[0]["v"].item() == 1 + 2.0**-40


@pytest.mark.parametrize("kwargs", [{"per_row": True}, {"weight_decay": 0.1}], ids=str)
def test_adagrad_norm_refuses_sparse_gradients_it_cannot_use(kwargs: dict[str, float]) -> None:
    table = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = AdaGradNorm(table.parameters(), **kwargs)
    table(torch.tensor([1])).sum().backward()
    before = table.weight.detach().clone()
    with pytest.raises(ValueError, match="sparse"):
        optimizer.step()
    assert torch.equal(table.weight, before)
