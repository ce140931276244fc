"""The schemes against NumPy transcriptions, and what they promise about history, changes and closures."""

import copy
import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

from batchlab.optimizers.integrators import RK4, AdamsBashforth, Heun, Taylor
from batchlab.optimizers.integrators.multistep import Multistep, adams_bashforth

Array = np.ndarray
MULTISTEP: dict[str, Callable[..., Multistep]] = {
    "taylor": lambda p, **k: Taylor(p, **k),
    "ab2": lambda p, **k: AdamsBashforth(p, order=2, **k),
    "ab3": lambda p, **k: AdamsBashforth(p, order=3, **k),
    "ab4": lambda p, **k: AdamsBashforth(p, order=4, **k),
}
RUNGE_KUTTA: dict[str, Callable[..., Heun | RK4]] = {"heun": Heun, "rk4": RK4}
CLASSICAL = {
    1: [Fraction(1)],
    2: [Fraction(3, 2), Fraction(-1, 2)],
    3: [Fraction(23, 12), Fraction(-16, 12), Fraction(5, 12)],
    4: [Fraction(55, 24), Fraction(-59, 24), Fraction(37, 24), Fraction(-9, 24)],
}


def gradient(x: Array) -> Array:
    """Of sum(cosh(x)) + (sum x)^2 / 2."""
    return np.asarray(np.sinh(x) + x.sum())


def gradient_on(parameters: list[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = torch.from_numpy(gradient(parameter.detach().numpy()))


def transcription(name: str, x: Array, h: float, decay: float, steps: int) -> Array:
    """The formulas of the table, at a constant learning rate."""
    xs, gs = [x], []
    for _ in range(steps):
        x = xs[-1]
        gs.append(gradient(x) + decay * x)
        if name == "taylor" and len(xs) >= 3:
            x = 1.5 * xs[-1] - xs[-2] + 0.5 * xs[-3] - h * gs[-1]
        elif name == "taylor":
            x = x - h * gs[-1]
        else:
            weights = CLASSICAL[min(int(name[2]), len(gs))]
            x = x - h * sum(float(w) * g for w, g in zip(weights, reversed(gs), strict=False))
        xs.append(x)
    return xs[-1]


def start(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, dtype=dtype, generator=generator).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("name", MULTISTEP)
def test_multistep_is_its_formula_for_fifty_steps(name: str, foreach: bool, decay: float) -> None:
    parameters = start((3, 4), (5,))
    expected = [transcription(name, p.detach().numpy().copy(), 0.02, decay, 50) for p in parameters]
    optimizer = MULTISTEP[name](parameters, lr=0.02, weight_decay=decay, foreach=foreach)
    for _ in range(50):
        gradient_on(parameters)
        optimizer.step()
    for parameter, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_runge_kutta_is_its_formula_for_fifty_steps(name: str, foreach: bool, decay: float) -> None:
    def g(x: Array) -> Array:
        return gradient(x) + decay * x

    h, parameters = 0.05, start((3, 4), (5,))
    expected = []
    for parameter in parameters:
        x = parameter.detach().numpy().copy()
        for _ in range(50):
            g1 = g(x)
            if name == "heun":
                x = x - h * (g1 + g(x - h * g1)) / 2
            else:
                g2 = g(x - h / 2 * g1)
                g3 = g(x - h / 2 * g2)
                x = x - h / 6 * (g1 + 2 * g2 + 2 * g3 + g(x - h * g3))
        expected.append(x)
    optimizer = RUNGE_KUTTA[name](parameters, lr=h, weight_decay=decay, foreach=foreach)
    calls = []

    def closure() -> float:
        gradient_on(parameters)
        calls.append(torch.is_grad_enabled())
        return float(len(calls))

    for _ in range(50):
        first = len(calls) + 1
        assert optimizer.step(closure) == first  # the loss at the point the step starts from
    assert calls == [True] * 50 * optimizer.needs.evaluations
    for parameter, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equal_steps_give_the_classical_coefficients(order: int) -> None:
    assert adams_bashforth((1.0,) * (order - 1)) == pytest.approx([float(c) for c in CLASSICAL[order]], rel=1e-14)


@given(st.lists(st.floats(0.5, 1e3), max_size=3))
def test_coefficients_integrate_polynomials_exactly(steps: list[float]) -> None:
    weights = adams_bashforth(tuple(steps))
    times = -np.concatenate([[0.0], np.cumsum(steps)])
    for power in range(len(steps) + 1):
        terms = np.array(weights) * times**power
        assert terms.sum() == pytest.approx(1 / (power + 1), abs=1e-9 * max(1.0, np.abs(terms).max()))


@pytest.mark.parametrize("name", MULTISTEP)
def test_resume_continues_bit_for_bit(name: str) -> None:
    def run(parameters: list[Tensor], optimizer: Optimizer, steps: range) -> None:
        for step in steps:
            optimizer.param_groups[0]["lr"] = 0.02 * (1 + 0.5 * (step % 3))
            gradient_on(parameters)
            optimizer.step()

    whole = start((3, 4), (5,), dtype=torch.float32)
    run(whole, MULTISTEP[name](whole), range(20))
    for stop in (1, 2, 3, 11):
        first = start((3, 4), (5,), dtype=torch.float32)
        optimizer = MULTISTEP[name](first)
        run(first, optimizer, range(stop))
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        second = [p.detach().clone().requires_grad_() for p in first]
        optimizer = MULTISTEP[name](second)
        optimizer.load_state_dict(torch.load(file))
        run(second, optimizer, range(stop, 20))
        assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))


