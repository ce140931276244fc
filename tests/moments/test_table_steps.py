"""What was learnt of one batch and the next one; losses and targets of other kinds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.optimizers.moments import GradientMoments
from batchlab.tests.moments.layer_table import CASES
from batchlab.tests.moments.table_checks import WAY_OUT, by_hand, differences, flatten, float64
from batchlab.tests.moments.table_models import (
    SAMPLES,
    WIDE,
    Case,
    Net,
    OwnConv,
    Posed,
    around,
    doubled,
    gated,
    images,
    losses_of,
    parameter,
    sequences,
    tokens,
    vectors,
)


class Masked(nn.Module):
    """Hands its padding on in a dictionary, past the inputs of the layer that needs it."""

    class Scale(nn.Module):
        def __init__(self, context: dict[str, Tensor]) -> None:
            super().__init__()
            self.scale, self.context = parameter(WIDE), context

        def forward(self, h: Tensor) -> Any:
            return h * self.scale * self.context["mask"].unsqueeze(2)

    def __init__(self) -> None:
        super().__init__()
        self.context: dict[str, Tensor] = {}
        self.table, self.scale, self.out = nn.Embedding(9, WIDE), self.Scale(self.context), nn.Linear(WIDE, 3)

    def forward(self, x: Tensor) -> Any:
        self.context["mask"] = (x != 0).double()
        return self.out(self.scale(self.table(x)).tanh().sum(1))


class Carrying(nn.Module):
    """Begins with the state that the batch before ended in: a layer of torch's, or one of its own."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.layer: Any = nn.Linear(WIDE, WIDE) if own else nn.GRU(WIDE, WIDE, batch_first=True)
        self.own, self.weight, self.out = own, parameter(WIDE, WIDE) if own else None, nn.Linear(WIDE, 3)
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        if self.own:
            h = self.layer(x)
            h = (h if self.state is None else h + self.state @ self.weight).tanh()
            self.state = h.detach()
        else:
            h, state = self.layer(x, self.state)
            self.state = state.detach()
        return self.out(h)


def by_length(m: Any, x: Tensor) -> Any:
    """Sorts the samples between two uses of a layer, and back."""
    order = x.detach()[:, 0].argsort(stable=True)
    h = m.inner(m.inner(x)[order].tanh()).tanh()
    return m.outer(h[order.argsort()])


def sorting() -> nn.Module:
    return Net(by_length, inner=nn.Linear(WIDE, WIDE), outer=nn.Linear(WIDE, 3))


def in_order() -> Tensor:
    x = vectors()
    return x[x[:, 0].argsort()]


def gated_in_training() -> nn.Module:
    def rule(m: Any, x: Tensor) -> Any:
        return gated(m, m.inner(x)) if m.training else m.outer(m.inner(x).tanh())

    return Net(rule, inner=nn.Linear(WIDE, WIDE), outer=nn.Linear(WIDE, 3)).eval()


def padded_table() -> nn.Module:
    def rule(m: Any, x: Tensor) -> Any:
        return F.linear(m.inner(F.embedding(x, m.w, padding_idx=0).mean(1)).tanh(), m.w)

    return Net(rule, inner=nn.Linear(WIDE, WIDE), w=parameter(9, WIDE))


