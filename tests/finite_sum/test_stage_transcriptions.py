"""Every solver's stage against a plain float64 NumPy transcription of the paper's listing, iterate by iterate.

The transcriptions know nothing of slopes, alias tables or sparse rows: they evaluate whole component gradients.
"""

import math

import numpy as np
import pytest
import scipy.sparse

from batchlab.optimizers.finite_sum import (
    DASVRDA,
    FISTA,
    SAGA,
    SVRG,
    AccProxSVRG,
    ElasticNet,
    Katyusha,
    LinearProblem,
)

N, D, B, M = 40, 7, 5, 8
L1, L2 = 0.003, 0.02
STEP = 0.3


def make(loss, sparse=True, uniform=False):
    generator = np.random.default_rng(3)
    A = generator.standard_normal((N, D)) * (generator.random((N, D)) < 0.6)
    A[:, 0] = 1.0
    A /= np.linalg.norm(A, axis=1, keepdims=True) if uniform else 1.0
    y = np.sign(A @ generator.standard_normal(D) + 0.3 * generator.standard_normal(N))
    y = y if loss != "squared" else y + 0.1 * generator.standard_normal(N)
    data = scipy.sparse.csr_matrix(A) if sparse else A
    return A, y, LinearProblem(data, y, loss, ElasticNet(L1, L2))


class Transcription:
    def __init__(self, A, y, loss):
        self.A, self.y, self.loss = A, y, loss
        curvature = 0.25 if loss == "logistic" else 1.0
        self.L = curvature * (A * A).sum(1)
        self.q = self.L / self.L.sum()

    def f(self, i, x):
        z = self.A[i] @ x
        if self.loss == "squared":
            slope = z - self.y[i]
        elif self.loss == "logistic":
            slope = -self.y[i] / (1 + np.exp(self.y[i] * z))
        else:
            slope = -self.y[i] * max(0.0, 1 - self.y[i] * z)
        return slope * self.A[i]

    def F(self, x):
        return np.mean([self.f(i, x) for i in range(N)], axis=0)

    def reduced(self, x, snapshot, G, batch):
        return G + np.mean([(self.f(i, x) - self.f(i, snapshot)) / (N * self.q[i]) for i in batch], axis=0)


def prox(z, a):
    return np.sign(z) * np.maximum(0.0, np.abs(z) - a * L1) / (1 + a * L2)


def dasvrda_stage(t, start, snapshot, draws, eta):
    """All iterates (x, z) of a stage."""
    x = z = start
    gbar, G = np.zeros(D), t.F(snapshot)
    iterates = []
    for k in range(1, len(draws) + 1):
        theta = (k + 1) / 2
        theta_previous = 1 / 2 if k == 1 else k / 2
        y = (1 - 1 / theta) * x + z / theta
        g = t.reduced(y, snapshot, G, draws[k - 1])
        gbar = (1 - 1 / theta) * gbar + g / theta
        z = prox(start - eta * theta * theta_previous * gbar, eta * theta * theta_previous)
        x = (1 - 1 / theta) * x + z / theta
        iterates.append((x, z))
    return iterates


def points():
    generator = np.random.default_rng(5)
    return generator.standard_normal((4, D)) * 0.3


@pytest.mark.parametrize("loss", ["squared", "logistic", "squared_hinge"])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("uniform", [True, False])
def test_dasvrda_stage_iterate_by_iterate(loss, sparse, uniform):
    A, y, problem = make(loss, sparse, uniform)
    assert (problem.weights.size == 0) == uniform
    snapshot, start = points()[:2]
    draws = problem.draw(np.random.default_rng(1), (M, B))
    expected = dasvrda_stage(Transcription(A, y, loss), start, snapshot, draws, STEP)
    for k, (x, z) in enumerate(expected, start=1):
        got = problem.dasvrda(problem.snapshot(snapshot), start, draws[:k], STEP)
        np.testing.assert_allclose(got[0], x, rtol=0, atol=1e-13)
        np.testing.assert_allclose(got[1], z, rtol=0, atol=1e-13)


