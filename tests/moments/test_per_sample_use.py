"""Per-sample statistics in use: what changes between batches, targets of all kinds, rounding, and what is refused."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.optimizers.moments import GradientMoments, ModelState

SAMPLES = 16


def losses_of(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="none")


def batch(samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    return torch.randn(samples, 6), torch.randint(3, (samples,))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def measured(model: nn.Module, params: list[nn.Parameter] | None = None) -> GradientMoments:
    return GradientMoments(params or list(model.parameters()), estimator="per_sample")


def check(moments: GradientMoments, model: nn.Module, criterion: Any, x: Tensor, y: Any) -> None:
    """Measure a batch; mean gradient and variance are those of a backward pass per sample over the same graph."""
    twin = copy.deepcopy(model)
    losses = criterion(twin(x), y)
    rows = []
    for loss in losses:
        given = torch.autograd.grad(loss, list(twin.parameters()), retain_graph=True, allow_unused=True)
        pairs = zip(twin.parameters(), given, strict=True)
        rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs]).double())
    stacked = torch.stack(rows)
    moments.backward(model, criterion, x, y)
    moments.reduce()
    mean = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])
    torch.testing.assert_close(mean.double(), stacked.mean(0), rtol=1e-4, atol=1e-6)
    assert moments.variance() == pytest.approx(stacked.var(0).sum().item(), rel=1e-4)
    moments.reset()


class Tasks(nn.Module):
    """Two heads, one at a time, under parameters of the model's own, which make it one layer."""

    def __init__(self, buffer: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6)) if not buffer else None
        self.heads = nn.ModuleDict({"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)})
        self.task = "a"
        if buffer:
            self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Any:
        return self.heads[self.task](x - self.mean if self.scale is None else x * self.scale)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("buffer", [False, True], ids=["replayed", "with a buffer"])
def test_what_the_first_batch_did_not_reach_is_reached_later(buffer: bool) -> None:
    torch.manual_seed(0)
    model = Tasks(buffer)
    moments = measured(model)
    for task in "abab":
        model.task = task
        check(moments, model, losses_of, *batch())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_experts_that_come_later_are_trained() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.parts = nn.Parameter(torch.randn(6, 4)), nn.ModuleList(nn.Linear(6, 3) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            weights = (x @ self.gate).softmax(1)
            best = weights.argmax(1)
            out = x.new_zeros(len(x), 3)
            for k, part in enumerate(self.parts):
                here = (best == k).nonzero()[:, 0]
                out = out.index_add(0, here, part(x[here]) * weights[here, k, None])
            return out

    torch.manual_seed(1)
    model = Experts()
    moments = measured(model)
    for _ in range(6):
        check(moments, model, losses_of, *batch(4))


def other_head(model: nn.Sequential) -> None:
    model[2] = nn.Linear(8, 3)


def assigned(model: nn.Sequential) -> None:
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)


@pytest.mark.parametrize("change", [other_head, assigned])
def test_parameters_that_replace_others_are_missed_at_once(change: Callable[[nn.Sequential], None]) -> None:
    model = mlp()
    moments = measured(model)
    moments.backward(model, losses_of, *batch())
    moments.reduce()
    moments.reset()
    change(model)
    with pytest.raises(ValueError, match="was not given"):
        moments.backward(model, losses_of, *batch())


class Switched(nn.Module):
    """Mixes the samples under one switch, not under the other; as a model, or as a loss."""

    def __init__(self, model: nn.Module | None = None) -> None:
        super().__init__()
        self.plain, self.centred, self.model = True, False, model

    def forward(self, output: Tensor, target: Tensor | None = None) -> Tensor:
        output = output if self.model is None else self.model(output)
        output = output - output.mean(0) if self.centred else output
        return output if target is None else losses_of(output, target)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("as_loss", [False, True])
def test_one_switch_off_and_another_on_is_a_change(as_loss: bool) -> None:
    model = mlp() if as_loss else Switched(mlp())
    criterion = Switched() if as_loss else losses_of
    switched = criterion if as_loss else model
    moments = measured(model)
    moments.backward(model, criterion, *batch())
    moments.reduce()
    moments.reset()
    switched.plain, switched.centred = False, True
    with pytest.raises(ValueError, match="depends on the others"):
        moments.backward(model, criterion, *batch())


def test_equal_inputs_are_samples_by_their_targets() -> None:
    torch.manual_seed(0)
    model, x, y = mlp(), torch.ones(8, 6), torch.randint(3, (8,))
    weights = torch.rand(3)

    def mixed(output: Tensor, target: Tensor) -> Tensor:
        losses = losses_of(output, target) * weights[target]
        return losses / weights[target].sum()

    check(measured(model), model, losses_of, x, y)
    with pytest.raises(ValueError, match="depends on the others"):
        measured(model).backward(model, mixed, x, y)


def test_a_gradient_that_is_there_already_is_no_part_of_it() -> None:
    torch.manual_seed(0)
    model = mlp()
    model[0].weight.square().sum().backward()
    check(measured(model), model, losses_of, *batch())


@pytest.mark.parametrize(("target", "rmse"), [(288.0, 2.8), (1998.0, 4.0), (-400.0, 0.5)])
def test_rounding_of_large_predictions_is_no_mixing(target: float, rmse: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    x = torch.randn(64, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):  # the offset goes into all layers
        optimizer.zero_grad()
        (model(torch.randn(64, 10)) - target).square().mean().backward()
        optimizer.step()
    optimizer.zero_grad()
    y = model(x).detach() + rmse * torch.randn(64, 1)
    for samples in (4, 16, 64):
        moments = measured(model)
        moments.backward(model, lambda o, t: (o - t).square().mean(1), x[:samples], y[:samples])
        moments.reduce()
        assert moments.variance() > 0
        moments.reset()


class Pair(NamedTuple):
    label: Tensor
    weight: Tensor


@dataclass
class Both:
    label: Tensor
    weight: Tensor


KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Callable[[Tensor, Any], Tensor]]] = {
    "named tuple": (Pair, lambda o, t: losses_of(o, t.label) * t.weight),
    "dataclass": (Both, lambda o, t: losses_of(o, t.label) * t.weight),
    "array": (lambda y, w: y.numpy(), lambda o, t: losses_of(o, torch.as_tensor(t))),
    "texts": (lambda y, w: [str(k) for k in y.tolist()], lambda o, t: losses_of(o, torch.tensor([int(k) for k in t]))),
    "ragged": (
        lambda y, w: [y[k].repeat(1 + k % 3) for k in range(len(y))],
        lambda o, t: torch.stack([F.cross_entropy(a.expand(len(k), -1), k) for a, k in zip(o, t, strict=True)]),
    ),
    "with what is for all": (lambda y, w: {"y": y, "by": 2.0}, lambda o, t: losses_of(o, t["y"]) * t["by"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [4, SAMPLES])
def test_targets_come_as_they_like(kind: str, samples: int) -> None:
    torch.manual_seed(0)
    wrap, criterion = KINDS[kind]
    model, (x, y) = mlp(), batch(samples)
    check(measured(model), model, criterion, x, wrap(y, torch.rand(samples)))


def test_targets_of_which_nobody_knows_the_samples() -> None:
    class Opaque:
        def __init__(self, y: Tensor) -> None:
            self.y = y

    model, (x, y) = mlp(), batch()
    with pytest.raises(ValueError, match="type Opaque cannot be cut"):
        measured(model).backward(model, lambda o, t: losses_of(o, t.y), x, Opaque(y))


@pytest.mark.parametrize("source", [np.random.default_rng(0).random, random.Random(0).random])
def test_what_draws_from_elsewhere_is_told_so(source: Callable[[], float]) -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.draw = mlp(), source

        def forward(self, x: Tensor) -> Any:
            return self.inner(x) * (1 + self.draw())

    with pytest.raises(ValueError, match="other losses the second time"):
        measured(model := Noisy()).backward(model, losses_of, *batch())


@pytest.mark.parametrize("margin", [45.0, 60.0])
def test_losses_that_are_all_but_zero(margin: float) -> None:
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[2].bias.copy_(torch.tensor([margin, 0, 0]))
    moments = measured(model)
    moments.backward(model, losses_of, torch.randn(SAMPLES, 6), torch.zeros(SAMPLES, dtype=torch.long))
    moments.reduce()
    assert set(moments.measured_by(model).values()) == {"one pass"}


def test_a_copy_measures_its_own_model() -> None:
    torch.manual_seed(0)
    model = mlp()
    moments = measured(model)
    check(moments, model, losses_of, *batch())
    twin, theirs = copy.deepcopy((model, moments))
    check(theirs, twin, losses_of, *batch())


def test_what_cannot_be_measured_says_so() -> None:
    model, (x, y) = mlp(), batch()
    lazy = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="lazy"):
        measured(lazy).backward(lazy, losses_of, x, y)
    with pytest.raises(ValueError, match=r"nn\.Module"):
        measured(model).backward(lambda x: model(x), losses_of, x, y)
    with pytest.raises(ValueError, match="a list"):
        measured(model).backward(model, lambda o, t: list(losses_of(o, t)), x, y)
    with pytest.raises(ValueError, match="one tensor x"):
        measured(model).backward(model, losses_of, torch.tensor(1.0), y)
    with pytest.raises(ValueError, match="no trained parameter"):
        measured(model).backward(model, lambda o, t: losses_of(o.detach(), t), x, y)


def test_a_model_that_is_one_layer_by_a_parameter_of_its_own_is_said_to_be_slow() -> None:
    class Posed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place, self.inner = nn.Parameter(torch.zeros(6)), mlp()

        def forward(self, x: Tensor) -> Any:
            return self.inner(x + self.place)

    model = Posed()
    with pytest.warns(RuntimeWarning, match=r"of the model itself \(place\)"):
        measured(model).backward(model, losses_of, *batch())


def test_containers_and_arrays_are_put_back() -> None:
    model = mlp()
    model.seen, model.bank, model.counts = deque([1]), [torch.zeros(2)], np.zeros(2)
    state = ModelState(model)
    model.seen.append(2)
    model.bank[0].add_(1)
    model.counts += 1
    state.restore()
    assert list(model.seen) == [1]
    assert not model.bank[0].any()
    assert not model.counts.any()
