"""The contract of every optimizer. To register one, add a row to TABLE and write its golden trajectory with

    python tests/optimizers/test_contract.py

which writes the missing ones only (delete a file to write it anew). A row says what the optimizer can do; how it is
driven follows from what it declares (`needs_of`, see `step`).
"""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pytorch_optimizer import SOAP, Lion, Prodigy, ScheduleFreeAdamW, ScheduleFreeSGD
from pytorch_optimizer.base.exception import NegativeLRError, NoComplexParameterError, NoSparseGradientError
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F
from torch.optim import SGD, Adafactor, Adagrad, Adam, AdamW, NAdam, Optimizer, RAdam, RMSprop

import batchlab.conf
from batchlab.optimizers import (
    LAMB,
    LARS,
    NSHB,
    RK4,
    VRLAMB,
    VRLARS,
    VRSGD,
    AdaGradNorm,
    AdamsBashforth,
    Heun,
    Muon,
    Taylor,
    VRAdam,
    VRAdamW,
    VRMomentum,
)
from batchlab.optimizers.needs import Closure, Moments, needs_of

GOLDEN = Path(__file__).parent / "golden"
Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Row:
    """One optimizer: rates that solve the two problems, what gradients it takes, and its other arguments."""

    name: str
    target: Callable[..., Optimizer]
    quadratic: float
    rosenbrock: float
    sparse: bool
    complex: bool
    kwargs: dict[str, Any]

    def make(self, params: Any, **changes: Any) -> Optimizer:
        return self.target(params, **{"lr": self.quadratic} | self.kwargs | changes)


def row(
    name: str,
    target: Callable[..., Optimizer],
    *,
    quadratic: float,
    rosenbrock: float,
    sparse: bool = False,
    complex: bool = False,
    **kwargs: Any,
) -> Row:
    """`quadratic`, `rosenbrock`: lr for each; `sparse`, `complex`: taken rather than refused; then its arguments."""
    return Row(name, target, quadratic, rosenbrock, sparse, complex, kwargs)


TABLE = [
    row("sgd", SGD, quadratic=0.1, rosenbrock=8e-3, sparse=True, complex=True),
    row("shb", SGD, quadratic=0.05, rosenbrock=4e-3, sparse=True, complex=True, momentum=0.9),
    row("nshb", NSHB, quadratic=0.3, rosenbrock=0.03, sparse=True, momentum=0.9),
    row("nesterov", SGD, quadratic=0.05, rosenbrock=2e-3, sparse=True, complex=True, momentum=0.9, nesterov=True),
    row("adam", Adam, quadratic=0.1, rosenbrock=0.1, complex=True),
    row("adamw", AdamW, quadratic=0.1, rosenbrock=0.1, complex=True, weight_decay=1e-3),
    row("rmsprop", RMSprop, quadratic=0.01, rosenbrock=0.01, complex=True),
    row("adagrad", Adagrad, quadratic=1.0, rosenbrock=0.5, sparse=True, complex=True),
    row("adagrad_norm", AdaGradNorm, quadratic=3.0, rosenbrock=0.7, sparse=True),
    row("adagrad_norm_rows", AdaGradNorm, quadratic=1.0, rosenbrock=0.5, per_row=True),
    row("heun", Heun, quadratic=0.1, rosenbrock=8e-3),
    row("rk4", RK4, quadratic=0.1, rosenbrock=0.01),
    row("taylor", Taylor, quadratic=0.03, rosenbrock=5e-3),
    row("ab2", AdamsBashforth, quadratic=0.04, rosenbrock=5e-3, order=2),
    row("ab3", AdamsBashforth, quadratic=0.02, rosenbrock=4e-3, order=3),
    row("ab4", AdamsBashforth, quadratic=0.01, rosenbrock=4e-3, order=4),
    row("lars", LARS, quadratic=0.1, rosenbrock=5e-4, trust_coefficient=0.1),
    row("lamb", LAMB, quadratic=0.05, rosenbrock=0.02, weight_decay=0.0),
    row("vr_sgd", VRSGD, quadratic=0.1, rosenbrock=8e-3, sparse=True),
    row("vr_momentum", VRMomentum, quadratic=0.05, rosenbrock=4e-3, sparse=True),
    row("vr_adam", VRAdam, quadratic=0.1, rosenbrock=0.1, sparse=True),
    row("vr_adamw", VRAdamW, quadratic=0.1, rosenbrock=0.1, sparse=True, weight_decay=1e-3),
    row("vr_lars", VRLARS, quadratic=0.1, rosenbrock=5e-4, sparse=True, trust_coefficient=0.1),
    row("vr_lamb", VRLAMB, quadratic=0.02, rosenbrock=0.02, sparse=True, weight_decay=0.0),
    row("muon", Muon, quadratic=0.05, rosenbrock=0.1, weight_decay=0.0),
    row("lion", Lion, quadratic=0.02, rosenbrock=0.03, complex=True),
    row("soap", SOAP, quadratic=0.1, rosenbrock=0.1, weight_decay=0.0),
    row("schedulefree_sgd", ScheduleFreeSGD, quadratic=0.1, rosenbrock=0.01, complex=True),
    row("schedulefree_adamw", ScheduleFreeAdamW, quadratic=0.1, rosenbrock=0.1, complex=True),
    row("prodigy", Prodigy, quadratic=1.0, rosenbrock=1.0),
    row("adafactor", Adafactor, quadratic=0.1, rosenbrock=0.1),
    row("radam", RAdam, quadratic=0.1, rosenbrock=0.03, complex=True),
    row("nadam", NAdam, quadratic=0.1, rosenbrock=0.03, complex=True),
]

