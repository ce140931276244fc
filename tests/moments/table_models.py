"""What the tables of layers and of uses are written with: a case, and models of a line or a few."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SAMPLES, WIDE = 5, 4  # as many samples as heads, steps or channels of some layers: shapes alone tell nothing

Way = Literal["one pass", "vmap", "loop", "refused"]


def losses_of(output: Any, target: Tensor) -> Tensor:
    """One loss per sample, with a different slope in every entry of the output."""
    flat = output.flatten(1) if output.dim() > 1 else output.unsqueeze(1)
    weight = torch.linspace(0.4, 1.7, flat.shape[1], dtype=flat.dtype)
    losses: Tensor = ((weight * flat).tanh() - target[:, :1]).square().mean(1) + 0.1 * (weight * flat).sum(1)
    return losses


@dataclass(frozen=True)
class Case:
    """A model, a batch, and what is expected of the engine.

    Attributes:
        model: makes the model, in float64 unless it says otherwise.
        x: draws the batch.
        way: how the gradients are had; "refused" where a ValueError names a way out.
        criterion: one loss per sample.
        alone: whether a sample's gradient is that of the sample alone. Else (random layers, whose masks are those
            of the batch; models that cannot run on one sample) it is that of the sample's loss in an ordinary pass.
        close: relative tolerance; that of the narrowest type in the model.
        splits: sizes of the first micro-batches.
        twin: the same function for the gradients by hand, where torch cannot differentiate the model itself.
        lacks: why this case fails, where the engine falls short of what it should.
        fails: in which of the tests it does.
    """

    model: Callable[[], nn.Module]
    x: Callable[[], Any]
    way: Way = "one pass"
    criterion: Callable[[Any, Tensor], Tensor] = losses_of
    alone: bool = True
    close: float = 1e-9
    splits: tuple[int, ...] = (3, 1)
    twin: Callable[[], nn.Module] | None = None
    lacks: str = ""
    fails: tuple[str, ...] = ("whole", "parts", "left")


class Net(nn.Module):
    """Parts, and the rule that applies them: rule(self, x)."""

    def __init__(self, rule: Callable[[Any, Any], Any], **parts: Any) -> None:
        super().__init__()
        self.rule = rule
        self.mean: Any = 0.0
        self.kept: list[Any] = []
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Any) -> Any:
        return self.rule(self, x)


def around(layer: Any, inner: int = WIDE, outer: int = 0) -> nn.Sequential:
    """A layer on vectors, sequences or tables between two linear ones, so that gradients flow through it."""
    outer = outer or inner
    return nn.Sequential(nn.Linear(WIDE, inner), layer, nn.Linear(outer, 2))


def after_conv(layer: Any, dims: int = 2) -> nn.Sequential:
    """A layer on images of 4 channels."""
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    return nn.Sequential(conv(2, 4, 2), layer, conv(4, 2, 1))


def vectors(width: int = WIDE) -> Tensor:
    return torch.randn(SAMPLES, width)


def sequences(length: int = 3, width: int = WIDE) -> Tensor:
    return torch.randn(SAMPLES, length, width)


def images(size: int = 5, dims: int = 2, channels: int = 2) -> Tensor:
    return torch.randn(SAMPLES, channels, *[size] * dims)


def tokens(length: int = 4) -> Tensor:
    x = torch.randint(0, 9, (SAMPLES, length))
    x[:, -1] = x[:, 0]  # a token that comes twice
    return x


def parameter(*size: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(size) / 2 + 0.1)


def two(rule: Any, x: Any = vectors, way: Way = "one pass", inner: int = WIDE, outer: int = 3, **more: Any) -> Case:
    """inner (4 -> 4) and outer (4 -> 3), put together by a rule."""
    dtype, outer_in = more.pop("dtype", torch.float64), more.pop("outer_in", inner)
    case = {k: more.pop(k) for k in ("criterion", "alone", "close", "splits", "lacks", "fails", "twin") if k in more}
    make = {name: part for name, part in more.items() if callable(part)}
    return Case(
        lambda: Net(
            rule, inner=nn.Linear(WIDE, inner), outer=nn.Linear(outer_in, outer), **{n: p() for n, p in make.items()}
        ).to(dtype),
        x, way, **case,
    )  # fmt: skip


class Doubled(nn.Linear):
    """A Linear whose forward is another."""

    def forward(self, x: Tensor) -> Any:
        return 2 * super().forward(x) + self.weight.sum()


class OwnConv(nn.Conv2d):
    """A subclass that adds nothing but a standardised weight, in the method that Conv2d.forward calls."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Any:
        return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)