@pytest.mark.parametrize("name", MULTISTEP)
def test_a_step_twice_as_long_uses_the_history_and_a_longer_one_starts_anew(name: str) -> None:
    for growth, kept in ((2.0, True), (2.1, False)):
        (x,) = start((4,))
        optimizer = MULTISTEP[name]([x], lr=0.01)
        for _ in range(4):
            gradient_on([x])
            optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.01 * growth
        gradient_on([x])
        assert x.grad is not None
        euler = (x - 0.01 * growth * x.grad).detach()
        optimizer.step()
        assert torch.allclose(x, euler, rtol=1e-13, atol=0) is not kept


def test_a_linear_warm_up_keeps_its_history() -> None:
    (x,) = start((4,))
    optimizer = AdamsBashforth([x], order=4)
    for step in range(1, 30):
        optimizer.param_groups[0]["lr"] = 0.1 * step / 300
        gradient_on([x])
        optimizer.step()
        assert len(optimizer.state[x]["history"]) == min(step, 3)


@pytest.mark.parametrize("name", MULTISTEP)
def test_a_step_of_length_0_and_a_missing_gradient_leave_no_trace(name: str) -> None:
    plain, paused = start((4,)), start((4,))
    optimizers = MULTISTEP[name](plain, lr=0.01), MULTISTEP[name](paused, lr=0.01)
    for step in range(12):
        for parameters, optimizer in zip((plain, paused), optimizers, strict=True):
            gradient_on(parameters)
            optimizer.step()
        if step == 4:
            optimizers[1].param_groups[0]["lr"] = 0.0
            optimizers[1].step()
            optimizers[1].param_groups[0]["lr"] = 0.01
        if step == 6:
            paused[0].grad = None
            optimizers[1].step()
    assert torch.equal(plain[0], paused[0])


def test_each_parameter_and_group_has_its_own_time() -> None:
    """A parameter that joins late starts its own history; groups step at their own learning rates."""
    a, b = start((3,), (3,))
    alone = [p.detach().clone().requires_grad_() for p in (a, b)]
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b], "lr": 0.03}]
    together = AdamsBashforth(groups, lr=0.01, order=3)
    apart = [AdamsBashforth(alone[:1], lr=0.01, order=3), AdamsBashforth(alone[1:], lr=0.03, order=3)]
    for step in range(10):
        gradient_on([a, *alone] if step < 4 else [a, b, *alone])
        together.step()
        apart[0].step()
        if step >= 4:
            apart[1].step()
    assert torch.equal(a, alone[0])
    assert torch.equal(b, alone[1])


