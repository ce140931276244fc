"""Every optimizer of the family against an independent transcription of its formula, in NumPy float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor

from batchlab.optimizers import LAMB, LARS, VRLAMB, VRLARS, VRSGD, GradientMoments, VRAdam, VRAdamW, VRMomentum
from batchlab.optimizers.gsnr import GSNR

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
SHAPES = ((4, 3), (5,), (2, 3, 2, 2), (6, 2))
GROUPS, STEPS, DECAY = 8, 50, 0.01


# -- the formulas ------------------------------------------------------------------------------------------


@dataclass
class Reference:
    """One layer: weights w, and the state of the formula."""

    rule: str
    w: Array
    lr: float
    decay: float
    upper: float = 1.0
    normalize: str = "once"
    beta3: float | None = None
    t: int = 0
    memory: dict[str, Array] = field(default_factory=dict)

    def multiplier(self, groups: Array) -> Array:
        """p^ of arXiv 2309.13681, Algorithm 1; gamma 0.1, eps 1e-16."""
        mean: Array = groups.sum(0) / len(groups)
        variance = np.maximum((groups**2).sum(0) / len(groups) - mean**2, 0)
        r: Array = mean**2 / (variance + 1e-16)
        if self.normalize != "never":
            r = r / np.mean(r)
        r = np.minimum(np.maximum(r, 0.1), self.upper)
        if self.normalize == "twice":
            r = r / np.mean(r)
        if self.beta3 is None:
            return r
        p = self.remember("p", self.beta3, (1 - self.beta3) * r)
        return np.asarray(p / (1 - self.beta3**self.t))

    def step(self, groups: Array) -> None:
        self.t += 1
        g = groups.mean(0)
        if self.rule.startswith("vr_"):
            g = self.multiplier(groups) * g
        getattr(self, self.rule.removeprefix("vr_"))(g)

    def remember(self, name: str, old: float, new: Array) -> Array:
        self.memory[name] = old * self.memory.get(name, np.zeros_like(new)) + new
        return self.memory[name]

    def sgd(self, g: Array) -> None:
        self.w = self.w - self.lr * (g + self.decay * self.w)

    def momentum(self, g: Array) -> None:
        self.w = self.w - self.lr * self.remember("m", 0.9, g + self.decay * self.w)

    def direction(self, g: Array, eps: float) -> Array:
        m = self.remember("m", 0.9, 0.1 * g) / (1 - 0.9**self.t)
        v = self.remember("v", 0.999, 0.001 * g**2) / (1 - 0.999**self.t)
        return np.asarray(m / (np.sqrt(v) + eps))

    def adam(self, g: Array) -> None:
        self.w = self.w - self.lr * self.direction(g + self.decay * self.w, 1e-8)

    def adamw(self, g: Array) -> None:
        self.w = self.w - self.lr * self.decay * self.w - self.lr * self.direction(g, 1e-8)

    def lars(self, g: Array) -> None:
        rate, decay = 1.0, 0.0
        if self.w.ndim > 1:
            decay = self.decay
            rate = float(0.02 * np.linalg.norm(self.w) / (np.linalg.norm(g) + decay * np.linalg.norm(self.w)))
        self.w = self.w - self.remember("m", 0.9, self.lr * rate * (g + decay * self.w))

    def lamb(self, g: Array) -> None:
        u, rate = self.direction(g, 1e-6), 1.0
        if self.w.ndim > 1:
            u = u + self.decay * self.w
            rate = float(np.linalg.norm(self.w) / np.linalg.norm(u))
        self.w = self.w - self.lr * rate * u


MAKE: dict[str, tuple[Callable[..., torch.optim.Optimizer], float]] = {  # and the learning rate it is run at
    "lars": (lambda p, **k: LARS(p, trust_coefficient=0.02, **k), 1.0),
    "lamb": (lambda p, **k: LAMB(p, **k), 0.02),
    "vr_sgd": (VRSGD, 0.1),
    "vr_momentum": (VRMomentum, 0.02),
    "vr_adam": (VRAdam, 0.01),
    "vr_adamw": (VRAdamW, 0.01),
    "vr_lars": (lambda p, **k: VRLARS(p, trust_coefficient=0.02, **k), 1.0),
    "vr_lamb": (lambda p, **k: VRLAMB(p, **k), 0.02),
}
BETA3 = {"vr_adam": 0.9, "vr_adamw": 0.9, "vr_lamb": 0.9}


# -- running both ------------------------------------------------------------------------------------------


def problem(dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Weights, and the gradients that the noise is added to. Neither depends on the other: errors do not grow."""
    generator = np.random.default_rng(5)
    weights, signals = ([torch.tensor(generator.normal(size=s), dtype=dtype) for s in SHAPES] for _ in range(2))
    return [w.requires_grad_() for w in weights], signals


