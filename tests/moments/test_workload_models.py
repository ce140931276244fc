"""Statistics on the models of tokens and of categories, against a backward pass for every sample."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from batchlab.optimizers.moments import GradientMoments
from batchlab.runner.models import DLRM, Transformer
from batchlab.runner.train.gradient import criterion_for

CRITERION = criterion_for("cross_entropy", 0.0)
SAMPLES = 9


def transformer() -> tuple[nn.Module, Tensor, Tensor]:
    made = Transformer(shape=(6,), classes=7, vocabulary=7, width=8, layers=2, heads=2)
    return made, torch.randint(7, (SAMPLES, 6)), torch.randint(7, (SAMPLES, 6))


def dlrm() -> tuple[nn.Module, Tensor, Tensor]:
    sizes = (0, 0, 5, 3, 11)
    x = torch.stack([torch.randint(n or 100, (SAMPLES,)) for n in sizes], 1)
    return DLRM(shape=(5,), classes=2, vocabulary=sizes, width=4, bottom=[5], top=[6]), x, torch.randint(2, (SAMPLES,))


WORKLOADS = pytest.mark.parametrize("workload", [transformer, dlrm])
Workload = Callable[[], tuple[nn.Module, Tensor, Tensor]]


def made(workload: Workload) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Model, inputs, targets, and the gradients (n, parameters) of single samples, in float64."""
    torch.manual_seed(2)
    model, x, y = workload()
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    rows = []
    for i in range(len(x)):
        loss = CRITERION(model(x[i : i + 1]), y[i : i + 1]).squeeze(0)
        rows.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))]))
    return model, x, y, torch.stack(rows)


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


@WORKLOADS
@pytest.mark.filterwarnings("error")
def test_per_sample(workload: Workload) -> None:
    model, x, y, rows = made(workload)
    moments = GradientMoments(model.parameters(), estimator="per_sample", elementwise=True)
    for part in (slice(0, 4), slice(4, None)):
        moments.backward(model, CRITERION, x[part], y[part])
    moments.reduce()
    mean = rows.mean(0)
    torch.testing.assert_close(flat([p.grad for p in model.parameters()]), mean, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(flat(moments.coordinate_variance()), rows.var(0), rtol=1e-7, atol=1e-12)
    assert set(moments.measured_by(model).values()) == {"one pass"}, "quick, and nothing to warn of"


@WORKLOADS
def test_groups(workload: Workload) -> None:
    model, x, y, rows = made(workload)
    moments = GradientMoments(model.parameters(), elementwise=True)
    for part in (slice(0, 3), slice(3, 6), slice(6, 9)):
        moments.backward(model, CRITERION, x[part], y[part])
    moments.reduce()
    groups = rows.view(3, 3, -1).mean(1)
    torch.testing.assert_close(flat([p.grad for p in model.parameters()]), rows.mean(0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(flat(moments.coordinate_variance()), 3 * groups.var(0), rtol=1e-7, atol=1e-12)