@pytest.mark.parametrize("name", MULTISTEP)
def test_priming_equals_having_been_there(name: str) -> None:
    (x,) = start((4,))
    been = MULTISTEP[name]([x], lr=0.02)
    points, gradients = [], []
    for _ in range(8):
        gradient_on([x])
        assert x.grad is not None
        points.append(x.detach().clone())
        gradients.append(x.grad.clone())
        been.step()
    y = x.detach().clone().requires_grad_()
    primed = MULTISTEP[name]([y], lr=0.02)
    primed.prime([[t] for t in (points if name == "taylor" else gradients)[-primed.memory :]])
    for _ in range(5):
        gradient_on([x, y])
        been.step()
        primed.step()
    assert torch.allclose(x, y, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", MULTISTEP)
def test_priming_a_parameter_of_half_precision_gives_the_state_that_steps_leave(name: str) -> None:
    """In float32, all of it: a history of two types would round away what one of them kept."""
    x = torch.ones(2, dtype=torch.float16, requires_grad=True)
    optimizer = MULTISTEP[name]([x], lr=0.5)
    optimizer.prime([[torch.full((2,), 1 + 2.0**-20)]] * optimizer.memory)
    (primed, *_) = optimizer.state[x]["history"]
    assert primed.dtype == torch.float32
    x.grad = torch.zeros_like(x)
    optimizer.step()
    assert {t.dtype for t in optimizer.state[x]["history"]} == {torch.float32}


def test_prime_refuses_what_does_not_fit() -> None:
    (x,) = start((4,))
    optimizer = AdamsBashforth([x], order=2)
    with pytest.raises(ValueError, match="2 past instants given, 1 are used"):
        optimizer.prime([[x], [x]])
    with pytest.raises(ValueError, match="one tensor per parameter"):
        optimizer.prime([[x[:2]]])


@pytest.mark.parametrize("name", [*MULTISTEP, *RUNGE_KUTTA])
def test_refusals(name: str) -> None:
    schemes: dict[str, Callable[..., Optimizer]] = {**MULTISTEP, **RUNGE_KUTTA}
    make = schemes[name]
    (x,) = start((4,))
    with pytest.raises(ValueError, match="lr must be at least 0"):
        make([x], lr=-0.1)
    with pytest.raises(ValueError, match="weight_decay must be at least 0"):
        make([{"params": [x], "weight_decay": -1.0}])
    with pytest.raises(ValueError, match="view_as_real"):
        make([torch.zeros(2, dtype=torch.complex64, requires_grad=True)])
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = make(embedding.parameters())

    def closure() -> float:
        embedding(torch.tensor([1])).sum().backward()
        return 0.0

    with pytest.raises(ValueError, match="sparse=False"):
        optimizer.step(closure)


def test_orders_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match=r"torch\.optim\.SGD"):
        AdamsBashforth(start((1,)), order=1)
    with pytest.raises(ValueError, match="order 3 in a scheme of order 2"):
        AdamsBashforth([{"params": start((1,)), "order": 3}], order=2)


def test_the_history_of_another_scheme_is_refused() -> None:
    state = AdamsBashforth(start((1,)), order=4).state_dict()
    for other in (AdamsBashforth(start((1,)), order=2), Taylor(start((1,)))):
        with pytest.raises(ValueError, match="of order 4"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="another scheme"):
        AdamsBashforth(start((1,))).load_state_dict(Taylor(start((1,))).state_dict())


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_runge_kutta_needs_a_closure_and_survives_its_failure(name: str) -> None:
    frozen, x = start((4,), (4,))
    optimizer = RUNGE_KUTTA[name]([{"params": [frozen.requires_grad_(False)]}, {"params": [x]}], lr=0.1)
    with pytest.raises(ValueError, match=r"call step\(closure\)"):
        optimizer.step()
    before = copy.deepcopy(x.detach())
    calls = 0

    def closure() -> float:
        nonlocal calls
        calls += 1
        if calls == optimizer.needs.evaluations:
            raise RuntimeError("out of memory")
        gradient_on([x])
        return 0.0

    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(closure)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_runge_kutta_counts_a_missing_gradient_as_zero(name: str) -> None:
    a, b = start((3,), (3,))
    optimizer = RUNGE_KUTTA[name]([a, b], lr=0.1)
    alone = a.detach().clone().requires_grad_()
    before = b.detach().clone()

    def closure(parameter: Tensor = a) -> float:
        gradient_on([parameter])
        return 0.0

    optimizer.step(closure)
    RUNGE_KUTTA[name]([alone], lr=0.1).step(lambda: closure(alone))
    assert torch.equal(a, alone)
    assert torch.equal(b, before)