def words(least: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(least, 9, (SAMPLES, WIDE)) * (torch.rand(SAMPLES, WIDE) > 0.4 * (1 - least))


class Changing(nn.Module):
    """Has a switch, or does otherwise with longer sequences, or with samples of a kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.outer, self.extra = nn.Linear(WIDE, WIDE), nn.Linear(WIDE, 3), nn.Linear(WIDE, WIDE)
        self.kind, self.on = kind, False
        self.gate = nn.Parameter(torch.zeros(())) if kind == "branch" else None

    def forward(self, x: Tensor) -> Any:
        h = self.inner(x).tanh()
        if self.kind == "switch" and self.on:
            h = self.extra(h)
        elif self.kind == "mixes" and self.on:
            h = h - h.mean(0)
        elif self.kind == "long" and x.shape[1] > 3:
            h = h + self.extra(x.detach().mean(0))  # one row per step
        elif self.kind == "branch":
            h = h + self.gate * (self.extra(x) - self.extra(x).mean(0))
        elif self.kind == "centred":
            h = h - h.mean(0)
        elif self.kind == "alike":
            h = h * (1 + x - x.mean(0))
        elif self.kind == "reach":
            reached = (x.detach()[:, 0] > 0).nonzero().squeeze(1)
            h = h.index_add(0, reached, self.extra(x[reached]))
        return self.outer(h)


def turn_on(model: Any) -> None:
    model.on = True


def freeze(model: Any) -> None:
    model.inner.requires_grad_(False)


def open_gate(model: Any) -> None:
    model.gate.data.fill_(1)


def fill(model: Any) -> None:
    nn.init.normal_(model[-1].weight)


def closed_at_first() -> nn.Module:
    """Its last layer is zero at first, so that nothing flows to the one that is not what it seems."""
    last = nn.Conv2d(4, 3, 1)
    nn.init.zeros_(last.weight)
    return nn.Sequential(OwnConv(2, 4, 2), nn.Tanh(), last)


def add_hook(model: Any) -> None:
    model.outer.register_forward_hook(lambda module, args, output: output * module.weight.sum())


def hook_after(model: Any) -> None:
    model.inner.weight.register_post_accumulate_grad_hook(doubled)


def train(model: Any) -> None:
    model.train()


def transposing() -> nn.Module:
    return Net(lambda m, x: m.inner(x.transpose(0, 1)).tanh().transpose(0, 1), inner=nn.Linear(WIDE, 3))


def one(length: int) -> Callable[[], Tensor]:
    return lambda: tokens(length)[:1]


def steps(length: int, samples: int = SAMPLES) -> Callable[[], Tensor]:
    return lambda: sequences(length)[:samples]


def signed(sign: float) -> Callable[[], Tensor]:
    return lambda: vectors().abs() * sign


def ones() -> Tensor:
    return torch.ones(SAMPLES, WIDE)


def spoiled() -> Tensor:
    x = vectors()
    x[2, 1] = torch.nan
    return x


Between = Callable[[Any], None] | None
STEPS: dict[str, tuple[Callable[[], nn.Module], list[Callable[[], Tensor]], Between, bool]] = {
    # model, batches, what is done to the model after the first of them, whether the last is refused
    "one sample first": (Posed, [one(SAMPLES), lambda: tokens(SAMPLES)], None, False),
    "one sample of one step first": (Posed, [one(1), lambda: tokens(SAMPLES)], None, False),
    "one step first": (transposing, [steps(1), steps(SAMPLES)], None, False),
    "two steps first": (transposing, [steps(2), steps(SAMPLES)], None, False),
    "two samples first": (transposing, [steps(2, 2), steps(SAMPLES)], None, False),
    "two samples of one step first": (transposing, [steps(1, 2), steps(2, 2), steps(SAMPLES)], None, False),
    "as many steps as samples later": (lambda: Changing("long"), [steps(3), steps(SAMPLES)], None, True),
    "a layer reached later": (lambda: Changing("reach"), [signed(-1), signed(1), vectors], None, False),
    "a layer no longer reached": (lambda: Changing("reach"), [signed(1), signed(-1)], None, False),
    "a layer switched on": (lambda: Changing("switch"), [vectors, vectors], turn_on, False),
    "frozen later": (lambda: Changing("plain"), [vectors, vectors], freeze, False),
    "mixing switched on": (lambda: Changing("mixes"), [vectors, vectors], turn_on, True),
    "a branch that mixes, closed at first": (lambda: Changing("branch"), [vectors, vectors], open_gate, True),
    "nothing flows at first": (closed_at_first, [images, images], fill, False),
    "samples all alike at first": (lambda: Changing("alike"), [lambda: vectors() * 0, vectors], None, True),
    "a hook added": (lambda: Changing("plain"), [vectors, vectors], add_hook, False),
    "a hook after accumulation added": (lambda: Changing("plain"), [vectors, vectors], hook_after, True),
    "in order at first": (sorting, [in_order, vectors, vectors], None, False),
    "nothing masked at first": (Masked, [words(1), words(0), words(0)], None, False),
    "no padding at first": (padded_table, [words(1), words(0), words(0)], None, False),
    "the same inputs at first": (lambda: Changing("centred"), [ones, ones, ones, vectors], None, True),
    "a state carried over": (lambda: Carrying(own=True), [vectors, vectors], None, True),
    "a state carried over, GRU": (lambda: Carrying(own=False), [sequences, sequences], None, True),
    "a gate in training": (gated_in_training, [vectors, vectors], train, False),
    "normed over the batch in training": (
        lambda: around(nn.BatchNorm1d(WIDE)).eval(), [vectors, vectors], train, True
    ),
    "not a number first": (lambda: Changing("plain"), [spoiled, vectors], None, False),
}  # fmt: skip


def refusal(moments: GradientMoments, model: nn.Module, criterion: Any, x: Any, y: Any) -> str:
    """The way out that the refusal names; empty where the batch is taken."""
    try:
        moments.backward(model, criterion, x, y)
        moments.reduce()
    except ValueError as error:
        return str(error) if WAY_OUT.search(str(error)) else f"NO WAY OUT: {error}"
    return ""


@pytest.mark.parametrize("name", STEPS)
def test_what_was_learnt_of_one_batch_does_not_spoil_the_next(name: str) -> None:
    make, draws, between, refused = STEPS[name]
    with float64():
        torch.manual_seed(3)
        model = make()
        moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True, elementwise=True)
        for number, draw in enumerate(draws):
            x, y = draw(), torch.rand(SAMPLES, 3)
            y = y[: len(x)]
            last = refused and number == len(draws) - 1
            alone = (
                torch.zeros(0) if last else by_hand(Case(partial(copy.deepcopy, model), draw), [(x, y)], frozen=True)
            )
            why = refusal(moments, model, losses_of, x, y)
            assert not why.startswith("NO WAY OUT")
            if last or (refused and why):
                assert why
                return
            assert not why
            if len(x) > 1 and x.isfinite().all():
                assert not differences(CASES["Linear"], moments, alone)
                sizes = [p.numel() for p in moments.params]
                for p, columns in zip(moments.params, torch.split(alone, sizes, dim=1), strict=True):
                    assert p.grad is not None or not columns.any()
            moments.reset()
            if number == 0 and between is not None:
                between(model)


def test_a_hook_on_a_parameter_is_met_from_when_it_is_there() -> None:
    with float64():
        torch.manual_seed(3)
        model = around(nn.Tanh())
        moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True, elementwise=True)
        for factor in (1.0, 2.0, 0.0):
            if factor == 2:
                mask = torch.full((WIDE, WIDE), factor)
                model[0].weight.register_hook(lambda gradient, mask=mask: gradient * mask)
            elif not factor:
                mask.zero_()
            x, y = vectors(), torch.rand(SAMPLES, 3)
            rows = by_hand(Case(partial(copy.deepcopy, model), vectors), [(x, y)])  # a copy has no hook
            rows[:, : WIDE * WIDE] *= factor
            assert not refusal(moments, model, losses_of, x, y)
            assert not differences(CASES["Linear"], moments, rows)
            moments.reset()


def test_what_turns_out_late_is_an_error_that_says_since_when() -> None:
    with float64():
        torch.manual_seed(3)
        model = sorting()
        moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
        whys = []
        for draw in (in_order, in_order, vectors, vectors):
            whys.append(refusal(moments, model, losses_of, draw(), torch.rand(SAMPLES, 3)))
            moments.reset()
        assert whys[:3] == [""] * 3
        assert "statistics of the batches 3 to 3" in whys[3]
        x, y = vectors(), torch.rand(SAMPLES, 3)
        rows = by_hand(Case(partial(copy.deepcopy, model), vectors), [(x, y)])
        assert not refusal(moments, model, losses_of, x, y)
        assert not differences(CASES["Linear"], moments, rows)


def test_another_loss_later() -> None:
    with float64():
        model, x, y = around(nn.Tanh()), vectors(), torch.rand(SAMPLES, 3)
        moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
        assert not refusal(moments, model, losses_of, x, y)
        moments.reset()
        assert refusal(moments, model, lambda output, y: losses_of(output - output.mean(0), y), x, y)


class Tempered(nn.Module):
    """A loss with a parameter, or another tensor to be trained, and a buffer that counts."""

    calls: Tensor

    def __init__(self, of_module: bool) -> None:
        super().__init__()
        self.temperature = parameter(1) if of_module else None
        self.tensors = [] if of_module else [torch.rand(1, requires_grad=True)]
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, output: Tensor, y: Tensor) -> Any:
        self.calls += 1
        return losses_of(output * (self.tensors[0] if self.temperature is None else self.temperature), y)


class Trainer:
    """Holds a criterion."""

    def __init__(self, criterion: nn.Module) -> None:
        self.parts = {"criterion": criterion}

    def loss_of(self, output: Tensor, y: Tensor) -> Any:
        return self.parts["criterion"](output, y)


GIVEN: dict[str, Callable[[Any], Any]] = {
    "itself": lambda criterion: criterion,
    "function": lambda criterion: lambda output, y: criterion(output, y),
    "partial": partial,
    "method": lambda criterion: criterion.forward,
    "method of an object": lambda criterion: Trainer(criterion).loss_of,
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("of_module", [True, False])
def test_parameters_and_buffers_of_the_loss(of_module: bool, given: str) -> None:
    with float64():
        torch.manual_seed(0)
        model, criterion = around(nn.Tanh()), Tempered(of_module)
        x, y = vectors(), torch.rand(SAMPLES, 3)
        params = [*model.parameters(), *criterion.parameters(), *criterion.tensors]
        rows = [
            flatten(torch.autograd.grad(criterion(model(x[i : i + 1]), y[i : i + 1]).sum(), params))
            for i in range(SAMPLES)
        ]
        moments = GradientMoments(params, estimator="per_sample", inner_products=True, elementwise=True)
        criterion.calls.zero_()
        why = refusal(moments, model, GIVEN[given](criterion), x, y)
        assert "NO WAY OUT" not in why
        assert why or not differences(CASES["Linear"], moments, torch.stack(rows))
        assert why or criterion.calls == 1


KINDS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "list": (list, torch.stack),
    "dictionary": (lambda y: {"y": y}, lambda given: given["y"]),
    "pair": (lambda y: (y[:, :1], y), lambda given: given[1]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_targets_of_other_kinds(kind: str) -> None:
    wrap, unwrap = KINDS[kind]
    with float64():
        torch.manual_seed(0)
        model, x, y = around(nn.Tanh()), vectors(), torch.rand(SAMPLES, 3)
        rows = by_hand(Case(partial(copy.deepcopy, model), lambda: x), [(x, y)])
        moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
        why = refusal(moments, model, lambda output, given: losses_of(output, unwrap(given)), x, wrap(y))
        assert "NO WAY OUT" not in why
        assert why or not differences(CASES["Linear"], moments, rows)


def test_an_empty_batch_and_a_lazy_model_are_refused() -> None:
    model = around(nn.Tanh())
    moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
    with pytest.raises(ValueError, match=r"(?i)sample|empty"):
        moments.backward(model, losses_of, vectors()[:0], torch.rand(0, 3))
    lazy = nn.Sequential(nn.LazyLinear(3), nn.Tanh(), nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"(?i)uninitialized|lazy"):
        GradientMoments(lazy.parameters(), estimator="per_sample").backward(lazy, losses_of, vectors(), vectors())


@pytest.mark.slow
@pytest.mark.parametrize("inside", [False, True])
def test_a_compiled_model(inside: bool) -> None:
    with float64():
        torch.manual_seed(0)
        plain, x, y = around(nn.PReLU()), vectors(), torch.rand(SAMPLES, 3)
        compiled: Any = torch.compile(plain, backend="eager")
        model = nn.Sequential(compiled, nn.Tanh()) if inside else compiled
        like = nn.Sequential(plain, nn.Tanh()) if inside else plain
        rows = by_hand(Case(lambda: copy.deepcopy(like), lambda: x), [(x, y)])
        moments = GradientMoments(plain.parameters(), estimator="per_sample", inner_products=True)
        for _ in range(2):
            moments.backward(model, losses_of, x, y)
            moments.reduce()
            assert not differences(CASES["Linear"], moments, rows)
            moments.reset()