THEIRS = (Lion, SOAP, ScheduleFreeSGD, ScheduleFreeAdamW, Prodigy)
"""Of pytorch_optimizer. What is not as the contract has it: a copy or pickle lacks the attributes that they keep beside
groups and state (a checkpoint, of `state_dict`, is whole); complex parameters are refused at a step, if at all; errors
are of types of their own, and no ValueErrors. SOAP has no golden trajectory: the null space of its first basis is what
rounding makes of it, on one machine or another."""
REFUSED = (ValueError, RuntimeError, NegativeLRError, NoComplexParameterError, NoSparseGradientError)
every_optimizer = pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)


def test_every_configured_optimizer_has_a_row() -> None:
    """Every torch optimizer that conf offers is in the table (finite-sum solvers are of another kind)."""
    for path in (Path(next(iter(batchlab.conf.__path__))) / "optimizer").glob("*.yaml"):
        module, _, name = yaml.safe_load(path.read_text())["_target_"].rpartition(".")
        target = getattr(importlib.import_module(module), name)
        if isinstance(target, type) and issubclass(target, Optimizer):
            assert target in {row.target for row in TABLE}, path.stem


def having(test: Callable[[Row], bool]) -> pytest.MarkDecorator:
    """The rows that a test is about."""
    return pytest.mark.parametrize("row", [r for r in TABLE if test(r)], ids=lambda r: r.name)


def uses_moments(row: Row) -> bool:
    return isinstance(needs_of(row.target), Moments)


def evaluations(row: Row) -> int:
    needs = needs_of(row.target)
    return needs.evaluations or 1 if isinstance(needs, Closure) else 1


def step(optimizer: Optimizer, loss: Loss) -> None:
    """One step as the training loop takes it, from gradient moments, a closure, or `.grad`.

    The groups' gradients are 1/2 and 3/2 of the exact one: as much noise as signal everywhere, with the right mean.
    """
    needs = needs_of(optimizer)
    if isinstance(needs, Moments):
        closure(optimizer, loss)()
        params = [p for group in optimizer.param_groups for p in group["params"]]
        exact = [p.grad for p in params]
        moments = needs.gather(params)
        for scale in (0.5, 1.5) * 4:
            for p, g in zip(params, exact, strict=True):
                p.grad = None if g is None else scale * g
            moments.observe(1)
        moments.reduce()
        optimizer.step(moments)
    elif isinstance(needs, Closure):
        optimizer.step(closure(optimizer, loss))
    else:
        closure(optimizer, loss)()
        optimizer.step()


def closure(optimizer: Optimizer, loss: Loss) -> Callable[[], float]:
    def evaluate() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.item()

    return evaluate


def start() -> list[Parameter]:
    """Three parameters, of two, one and no dimensions, none of them at 0, where a trust ratio would end."""
    return [Parameter(torch.full(shape, 0.5)) for shape in ((3, 4), (5,), ())]


def quadratic(params: list[Parameter]) -> Loss:
    """sum_j h_j (x_j - c_j)^2 / 2 with curvatures from 1 to 10."""
    sizes = [p.numel() for p in params]
    h = torch.linspace(1, 10, sum(sizes)).split(sizes)
    c = torch.linspace(-1, 2, sum(sizes)).split(sizes)

    def loss() -> Tensor:
        terms = [(h_ * (p.flatten() - c_).square()).sum() for p, h_, c_ in zip(params, h, c, strict=True)]
        return 0.5 * torch.stack(terms).sum()

    return loss


@every_optimizer
def test_solves_a_quadratic(row: Row) -> None:
    params = start()
    loss = quadratic(params)
    first = loss().item()
    optimizer = row.make(params)
    for _ in range(300):
        step(optimizer, loss)
    assert loss().item() < 1e-3 * first