class Counter(nn.Module):
    """Counts its passes in a buffer, and uses the count."""

    def __init__(self, attribute: bool = False) -> None:
        super().__init__()
        self.calls: Any
        if attribute:
            self.calls = 0
        else:
            self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return x / (1 + self.calls)


class OwnBatchNorm(nn.Module):
    """Statistics of its own making, which mix the samples; or only remember the mean, which nothing depends on."""

    mean: Tensor

    def __init__(self, mixes: bool) -> None:
        super().__init__()
        self.mixes, self.scale = mixes, nn.Parameter(torch.rand(WIDE) + 0.5)
        self.register_buffer("mean", torch.zeros(WIDE))

    def forward(self, x: Tensor) -> Any:
        before = self.mean.clone()
        self.mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return (x - (x.mean(0) if self.mixes else before)) * self.scale


class Experts(nn.Module):
    """A mixture of experts: each sample is sent to one, by indexing or by weighing with zeros."""

    def __init__(self, index: bool, spare: bool = False) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(WIDE, 2), nn.ModuleList(nn.Linear(WIDE, 3) for _ in range(2 + spare))
        self.index = index

    def forward(self, x: Tensor) -> Any:
        weight, choice = self.gate(x).softmax(1).max(1)
        if not self.index:
            return sum(
                torch.where(choice == k, weight, 0).unsqueeze(1) * expert(x) for k, expert in enumerate(self.experts)
            )
        out = x.new_zeros(len(x), 3)
        for k, expert in enumerate(self.experts):
            mine = (choice == k).nonzero().squeeze(1)
            out = out.index_add(0, mine, weight[mine].unsqueeze(1) * expert(x[mine]))
        return out


class Residual(nn.Module):
    """Stochastic depth: a whole branch is left out, by sample or for the batch."""

    def __init__(self, by_sample: bool) -> None:
        super().__init__()
        self.branch, self.by_sample = nn.Linear(WIDE, WIDE), by_sample

    def forward(self, x: Tensor) -> Any:
        keep = torch.rand(len(x) if self.by_sample else 1, 1) < 0.6
        if not self.by_sample and not keep:
            return x
        return x + keep * self.branch(x)


class Checkpointed(nn.Module):
    """Recomputes its middle in the backward pass."""

    def __init__(self, reentrant: bool = False, dropout: float = 0.0, layer: Callable[[], nn.Module] = nn.Tanh) -> None:
        super().__init__()
        self.inner, self.outer, self.reentrant = nn.Linear(WIDE, 6), nn.Linear(6, 3), reentrant
        self.middle = nn.Sequential(nn.Linear(6, 6), layer(), nn.Dropout(dropout), nn.Linear(6, 6))

    def forward(self, x: Tensor) -> Any:
        return self.outer(checkpoint(self.middle, self.inner(x), use_reentrant=self.reentrant))


class Scripted(nn.Module):
    """Plain enough for torch.jit."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(WIDE, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outer(torch.tanh(self.inner(x)))
        return out


class Backwards(torch.autograd.Function):
    """A function of the user's, which mixes the samples in the backward pass only (or not at all)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mixes: bool) -> Tensor:
        ctx.mixes = mixes
        return x.sin()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (d,) = gradients
        return (d / d.norm() if ctx.mixes else 2 * d), None


