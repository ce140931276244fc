"""The elastic net: its prox against numerical minimisation, its conjugate against the definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from batchlab.optimizers.finite_sum import L1, L2, ElasticNet
from batchlab.optimizers.finite_sum.kernels import _prox

strength = st.floats(0.0, 5.0)
step = st.floats(1e-3, 10.0)
number = st.floats(-20.0, 20.0)


@given(strength, strength, step, number)
def test_prox_minimises(l1, l2, a, v):
    net = ElasticNet(l1, l2)

    def objective(u):
        return l1 * abs(u) + 0.5 * l2 * u * u + (u - v) ** 2 / (2 * a)

    found = minimize_scalar(objective, bounds=(-25, 25), method="bounded", options={"xatol": 1e-10})
    mine = float(net.prox(np.array([v]), a)[0])
    assert abs(mine - found.x) < 1e-5
    assert objective(mine) <= objective(found.x) + 1e-12
    for nearby in (mine - 1e-4, mine + 1e-4, 0.0):
        assert objective(mine) <= objective(nearby) + 1e-12
    assert _prox(v, a * l1, 1 / (1 + a * l2)) == pytest.approx(mine, abs=1e-13)


@given(strength, strength, step, number)
def test_numpy_and_torch_agree(l1, l2, a, v):
    net = ElasticNet(l1, l2)
    mine = net.prox(torch.tensor([v], dtype=torch.float64), a)
    assert mine.numpy() == pytest.approx(net.prox(np.array([v]), a), abs=1e-13)


@given(strength, st.floats(0.01, 5.0), number)
def test_conjugate_is_the_supremum(l1, l2, v):
    net = ElasticNet(l1, l2)
    grid = np.linspace(-3000, 3000, 20001) if l2 < 0.1 else np.linspace(-300, 300, 20001)
    best = (v * grid - l1 * abs(grid) - 0.5 * l2 * grid**2).max()
    exact = net.conjugate(np.array([v]))
    assert best <= exact + 1e-9
    assert exact <= best + 0.5 * l2 * (grid[1] - grid[0]) ** 2 + 1e-9


def test_conjugate_of_l1_alone_is_a_box():
    assert L1(1.0).conjugate(np.array([0.5, -1.0])) == 0.0
    assert L1(1.0).conjugate(np.array([0.5, -1.1])) == np.inf


def test_short_forms():
    assert L1(0.1) == ElasticNet(l1=0.1, l2=0.0)
    assert L2(0.1) == ElasticNet(l1=0.0, l2=0.1)
    assert ElasticNet(0.5, 0.2).value(np.array([1.0, -2.0])) == pytest.approx(0.5 * 3 + 0.1 * 5)


@pytest.mark.parametrize("bad", [-1e-9, float("nan"), float("inf")])
def test_strengths_are_checked(bad):
    with pytest.raises(ValueError, match="l1 must be"):
        ElasticNet(l1=bad)
    with pytest.raises(ValueError, match="l2 must be"):
        L2(bad)