@every_optimizer
def test_descends_rosenbrocks_valley(row: Row) -> None:
    """With walls of 10 rather than 100, or the schemes that need short steps would take seconds."""
    x, y = Parameter(torch.tensor(-0.5)), Parameter(torch.tensor(1.0))
    optimizer = row.make([x, y], lr=row.rosenbrock)
    for _ in range(800):
        step(optimizer, lambda: (1 - x) ** 2 + 10 * (y - x**2) ** 2)
    assert abs(x.item() - 1) < 0.2
    assert abs(y.item() - x.item() ** 2) < 0.05


def paths(row: Row) -> list[dict[str, bool]]:
    """The implementations that an optimizer offers."""
    offered = [{"foreach": False}, {"foreach": True}] if "foreach" in row.make(start()).defaults else []
    return [*offered, {"fused": True}] if "fused" in inspect.signature(row.target).parameters else offered


@having(lambda row: len(paths(row)) > 1)
def test_all_implementations_agree(row: Row) -> None:
    ends = []
    for path in paths(row):
        params = start()
        optimizer = row.make(params, **path)
        for _ in range(10):
            step(optimizer, quadratic(params))
        ends.append(params)
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@every_optimizer
def test_state_dict_round_trip(row: Row) -> None:
    params = start()
    optimizer = row.make(params)
    for _ in range(5):
        step(optimizer, quadratic(params))
    optimizer.param_groups[0]["lr"] *= 0.5
    stored = io.BytesIO()
    torch.save(optimizer.state_dict(), stored)
    stored.seek(0)

    copies = [Parameter(p.detach().clone()) for p in params]
    resumed = row.make(copies, lr=123.0)
    resumed.load_state_dict(torch.load(stored, weights_only=True))
    for _ in range(5):
        step(optimizer, quadratic(params))
        step(resumed, quadratic(copies))
    for p, q in zip(params, copies, strict=True):
        assert torch.equal(p, q)


@having(lambda row: row.target not in THEIRS)
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))], ids=["copy", "pickle"]
)
def test_a_copy_goes_on_as_the_original(row: Row, duplicate: Callable[[Any], Any]) -> None:
    params = start()
    optimizer = row.make(params)
    step(optimizer, quadratic(params))
    copies, resumed = duplicate((params, optimizer))
    for _ in range(5):
        step(optimizer, quadratic(params))
        step(resumed, quadratic(copies))
    for p, q in zip(params, copies, strict=True):
        assert torch.equal(p, q)
    resumed.add_param_group({"params": [Parameter(torch.ones(2))]})
    step(resumed, quadratic([p for group in resumed.param_groups for p in group["params"]]))


def embed(row: Row, *, sparse: bool) -> Tensor:
    """An embedding after four steps on two of its rows."""
    table = torch.nn.Embedding(6, 3, sparse=sparse)
    with torch.no_grad():
        table.weight.copy_(torch.linspace(-1, 1, 18).view(6, 3))
    optimizer = row.make(table.parameters())
    for places in ([1, 1, 4], [4], [1, 2], [2, 4]):
        step(optimizer, lambda places=places: (table(torch.tensor(places)) - 1).square().sum())
    return table.weight.detach()


@having(lambda row: row.sparse)
def test_sparse_gradients_give_what_dense_ones_give(row: Row) -> None:
    torch.testing.assert_close(embed(row, sparse=True), embed(row, sparse=False), rtol=1e-5, atol=1e-6)


@having(lambda row: not row.sparse)
def test_sparse_gradients_are_refused(row: Row) -> None:
    with pytest.raises(REFUSED, match="sparse"):
        embed(row, sparse=True)


@every_optimizer
def test_missing_gradients(row: Row) -> None:
    params, alone = start()[:1], start()[:1]
    idle = Parameter(torch.ones(2))
    optimizer, reference = row.make([*params, idle]), row.make(alone)
    for _ in range(3):
        step(optimizer, quadratic(params))
        step(reference, quadratic(alone))
    assert torch.equal(idle, torch.ones(2))
    torch.testing.assert_close(params[0], alone[0])
    for _ in range(3):  # a gradient may come late
        step(optimizer, quadratic([*params, idle]))
    assert not torch.equal(idle, torch.ones(2))
    assert torch.isfinite(idle).all()


@having(lambda row: not uses_moments(row))
def test_closures(row: Row) -> None:
    params, same = start(), start()
    optimizer, reference = row.make(params), row.make(same)
    evaluate, seen = closure(optimizer, quadratic(params)), []

    def counted() -> float:
        assert torch.is_grad_enabled()
        seen.append(evaluate())
        return seen[-1]

    for t in range(3):
        before = quadratic(params)().item()
        assert float(optimizer.step(counted)) == pytest.approx(before)
        assert len(seen) == (t + 1) * evaluations(row)
        step(reference, quadratic(same))
    for p, q in zip(params, same, strict=True):
        assert torch.equal(p, q)


