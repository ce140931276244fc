"""What models do besides: buffers, writing in place, hooks, ways to call a layer, randomness."""

from __future__ import annotations

import random
from collections import Counter as Tally
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from batchlab.tests.moments.table_models import (
    WIDE,
    Case,
    Checkpointed,
    Counter,
    Doubled,
    Net,
    OwnBatchNorm,
    OwnConv,
    Residual,
    Scripted,
    around,
    forces,
    from_the_second_pass,
    gated,
    hooked,
    images,
    losses_of,
    parameter,
    penalised,
    put,
    two,
    untrained,
    vectors,
    with_hook,
)


def old(name: str, outermost: bool = False) -> Callable[[], nn.Module]:
    """torch.nn.utils' old weight_norm and spectral_norm, by hooks; the new ones by parametrizations."""

    def make() -> nn.Module:
        by = nn.utils if name.startswith("old") else parametrizations
        function = getattr(by, name.removeprefix("old "))
        return function(nn.Linear(WIDE, WIDE)) if outermost else around(function(nn.Linear(WIDE, WIDE)))

    return make


def pruned() -> nn.Module:
    model = around(nn.Tanh())
    prune.random_unstructured(model[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    return model


def written(kind: str) -> Any:
    def rule(m: Any, x: Tensor) -> Any:
        h = m.inner(x)
        if kind == "twin of output":
            return m.outer(h)
        if kind == "add":
            h.add_(x)
        elif kind == "column":
            h[:, 0] = h[:, 1] * 2
        elif kind == "row":
            h[0] = 0.5
        elif kind == "zero":
            kept = h.tanh()
            h.zero_()
            h = h + kept
        elif kind == "input":
            y = x * 1
            h = m.inner(y)
            y.add_(1)
        elif kind == "input by no_grad":
            y = x * 1
            h = m.inner(y)
            with torch.no_grad():
                y.add_(1)
        elif kind == "output":  # the input of the next layer
            out = m.outer(h)
            h.zero_()
            return out
        return m.outer(h.relu_() if kind == "relu" else h.tanh())

    return rule


def banked(m: Any, x: Tensor) -> Any:
    """Compared with samples of batches before, which it then takes the place of."""
    h, bank = m.inner(x), m.bank.clone()
    m.bank.copy_(torch.cat([h.detach(), bank])[:8])
    return m.outer(h.tanh() @ bank.mT)


def saved_on_cpu(m: Any, x: Tensor) -> Any:
    with torch.autograd.graph.save_on_cpu():
        return m.outer(m.inner(x).tanh() if not hasattr(m, "last") else m.last(m.inner(x)))


def overridden() -> nn.Module:
    """A layer with a forward that someone has put in."""
    model = around(nn.Tanh())
    layer: Any = model[0]
    layer.forward = lambda x: F.linear(x, layer.weight, layer.bias) * 2
    return model


def traced() -> nn.Module:
    model: nn.Module = torch.jit.trace(Scripted(), torch.randn(2, WIDE))  # type: ignore[no-untyped-call]
    return model


def with_child() -> nn.Module:
    model = around(nn.Tanh())
    model[0].add_module("child", nn.Linear(2, 2))
    return model


@torch.no_grad()
def follow(teacher: nn.Linear, pupil: nn.Linear) -> None:
    teacher.weight.lerp_(pupil.weight, 0.1)


HABITS: dict[str, Case] = {
    # Buffers
    "own running mean": Case(lambda: around(OwnBatchNorm(mixes=False)), vectors, "loop"),
    "counter": Case(lambda: around(Counter()), vectors),
    "counter as attribute": Case(lambda: around(Counter(attribute=True)), vectors),
    "mean as attribute": Case(
        lambda: around(Net(lambda m, x: (x - m.mean, put(m, mean=x.detach().mean(0)))[0] * m.w, w=parameter(4))),
        vectors, "vmap",
    ),
    "memory bank": two(banked, outer_in=8, bank=lambda: torch.rand(8, WIDE)),
    "memory bank that grows": two(
        lambda m, x: (lambda h: put(m, bank=torch.cat([h.detach(), m.bank])).outer(h.tanh() * m.bank[-1]))(m.inner(x)),
        bank=lambda: torch.rand(1, WIDE),
    ),
    "counter in an object": two(
        lambda m, x: (put(m.stats, calls=m.stats.calls + 1), m.outer(m.inner(x).tanh()))[1],
        stats=lambda: SimpleNamespace(calls=0),
        lacks="what objects hold is not put back", fails=("left",),
    ),
    "containers at any depth": two(
        lambda m, x: (m.sums["all"].add_(x.detach().sum(0)), m.counts.update(("f",)), m.deep["a"][0].append(1),
                      m.pair[0].append(len(m.pair[0])), m.outer(m.inner(x).tanh()))[-1],
        sums=lambda: {"all": torch.zeros(WIDE)}, counts=Tally, deep=lambda: {"a": [[]]}, pair=lambda: ([], 1),
    ),
    "list that the loss empties": two(
        lambda m, x: (m.kept.append(m.inner(x)), (m.outer(m.kept[-1].tanh()), m.kept))[1],
        criterion=lambda out, y: losses_of(out[0], y) + (sum(h.square().mean(1) for h in out[1]), out[1].clear())[0],
    ),
    "weight that decays in the forward": two(
        lambda m, x: (m.inner.weight.data.mul_(0.9), m.outer(m.inner(x).tanh()))[1],
        way="refused",
    ),
    "weight that is normed in the forward": two(
        lambda m, x: (m.inner.weight.data.div_(m.inner.weight.norm()), m.outer(m.inner(x).tanh()))[1]
    ),
    "teacher that follows in the forward": Case(
        lambda: untrained(
            Net(lambda m, x: (follow(m.teacher, m.inner), m.inner(x).tanh() * m.teacher(x))[1],
                inner=nn.Linear(WIDE, 3), teacher=nn.Linear(WIDE, 3)), "teacher.weight", "teacher.bias"
        ),
        vectors, "refused",
    ),
    "frozen part in inference mode": Case(
        lambda: untrained(
            Net(lambda m, x: m.inner(torch.inference_mode()(m.part)(x).clone()).tanh(),
                inner=nn.Linear(WIDE, 3), part=nn.Linear(WIDE, WIDE)), "part.weight", "part.bias"
        ),
        vectors,
    ),
    "noise in the loss": two(lambda m, x: m.outer(m.inner(x).tanh()), alone=False,
                             criterion=lambda out, y: losses_of(out + torch.randn_like(out), y)),
    # In place
    "written in place: by the loss": two(
        lambda m, x: m.outer(m.inner(x).tanh()), criterion=lambda out, y: losses_of(out.mul_(2), y)
    ),
    "written in place: targets": two(
        lambda m, x: m.outer(m.inner(x).tanh()), criterion=lambda out, y: losses_of(out, y.mul_(0.5))
    ),
    **{f"written in place: {kind}": two(written(kind)) for kind in ("add", "relu", "column", "zero")},
    "written in place: first row": two(written("row"), way="refused"),
    **{f"written in place: {kind}": two(written(kind), way="refused", twin=two(written(f"twin of {kind}")).model)
       for kind in ("input", "input by no_grad", "output")},
    "input written in place": two(lambda m, x: m.outer(m.inner(x.mul_(0.5)).tanh())),
    # Hooks
    **{f"hook: {kind}": Case(partial(with_hook, kind), vectors) for kind in ("pre", "forward", "backward")},
    **{f"hook: {kind}": Case(partial(with_hook, kind), vectors, "vmap")
       for kind in ("pre with weight", "forward with weight")},
    "hook: backward scales": Case(partial(with_hook, "backward scales"), vectors),
    "hook: gradient": Case(partial(with_hook, "gradient"), vectors, "loop"),
    "hook: gradient, later": Case(partial(with_hook, "gradient, later"), vectors, "loop"),
    "hook: output, later": two(from_the_second_pass(hooked), calls=lambda: torch.zeros(())),
    "hook: gradient of the batch": Case(partial(with_hook, "gradient of the batch"), vectors, "refused"),
    "hook: after accumulation": Case(partial(with_hook, "after accumulation"), vectors, "refused"),
    **{name: Case(old(name), vectors, "vmap")
       for name in ("weight_norm", "spectral_norm", "orthogonal", "old weight_norm", "old spectral_norm")},
    **{f"{name}, outermost": Case(old(name, outermost=True), vectors, "vmap")
       for name in ("weight_norm", "spectral_norm", "orthogonal", "old weight_norm", "old spectral_norm")},
    "spectral_norm, eval": Case(lambda: old("spectral_norm")().eval(), vectors, "vmap"),
    "weight_norm, cached": Case(
        lambda: Net(lambda m, x: parametrize.cached()(lambda: m.inner(x).tanh() + m.inner(2 * x))(),
                    inner=parametrizations.weight_norm(nn.Linear(WIDE, 3))),
        vectors, "vmap",
    ),
    "pruned": Case(pruned, vectors, "vmap"),
    "weight in place of a parameter": two(
        lambda m, x: torch.func.functional_call(m.outer, {"weight": m.outer.weight * 2}, (m.inner(x),)), way="vmap"
    ),
    # Ways to call a layer
    "by keyword": two(lambda m, x: m.outer(input=m.inner(input=x).tanh())),
    "by .forward": two(lambda m, x: m.outer.forward(m.inner.forward(x).tanh())),
    "by the class": two(lambda m, x: nn.Linear.forward(m.outer, m.inner(x).tanh()), way="vmap"),
    "forward put in": Case(overridden, vectors, "vmap"),
    "subclass with a forward": Case(lambda: around(Doubled(WIDE, WIDE)), vectors, "vmap"),
    "subclass of a subclass": Case(lambda: around(type("Mine", (nn.Linear,), {})(WIDE, WIDE)), vectors),
    "subclass with another convolution, bfloat16": Case(
        lambda: nn.Sequential(OwnConv(2, 4, 2), nn.Tanh(), nn.Conv2d(4, 2, 1)).bfloat16(),
        lambda: images().bfloat16(), "vmap", close=5e-2,
    ),
    "called without gradients, bfloat16": two(
        lambda m, x: m.outer(m.inner(x).tanh() + torch.no_grad()(m.inner)(2 * x)), lambda: vectors().bfloat16(),
        close=8e-2, dtype=torch.bfloat16,
    ),
    "subclass with another convolution": Case(
        lambda: nn.Sequential(OwnConv(2, 4, 2), nn.Tanh(), nn.Conv2d(4, 2, 1)), images, "vmap"
    ),
    "with a child": Case(with_child, vectors, "vmap"),
    "with one more parameter": Case(
        lambda: (lambda m: (put(m[0], more=parameter(2)), m)[1])(around(nn.Tanh())), vectors, "vmap"
    ),
    "checkpoint": Case(lambda: Checkpointed(reentrant=False), vectors),
    "checkpoint, dropout": Case(lambda: Checkpointed(reentrant=False, dropout=0.5), vectors, alone=False),
    "checkpoint, unknown layer": Case(lambda: Checkpointed(layer=nn.PReLU), vectors, "vmap"),
    "saved on the CPU": two(saved_on_cpu),
    "saved on the CPU, unknown layer": two(saved_on_cpu, way="vmap", last=nn.PReLU),
    "checkpoint, reentrant": Case(lambda: Checkpointed(reentrant=True), vectors, "refused"),
    "scripted": Case(lambda: torch.jit.script(Scripted()), vectors, "vmap"),
    "scripted inside": Case(lambda: around(torch.jit.script(Scripted()), 4, 2), vectors, "vmap"),
    "traced": Case(traced, vectors, "vmap"),
    "forces": two(forces, way="loop"),
    "penalty on the slope, later": two(from_the_second_pass(penalised), way="loop", calls=lambda: torch.zeros(())),
    "gate without gradients, later": two(from_the_second_pass(gated), calls=lambda: torch.zeros(())),
    "vmap in the model": two(lambda m, x: torch.func.vmap(lambda row: m.outer(m.inner(row).tanh()))(x), way="vmap"),
    "autocast in the model": two(
        lambda m, x: torch.autocast("cpu", torch.bfloat16)(lambda: m.outer(m.inner(x).tanh()))().float(),
        lambda: vectors().float(), close=3e-2, dtype=torch.float32,
    ),
    "the layer itself": Case(lambda: nn.Linear(WIDE, 3), vectors),
    # Randomness
    "drop path by sample": Case(lambda: around(Residual(by_sample=True)), vectors, alone=False),
    "drop path of the batch": Case(lambda: around(Residual(by_sample=False)), vectors, alone=False),
    "dropout on the input": Case(lambda: nn.Sequential(nn.Dropout(0.5), around(nn.Tanh())), vectors, alone=False),
    "dropout, eval": Case(lambda: around(nn.Dropout(0.5)).eval(), vectors),
    "dropout under an unknown layer": Case(
        lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(WIDE, 3), nn.PReLU(), nn.Dropout(0.5), nn.Linear(3, 2)),
        vectors, "vmap", alone=False,
    ),
    "dropout in an unknown layer": Case(
        lambda: around(Net(lambda m, x: F.dropout(x * m.scale), scale=parameter(WIDE))), vectors, "loop", alone=False
    ),
    "noise added": two(lambda m, x: m.outer((m.inner(x) + torch.randn_like(m.inner(x))).tanh()), alone=False),
    "noise by Python": two(lambda m, x: m.outer(m.inner(x).tanh() * random.random()), alone=False),
    "noise by NumPy": two(lambda m, x: m.outer(m.inner(x).tanh() * float(np.random.rand())), alone=False),
    "noise by a generator": two(
        lambda m, x: m.outer(m.inner(x) + torch.randn(len(x), 1, generator=m.generator)), alone=False,
        generator=lambda: torch.Generator().manual_seed(3),
    ),
    "noise on a weight": two(lambda m, x: m.outer(F.linear(x, m.inner.weight + torch.randn(4, 4)).tanh()),
                             way="loop", alone=False),
}  # fmt: skip
