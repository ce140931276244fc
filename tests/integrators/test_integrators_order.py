"""Order of accuracy and stability limit of every scheme, measured on the optimizers themselves."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from batchlab.optimizers.integrators import RK4, AdamsBashforth, Heun, Taylor
from batchlab.optimizers.integrators.measure import flow_error, order_of_accuracy, stability_limit

Make = Callable[[list[Tensor], float], Optimizer]

# scheme: how to build it, its order, the largest stable lr x curvature on a quadratic
SCHEMES: dict[str, tuple[Make, float, float]] = {
    "euler": (lambda p, h: SGD(p, lr=h), 1, 2.0),
    "taylor": (lambda p, h: Taylor(p, lr=h), 2, 1.0),
    "ab2": (lambda p, h: AdamsBashforth(p, lr=h, order=2), 2, 1.0),
    "ab3": (lambda p, h: AdamsBashforth(p, lr=h, order=3), 3, 6 / 11),
    "ab4": (lambda p, h: AdamsBashforth(p, lr=h, order=4), 4, 3 / 10),
    "heun": (lambda p, h: Heun(p, lr=h), 2, 2.0),
    "rk4": (lambda p, h: RK4(p, lr=h), 4, 2.785),
}
MOMENTUM: dict[str, tuple[Make, float]] = {
    "shb": (lambda p, h: SGD(p, lr=h, momentum=0.9), 3.8),
    "nesterov": (lambda p, h: SGD(p, lr=h, momentum=0.9, nesterov=True), 3.8 / 2.8),
}


def slope(make: Make, steps: tuple[int, ...], *, strides: tuple[float, ...] = (1.0,), primed: bool = True) -> float:
    errors = [flow_error(make, 1 / n, steps=n, strides=strides, primed=primed) for n in steps]
    return order_of_accuracy([1 / n for n in steps], errors)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_error_at_a_fixed_time_falls_with_the_schemes_order(name: str) -> None:
    make, order, _ = SCHEMES[name]
    assert slope(make, (40, 80, 160, 320)) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["taylor", "ab2"])
def test_euler_is_start_enough_for_order_2(name: str) -> None:
    make, order, _ = SCHEMES[name]
    assert slope(make, (40, 80, 160, 320), primed=False) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["ab3", "ab4"])
def test_started_by_euler_the_higher_orders_fall_to_2(name: str) -> None:
    assert slope(SCHEMES[name][0], (40, 80, 160, 320), primed=False) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_order_holds_while_the_learning_rate_changes_every_step(name: str) -> None:
    make, order, _ = SCHEMES[name]
    strides = (1.0, 1.7, 0.9, 1.4, 0.7, 1.1)  # never more than twice the one before
    assert slope(make, (48, 96, 192, 384), strides=strides) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", SCHEMES)
def test_stability_limit(name: str) -> None:
    make, _, limit = SCHEMES[name]
    assert stability_limit(make, resolution=2e-3, steps=1000) == pytest.approx(limit, rel=0.01)


@pytest.mark.parametrize("name", MOMENTUM)
def test_stability_limit_of_the_momentum_methods(name: str) -> None:
    make, limit = MOMENTUM[name]
    assert stability_limit(make, resolution=2e-3, steps=1000) == pytest.approx(limit, rel=0.01)


def test_slope_of_a_power_law() -> None:
    etas = torch.tensor([0.1, 0.03, 0.01])
    assert order_of_accuracy(etas.tolist(), (5 * etas**3).tolist()) == pytest.approx(3, abs=1e-6)