class Posed(nn.Module):
    """A table of positions with as many rows as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.place, self.out = nn.Embedding(9, 4), nn.Embedding(SAMPLES, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        return self.out(torch.tanh(self.table(x) + self.place(torch.arange(x.shape[1]))).mean(1))


def forces(m: Any, x: Tensor) -> Tensor:
    """Differentiates inside the model, as models of physics do."""
    at = x.detach().requires_grad_()
    energy: Any = m.outer(m.inner(at).tanh()).square().sum()
    return torch.autograd.grad(energy, at, create_graph=True)[0]


def from_the_second_pass(act: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Any]:
    """A rule that is outer(tanh(inner(x))) in the first pass, and from then on what `act` makes of inner's output."""

    def rule(m: Any, x: Tensor) -> Any:
        m.calls += 1
        h = m.inner(x)
        return m.outer(h.tanh()) if m.calls < 2 else act(m, h)

    return rule


def hooked(m: Any, h: Tensor) -> Any:
    if h.requires_grad:
        h.register_hook(lambda gradient: gradient / 2)
    return m.outer(h.tanh())


def penalised(m: Any, h: Tensor) -> Any:
    """The slope of the output is part of it."""
    with torch.enable_grad():
        h = h if h.requires_grad else h.detach().requires_grad_()
        out = m.outer(h.tanh())
        (slope,) = torch.autograd.grad(out.sum(), h, create_graph=True)
    return out * (1 + slope.square().sum(1, keepdim=True))


def gated(m: Any, h: Tensor) -> Any:
    with torch.no_grad():
        gate = m.outer(h).sigmoid().mean(1, keepdim=True)
    return m.outer(h.tanh()) * gate


def doubled(p: Tensor) -> None:
    assert p.grad is not None
    p.grad.mul_(2)


def with_hook(kind: str) -> nn.Module:
    """A model with a user's hook on its first layer."""
    model: Any = nn.Sequential(nn.Linear(WIDE, 6), nn.Tanh(), nn.Linear(6, 3))
    layer = model[0]
    if kind == "pre":
        layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    elif kind == "pre with weight":
        layer.register_forward_pre_hook(lambda module, args: (args[0] + model[2].bias.sum(),))
    elif kind == "forward":
        layer.register_forward_hook(lambda module, args, output: output * 3)
    elif kind == "forward with weight":
        layer.register_forward_hook(lambda module, args, output: output + module.weight.sum())
    elif kind == "backward":
        layer.register_full_backward_hook(lambda module, given, got: (None,))
    elif kind == "backward scales":
        model[1].register_full_backward_hook(lambda module, given, got: (given[0] * 2,))
    elif kind == "gradient":
        layer.weight.register_hook(lambda gradient: gradient * 2)
    elif kind == "gradient, later":
        model.insert(1, Counter())
        layer.weight.register_hook(lambda gradient: gradient * (0.5 if model[1].calls > 1 else 1))
    elif kind == "gradient of the batch":
        layer.weight.register_hook(lambda gradient: gradient / gradient.norm())
    elif kind == "after accumulation":
        layer.weight.register_post_accumulate_grad_hook(doubled)
    hooked: nn.Module = model
    return hooked


def untrained(model: nn.Module, *names: str) -> nn.Module:
    for name, p in model.named_parameters():
        if name in names:
            p.requires_grad_(False)
    return model


def put(model: Any, **attributes: Any) -> Any:
    """The model, with these attributes set."""
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def tie(model: nn.Module, to: str, what: str) -> nn.Module:
    """Makes one parameter the same as another."""
    owner, _, name = to.rpartition(".")
    setattr(model.get_submodule(owner), name, model.get_parameter(what))
    return model


def attention(scores: Tensor) -> Tensor:
    return (scores @ scores.mT / math.sqrt(scores.shape[-1])).softmax(-1) @ scores


def mixed_with_mean(x: Tensor) -> Tensor:
    return F.relu(x - x.mean(0))