@pytest.mark.parametrize("restart", ["none", "adaptive", "fixed"])
def test_dasvrda_stages(restart):
    A, y, problem = make("logistic")
    t = Transcription(A, y, "logistic")
    every = {"restart_every": 3} if restart == "fixed" else {}
    solver = DASVRDA(problem, batch_size=B, inner_iterations=M, step_size=4.0, seed=2, restart=restart, **every)
    gamma = (3 + math.sqrt(9 + 8 * B / (M + 1))) / 2
    s, restarts = 0, 0
    x = x_before = z = start = np.zeros(D)
    for stage in range(25):
        s += 1
        theta, theta_before = ((1 - 1 / gamma) * (k + 2) / 2 for k in (s, s - 1))
        previous_start = start
        start = x + (theta_before - 1) / theta * (x - x_before) + theta_before / theta * (z - x)
        if stage > 0 and restart == "adaptive" and s > 1 and (previous_start - x) @ (start - x) > 0:
            start, x_before, z, s, restarts = x, x, x, 1, restarts + 1
        if restart == "fixed" and s == 4:
            start, x_before, z, s, restarts = x, x, x, 1, restarts + 1
        draws = problem.draw(np.random.default_rng([2, stage]), (M, B))
        x_before, (x, z) = x, dasvrda_stage(t, start, x, draws, 4.0)[-1]
        solver.solve(passes=(stage + 1) * (N + M * B) / N)
        assert solver.progress.stage == stage + 1
        np.testing.assert_allclose(solver.x, x, rtol=0, atol=1e-11)
    assert abs(solver.restarts - restarts) <= 1  # the solver decides at a stage's end, the listing at the next's start
    assert (restarts > 0) == (restart != "none")


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("uniform", [True, False])
def test_svrg_and_acc_prox_svrg_stage(momentum, uniform):
    A, y, problem = make("logistic", uniform=uniform)
    t = Transcription(A, y, "logistic")
    snapshot = points()[0]
    draws = problem.draw(np.random.default_rng(1), (M, B))
    x = point = snapshot
    G = t.F(snapshot)
    for k in range(M):
        new = prox(point - STEP * t.reduced(point, snapshot, G, draws[k]), STEP)
        point = new + momentum * (new - x)
        x = new
        got = problem.svrg(problem.snapshot(snapshot), draws[: k + 1], STEP, momentum)
        np.testing.assert_allclose(got, x, rtol=0, atol=1e-13)


def test_acc_prox_svrg_momentum_from_strong_convexity():
    *_, problem = make("logistic")
    solver = AccProxSVRG(problem, batch_size=B, step_size=STEP, inner_iterations=M)
    root = math.sqrt(L2 * STEP)
    draws = problem.draw(np.random.default_rng([0, 0]), (M, B))
    expected = problem.svrg(problem.snapshot(np.zeros(D)), draws, STEP, (1 - root) / (1 + root))
    solver.solve(passes=2)
    np.testing.assert_array_equal(solver.x, expected)


@pytest.mark.parametrize("sigma", [0.0, L2])
def test_katyusha(sigma):
    A, y, problem = make("squared_hinge")
    t = Transcription(A, y, "squared_hinge")
    solver = Katyusha(problem, batch_size=B, inner_iterations=M, step_size=STEP, seed=4, strong_convexity=sigma)
    yk = zk = snapshot = np.zeros(D)
    for s in range(3):
        tau1 = 2 / (s + 4) if sigma == 0 else min(math.sqrt(M * sigma * STEP), 0.5)
        alpha = STEP / tau1
        G = t.F(snapshot)
        ys = []
        for batch in problem.draw(np.random.default_rng([4, s]), (M, B)):
            x = tau1 * zk + snapshot / 2 + (0.5 - tau1) * yk
            g = t.reduced(x, snapshot, G, batch)
            zk = prox(zk - alpha * g, alpha)
            yk = prox(x - STEP * g, STEP)
            ys.append(yk)
        snapshot = np.average(ys, axis=0, weights=(1 + alpha * sigma) ** np.arange(M))
        solver.solve(passes=(s + 1) * (N + M * B) / N)
        np.testing.assert_allclose(solver.x, snapshot, rtol=0, atol=1e-13)


@pytest.mark.parametrize("b", [1, 5])
def test_saga(b):
    A, y, problem = make("logistic")
    t = Transcription(A, y, "logistic")
    solver = SAGA(problem, batch_size=b, step_size=STEP, seed=6)
    x = np.zeros(D)
    table = np.array([t.f(i, x) for i in range(N)])
    for stage in range(2):
        for batch in np.random.default_rng([6, stage]).integers(N, size=(N // b, b)):
            fresh = np.array([t.f(i, x) for i in batch])
            g = (fresh - table[batch]).mean(0) + table.mean(0)
            table[batch] = fresh
            x = prox(x - STEP * g, STEP)
        solver.solve(passes=stage + 2)
        np.testing.assert_allclose(solver.x, x, rtol=0, atol=1e-12)


def test_fista():
    A, y, problem = make("squared")
    t = Transcription(A, y, "squared")
    step = 0.4 / np.linalg.eigvalsh(A.T @ A / N)[-1]
    solver = FISTA(problem, step_size=step)
    x, point, tk, restarts = np.zeros(D), np.zeros(D), 1.0, 0
    for k in range(40):
        new = prox(point - step * t.F(point), step)
        if (point - new) @ (new - x) > 0:
            point, tk, restarts = new, 1.0, restarts + 1
        else:
            following = (1 + math.sqrt(1 + 4 * tk**2)) / 2
            point, tk = new + (tk - 1) / following * (new - x), following
        x = new
        solver.solve(passes=k + 1)
        np.testing.assert_allclose(solver.x, x, rtol=0, atol=1e-12)
    assert solver.restarts == restarts > 0


def test_svrg_solver_chains_stages():
    *_, problem = make("logistic")
    solver = SVRG(problem, batch_size=B, step_size=STEP, seed=9)
    assert solver.inner_iterations == 2 * N // B
    x = np.zeros(D)
    for stage in range(3):
        draws = problem.draw(np.random.default_rng([9, stage]), (2 * N // B, B))
        x = problem.svrg(problem.snapshot(x), draws, STEP, 0.0)
    solver.solve(passes=9)
    np.testing.assert_array_equal(solver.x, x)