def noises(seed: int = 9) -> Iterator[list[Array]]:
    """Per step, one array (GROUPS, *shape) for each layer; some coordinates are much noisier than others."""
    generator = np.random.default_rng(seed)
    scales = [np.exp(generator.normal(size=s)) for s in SHAPES]
    while True:
        yield [scale * generator.normal(size=(GROUPS, *scale.shape)) for scale in scales]


def observe(parameters: list[Tensor], signals: list[Tensor], noise: list[Array], moments: GradientMoments) -> None:
    for d in range(GROUPS):
        for p, signal, n in zip(parameters, signals, noise, strict=True):
            p.grad = torch.as_tensor(signal.double().numpy() + n[d], dtype=p.dtype)
        moments.observe(4)
    moments.reduce()


def train(optimizer: torch.optim.Optimizer, parameters: list[Tensor], signals: list[Tensor], steps: int) -> None:
    moments, noise = GradientMoments(parameters, elementwise=True), noises()
    for _ in range(steps):
        observe(parameters, signals, next(noise), moments)
        if isinstance(optimizer, GSNR):
            optimizer.step(moments)
        else:
            optimizer.step()
        moments.reset()


def compare(name: str, dtype: torch.dtype, foreach: bool | None, options: dict[str, Any], lr: float) -> None:
    make, _ = MAKE[name]
    parameters, signals = problem(dtype)
    half = len(SHAPES) // 2
    groups = [{"params": parameters[:half]}, {"params": parameters[half:], "lr": lr / 2, "weight_decay": 0.0}]
    optimizer = make(groups, lr=lr, weight_decay=DECAY, foreach=foreach, **options)
    given = {key: value for key, value in options.items() if key != "upper"}
    given.setdefault("beta3", BETA3.get(name))
    given["upper"] = {"one": 1.0, "inverse": 10.0, "none": np.inf}[str(options.get("upper", "one"))]
    references = []
    for i, p in enumerate(parameters):
        rate, decay = (lr, DECAY) if i < half else (lr / 2, 0.0)
        references.append(Reference(name, p.detach().double().numpy().copy(), rate, decay, **given))
    train(optimizer, parameters, signals, STEPS)
    noise = noises()
    for _ in range(STEPS):
        for layer, signal, n in zip(references, signals, next(noise), strict=True):
            layer.step(
                (signal.double().numpy() + n).astype(np.float32 if dtype == torch.float32 else float).astype(float)
            )
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    for p, layer in zip(parameters, references, strict=True):
        scale = np.abs(layer.w).max()
        np.testing.assert_allclose(p.detach().double().numpy() / scale, layer.w / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", MAKE)
def test_it_is_its_formula_for_fifty_steps(name: str, dtype: torch.dtype, foreach: bool) -> None:
    compare(name, dtype, foreach, {}, MAKE[name][1])


@pytest.mark.parametrize("beta3", [None, 0.8])
@pytest.mark.parametrize("normalize", ["once", "twice", "never"])
@pytest.mark.parametrize("upper", ["one", "inverse", "none"])
def test_the_options_are_their_formulas(upper: str, normalize: str, beta3: float | None) -> None:
    lr = 1e-4 if (upper, normalize) == ("none", "never") else 0.1  # the multiplier has no bound then
    compare("vr_sgd", torch.float64, None, {"upper": upper, "normalize": normalize, "beta3": beta3}, lr)


@pytest.mark.parametrize("name", MAKE)
def test_all_at_a_time_and_one_at_a_time_give_the_same_bits(name: str) -> None:
    make, lr = MAKE[name]
    ends = []
    for foreach in (True, False, None):
        parameters, signals = problem(torch.float32)
        train(make(parameters, lr=lr, weight_decay=DECAY, foreach=foreach), parameters, signals, 20)
        ends.append([p.detach() for p in parameters])
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))
