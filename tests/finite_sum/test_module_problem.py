"""Torch modules as finite sums: the same iterates as the linear solver, descent on a non-convex net, clear errors."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from batchlab.optimizers.finite_sum import (
    DASVRDA,
    FISTA,
    SAGA,
    SVRG,
    AccProxSVRG,
    ElasticNet,
    Katyusha,
    LinearProblem,
    ModuleProblem,
    tune,
    tuned_step,
    unit_rows,
)

N, D = 60, 6


def linear_pair(net):
    """A logistic regression as a linear problem and as a module; unit rows make both sample uniformly."""
    generator = np.random.default_rng(0)
    A = unit_rows(generator.standard_normal((N, D)))
    y = np.where(A @ generator.standard_normal(D) + 0.2 * generator.standard_normal(N) > 0, 1.0, -1.0)
    module = nn.Linear(D, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(module.weight)
    x, t = torch.tensor(A), torch.tensor(y)

    def losses(indices):
        return F.softplus(-t[indices] * module(x[indices]).squeeze(1))

    linear = LinearProblem(A, y, "logistic", net)
    return linear, ModuleProblem(module, losses, N, regularizer=net, smoothness=linear.mean_smoothness, chunk=17)


@pytest.mark.parametrize("cls", [SVRG, DASVRDA])
def test_same_iterates_as_the_linear_solver(cls):
    linear, module = linear_pair(ElasticNet(0.01, 0.02))
    one, other = (cls(problem, batch_size=6, seed=1) for problem in (linear, module))
    assert one.step_size == other.step_size
    first, second = one.solve(passes=30), other.solve(passes=90)
    stages = min(len(first.records), len(second.records))
    for a, b in zip(first.records[:stages], second.records[:stages], strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-13)
    assert stages > 5
    cost = second.records[1].gradients
    assert cost == N + 2 * one.inner_iterations * 6  # both component gradients of a draw are evaluated
    assert first.records[1].gradients == N + one.inner_iterations * 6
    assert second.records[1].restarts == first.records[1].restarts


def mlp(device="cpu"):
    torch.manual_seed(0)
    x = torch.randn(200, 2, device=device)
    labels = (x[:, 0] * x[:, 1] > 0).long()  # not separable by a line
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)).to(device)
    return net, x, labels, lambda i: F.cross_entropy(net(x[i]), labels[i], reduction="none")


def weights(net):
    return nn.utils.parameters_to_vector(net.parameters()).detach()


@pytest.mark.parametrize(("cls", "step"), [(SVRG, 0.5), (DASVRDA, 0.1)])
def test_non_convex_net_is_trained(cls, step):
    net, x, labels, losses = mlp()
    problem = ModuleProblem(net, losses, 200, regularizer=ElasticNet(l2=1e-4))
    before = problem.value(problem.start())
    result = cls(problem, batch_size=14, step_size=step, seed=0).solve(passes=300)
    assert result.records[-1].value < 0.2 * before
    assert (net(x).argmax(1) == labels).float().mean() > 0.95  # the module holds the solution
    torch.testing.assert_close(weights(net), result.x)


def test_callback_sees_the_solution_in_the_module():
    net, _, _, losses = mlp()
    problem = ModuleProblem(net, losses, 200)
    solver = SVRG(problem, step_size=0.1)
    seen = []
    solver.solve(passes=12, callback=lambda record: seen.append(torch.equal(weights(net), solver.x)))
    assert seen
    assert all(seen)


def test_resuming_a_module():
    whole_net, *_, whole_losses = mlp()
    whole = DASVRDA(ModuleProblem(whole_net, whole_losses, 200), step_size=0.3)
    whole.solve(passes=12)
    net, *_, losses = mlp()
    first = DASVRDA(ModuleProblem(net, losses, 200), step_size=0.3)
    first.solve(passes=6)
    with torch.no_grad():
        net[0].weight.zero_()  # the state holds the solution, not the module
    second = DASVRDA(ModuleProblem(net, losses, 200), step_size=0.3)
    second.load_state_dict(first.state_dict())
    second.solve(passes=12)
    assert torch.equal(whole.x, second.x)


def test_loading_a_state_loads_the_module():
    net, *_, losses = mlp()
    first = SVRG(ModuleProblem(net, losses, 200), step_size=0.5)
    first.solve(passes=30)
    again, *_, losses = mlp()
    second = SVRG(ModuleProblem(again, losses, 200), step_size=0.5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(weights(again), first.x)


def test_an_interrupt_leaves_the_solution_in_the_module():
    net, *_, losses = mlp()
    calls = 0

    def interrupted(indices):
        nonlocal calls
        calls += 1
        if calls == 40:  # within the second stage
            raise KeyboardInterrupt
        return losses(indices)

    solver = SVRG(ModuleProblem(net, interrupted, 200), step_size=0.5, inner_iterations=10)
    with pytest.raises(KeyboardInterrupt):
        solver.solve(passes=60)
    assert solver.progress.stage == 1
    assert torch.equal(weights(net), solver.x)


def test_every_solver_begins_where_the_problem_was_made():
    net, *_, losses = mlp()
    problem = ModuleProblem(net, losses, 200)
    before = weights(net)
    first = SVRG(problem, step_size=0.5).solve(passes=30)
    assert torch.equal(SVRG(problem, step_size=0.5).solve(passes=30).x, first.x)
    assert torch.equal(problem.start(), before)
    assert torch.equal(SVRG(problem, step_size=0.5, x0=first.x).x, first.x)


def test_trials_of_a_tuning_begin_alike():
    net, *_, losses = mlp()
    problem = ModuleProblem(net, losses, 200)
    grid = [0.01, 0.1, 1.0]
    with pytest.raises(ValueError, match="give optimum="):
        tuned_step(lambda eta, seed: SVRG(problem, step_size=eta, seed=seed), passes=30, grid=grid)
    tuning = tune(lambda eta: SVRG(problem, step_size=eta), optimum=0.0, gap=0.05, passes=30, grid=grid)
    for trial in tuning.trials:
        fresh, *_, own = mlp()
        alone = SVRG(ModuleProblem(fresh, own, 200), step_size=trial.step_size).solve(passes=30, gap=0.05, optimum=0.0)
        assert [record.value for record in trial.result.records] == [record.value for record in alone.records]


def test_residual_is_the_gradient_norm_without_a_regulariser():
    net, *_, losses = mlp()
    problem = ModuleProblem(net, losses, 200)
    result = SVRG(problem, step_size=0.5).solve(passes=60, residual=1e-9)
    expected = float(problem.snapshot(result.x).gradient.norm())
    assert result.records[-1].residual == pytest.approx(expected, rel=1e-3)


def test_frozen_parameters_stay():
    net, *_, losses = mlp()
    net[0].weight.requires_grad_(False)
    frozen = net[0].weight.clone()
    problem = ModuleProblem(net, losses, 200)
    assert problem.dimension == sum(p.numel() for p in net.parameters()) - 32
    SVRG(problem, step_size=0.1).solve(passes=6)
    assert torch.equal(net[0].weight, frozen)


def test_divergence_is_said():
    net = nn.Linear(1, 1, bias=False)
    problem = ModuleProblem(net, lambda i: (net(torch.ones(len(i), 1)).squeeze(1) - 1) ** 2, 50)
    assert SVRG(problem, step_size=1e4).solve(passes=600).reason == "diverged"


def test_errors():
    net, *_, losses = mlp()
    problem = ModuleProblem(net, losses, 200)
    for cls in (SAGA, Katyusha, FISTA):
        with pytest.raises(ValueError, match=f"{cls.__name__} works on a LinearProblem"):
            cls(problem, step_size=0.1)
    with pytest.raises(ValueError, match="AccProxSVRG works on"):
        AccProxSVRG(problem, step_size=0.1, strong_convexity=0.1)
    with pytest.raises(ValueError, match="smoothness of a module is unknown: give step_size"):
        SVRG(problem)
    with pytest.raises(ValueError, match="no duality gap"):
        SVRG(problem, step_size=0.1).solve(passes=10, gap=1e-3)
    with pytest.raises(ValueError, match=r"one loss per index, shape \(200,\); got \(\)"):
        ModuleProblem(net, lambda i: losses(i).mean(), 200).value(problem.start())
    with pytest.raises(ValueError, match="n=0"):
        ModuleProblem(net, losses, 0)
    with pytest.raises(ValueError, match="n = 200"):
        SVRG(problem, batch_size=201, step_size=0.1)
    with pytest.raises(ValueError, match="no parameters"):
        ModuleProblem(nn.Tanh(), losses, 200)
    with pytest.raises(ValueError, match="one dtype"):
        ModuleProblem(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).double()), losses, 200)
    for smoothness in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"smoothness={smoothness} must be a positive number"):
            ModuleProblem(net, losses, 200, smoothness=smoothness)
    assert math.isfinite(problem.value(problem.start()))


LAYERS = {
    "batch norm": lambda: nn.BatchNorm1d(2),
    "dropout": lambda: nn.Dropout(0.1),
    "attention": lambda: nn.MultiheadAttention(4, 2, dropout=0.5),
    "lstm": lambda: nn.LSTM(2, 2, 2, dropout=0.5),
    "rrelu": nn.RReLU,
}


@pytest.mark.parametrize("key", LAYERS)
def test_layers_that_depend_on_chance_or_the_batch(key):
    net, x, labels, losses = mlp()
    layer = LAYERS[key]()
    model = nn.Sequential(net, layer)
    if key == "batch norm":

        def losses(i):
            return F.cross_entropy(model(x[i]), labels[i], reduction="none")

    with pytest.raises(ValueError, match=f"{type(layer).__name__} in training mode"):
        ModuleProblem(model, losses, 200)
    solver = SVRG(ModuleProblem(model.eval(), losses, 200), step_size=0.1)
    solver.solve(passes=6)
    model.train()
    before = [buffer.clone() for buffer in layer.buffers()]
    with pytest.raises(ValueError, match=f"{type(layer).__name__} in training mode"):
        solver.solve(passes=12)
    assert all(map(torch.equal, before, layer.buffers())), "no running statistics were moved"


@pytest.mark.parametrize("layer", [nn.MultiheadAttention(4, 2), nn.LSTM(2, 2, 2), nn.LayerNorm(2), nn.Tanh()])
def test_layers_that_do_not(layer):
    net, _, _, losses = mlp()
    ModuleProblem(nn.Sequential(net, layer), losses, 200)


def test_batch_norm_without_running_statistics_is_refused_in_either_mode():
    net, _, _, losses = mlp()
    with pytest.raises(ValueError, match="track_running_stats"):
        ModuleProblem(nn.Sequential(net, nn.BatchNorm1d(2, track_running_stats=False)).eval(), losses, 200)