@having(lambda row: row.target is not Prodigy)
def test_parameter_groups_have_their_own_rate(row: Row) -> None:
    params = start()
    optimizer = row.make([{"params": params[:1]}, {"params": params[1:2], "lr": 0.0}])
    optimizer.add_param_group({"params": params[2:]})
    for _ in range(3):
        step(optimizer, quadratic(params))
    assert [bool((p != 0.5).any()) for p in params] == [True, False, True]


def test_prodigy_has_one_rate() -> None:
    """Its first group's, whatever others say: a schedule, which multiplies all alike, is none the worse for it."""
    params = start()
    optimizer = Prodigy([{"params": params[:1]}, {"params": params[1:2], "lr": 0.0}])
    for _ in range(3):
        step(optimizer, quadratic(params))
    assert [bool((p != 0.5).any()) for p in params] == [True, True, False]


@every_optimizer
def test_the_rate_may_be_set_before_every_step(row: Row) -> None:
    params, slow = start(), start()
    optimizer, reference = row.make(params, lr=123.0), row.make(slow, lr=0.1 * row.quadratic)
    for _ in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * row.quadratic
        step(optimizer, quadratic(params))
        step(reference, quadratic(slow))
    for p, q in zip(params, slow, strict=True):
        torch.testing.assert_close(p, q)


@having(lambda row: not row.complex)
def test_complex_parameters_are_refused(row: Row) -> None:
    z = Parameter(torch.zeros(2, dtype=torch.complex64))

    def make() -> None:
        optimizer = row.make([z])
        if row.target in (Adafactor, *THEIRS):  # not before
            step(optimizer, lambda: torch.view_as_real(z).square().sum())

    with pytest.raises(REFUSED, match=r"(?i)complex"):
        make()


@having(lambda row: row.complex)
def test_complex_parameters_move_as_pairs(row: Row) -> None:
    z = Parameter(torch.zeros(2, dtype=torch.complex64))
    pair = Parameter(torch.zeros(2, 2))
    target = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    a, b = row.make([z]), row.make([pair])
    for _ in range(5):
        step(a, lambda: (torch.view_as_real(z) - target).square().sum())
        step(b, lambda: (pair - target).square().sum())
    torch.testing.assert_close(torch.view_as_real(z.detach()), pair.detach())


@every_optimizer
def test_a_negative_rate_is_refused(row: Row) -> None:
    with pytest.raises(REFUSED, match=r"lr|[Ll]earning rate"):
        row.make(start(), lr=-1.0)


def trajectory(row: Row) -> list[float]:
    """Losses of a small net on 160 fixed points, by mini-batches of 32, in float64: one in every four of 40 steps."""
    x, y, weights = golden_problem()
    params = [Parameter(torch.from_numpy(w.copy())) for w in weights]
    optimizer = row.make(params)

    def loss(rows: slice) -> Tensor:
        hidden = torch.tanh(x[rows] @ params[0] + params[1])
        return F.cross_entropy(hidden @ params[2], y[rows])

    losses = []
    for t in range(40):
        rows = slice(32 * (t % 5), 32 * (t % 5) + 32)
        if t % 4 == 0:
            losses.append(loss(slice(None)).item())
        step(optimizer, lambda rows=rows: loss(rows))
    return [*losses, loss(slice(None)).item()]


def golden_problem() -> tuple[Tensor, Tensor, list[np.ndarray]]:
    """Three noisy clusters and a net's first weights, of sines alone, so that no generator can change them."""
    i = np.arange(160)
    angle = 2.0 * np.pi * (i % 3) / 3.0
    x = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.7 * np.sin(np.outer(i + 1.0, [12.9898, 78.233]))
    weights = [np.sin(np.arange(1.0, 17.0)).reshape(2, 8), np.zeros(8), np.cos(np.arange(1.0, 25.0)).reshape(8, 3)]
    return torch.from_numpy(x), torch.from_numpy(i % 3), weights


@having(lambda row: row.target is not SOAP)
def test_golden_trajectory(row: Row) -> None:
    golden = json.loads((GOLDEN / f"{row.name}.json").read_text())
    assert trajectory(row) == pytest.approx(golden, rel=1e-7)


def write_missing() -> None:
    for row in TABLE:
        path = GOLDEN / f"{row.name}.json"
        if not path.exists() and row.target is not SOAP:
            path.write_text(json.dumps([round(loss, 12) for loss in trajectory(row)]) + "\n")
            print("wrote", path)


if __name__ == "__main__":
    write_missing()
