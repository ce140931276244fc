"""(b) What a step of the optimizers costs on the 62 tensors of a ResNet-18, and what the norm tests add to a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.optimizers import LAMB, LARS, VRLAMB, VRLARS, VRSGD, GradientMoments, VRAdam, VRMomentum
from batchlab.runner.models import CifarResNet, imagenet_resnet
from batchlab.runner.train.loop import step
from batchlab.runner.train.rank import Meters
from batchlab.runner.train.session import Session
from card.epoch import config_of
from card.part import Part, median, ratios

GROUPS = 8
SGD, ADAMW = "torch SGD momentum, foreach", "torch AdamW, foreach"


class Plain:
    """An optimizer's step on gradients that are there."""

    def __init__(self, part: Part, make: Callable[[list[Tensor]], Any]) -> None:
        self.x = tensors(part)
        self.optimizer = make(self.x)

    def prepare(self) -> None:
        """Nothing to do."""

    def __call__(self) -> None:
        self.optimizer.step()


class FromMoments(Plain):
    """A VR optimizer's step: of the moments of `prepare`, which takes no part in the time."""

    def __init__(self, part: Part, make: Callable[[list[Tensor]], Any]) -> None:
        super().__init__(part, make)
        self.moments = GradientMoments(self.x, elementwise=True)
        self.gradients = [[torch.randn_like(p) for p in self.x] for _ in range(2)]

    def prepare(self) -> None:
        """Observe the groups."""
        self.moments.reset()
        for k in range(GROUPS):
            for p, gradient in zip(self.x, self.gradients[k % 2], strict=True):
                p.grad = gradient
            self.moments.observe(32)

    def __call__(self) -> None:
        self.moments.reduce()
        self.optimizer.step(self.moments)


def tensors(part: Part) -> list[Tensor]:
    """Parameters with random gradients."""
    model: nn.Module = imagenet_resnet(shape=(3, 32, 32), classes=10, depth=18)
    if part.smoke:
        model = CifarResNet(shape=(3, 32, 32), classes=10, depth=8)
    found: list[Tensor] = list(model.to(part.device).parameters())
    for p in found:
        p.grad = torch.randn_like(p)
    return found


def contenders(part: Part) -> dict[str, Plain]:
    """By name; the peers are torch's own and, where it is installed, pytorch_optimizer's."""
    decay: dict[str, Any] = {"lr": 1e-6, "weight_decay": 1e-4}
    made: dict[str, tuple[type[Plain], Callable[[list[Tensor]], Any]]] = {
        SGD: (Plain, lambda x: torch.optim.SGD(x, momentum=0.9, foreach=True, **decay)),
        "torch SGD momentum, fused": (Plain, lambda x: torch.optim.SGD(x, momentum=0.9, fused=True, **decay)),
        ADAMW: (Plain, lambda x: torch.optim.AdamW(x, foreach=True, **decay)),
        "torch AdamW, fused": (Plain, lambda x: torch.optim.AdamW(x, fused=True, **decay)),
        "LARS": (Plain, lambda x: LARS(x, **decay)),
        "LAMB": (Plain, lambda x: LAMB(x, **decay)),
        "VRSGD": (FromMoments, lambda x: VRSGD(x, lr=1e-6)),
        "VRMomentum": (FromMoments, lambda x: VRMomentum(x, lr=1e-6)),
        "VRAdam": (FromMoments, lambda x: VRAdam(x, lr=1e-6)),
        "VRLARS": (FromMoments, lambda x: VRLARS(x, lr=1e-6)),
        "VRLAMB": (FromMoments, lambda x: VRLAMB(x, lr=1e-6)),
    }
    try:
        import pytorch_optimizer
    except ImportError:
        part.add("pytorch_optimizer", note="is not installed: LARS and LAMB have torch's own as peers alone")
    else:
        made["pytorch_optimizer LARS"] = (Plain, lambda x: pytorch_optimizer.LARS(x, foreach=True, **decay))
        made["pytorch_optimizer LAMB"] = (Plain, lambda x: pytorch_optimizer.Lamb(x, foreach=True, **decay))
    return {name: kind(part, make) for name, (kind, make) in made.items()}


def optimizers(part: Part) -> None:
    """All in turns: the time to the end of the step, launches included, and the time to have it launched."""
    steps = contenders(part)
    turns = 3 if part.smoke else 40
    whole: dict[str, list[float]] = {name: [] for name in steps}
    launched: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 3):
        for name, one in steps.items():
            one.prepare()
            part.wait()
            began = time.perf_counter()
            one()
            middle = time.perf_counter()
            part.wait()
            if turn >= 3:  # state is made and memory found in the first turns
                whole[name].append(time.perf_counter() - began)
                launched[name].append(middle - began)
    theirs = {"LARS": [SGD, "pytorch_optimizer LARS"], "LAMB": [ADAMW, "pytorch_optimizer LAMB"]}
    theirs |= {name: [SGD, ADAMW] for name in ("VRSGD", "VRMomentum", "VRLARS")}
    theirs |= {name: [ADAMW] for name in ("VRAdam", "VRLAMB")}
    for name, seconds in whole.items():
        milliseconds = [1e3 * s for s in seconds]
        note = f"launched after {1e3 * median(launched[name]):.2f} ms"
        peers = [peer for peer in theirs.get(name, []) if peer in whole]
        for peer in peers:
            pairs = ratios(seconds, whole[peer])
            part.add(f"step of {name}", unit="ms", samples=milliseconds, peer=peer, ratios=pairs, note=note)
        if not peers:
            part.add(f"step of {name}", unit="ms", samples=milliseconds, note=note)


def stepping(part: Part, **options: object) -> Callable[[], float]:
    """A training step of a session at a batch that stays, its test included: its seconds."""
    config = config_of(part, **options)
    session = Session.build(config, part.device, 0, 1)
    session.forward.train()
    meters = Meters.on(part.device)
    size = 32 if part.smoke else 512
    session.batch_schedule.size(session.clock)  # now it knows the training set
    hold(session)
    if session.moments is not None:
        session.set_measuring()

    def once() -> None:
        session.set_learning_rate()
        loss = step(session, meters, session.batches.take(size, session.groups))
        del loss
        if session.moments is not None:
            session.batch_schedule.update(session.moments)
            session.set_measuring()

    return lambda: part.seconds(once)


def hold(session: Session) -> None:
    """Keep an adaptive batch at its first size: every step is tested, and all steps have the same work to do."""
    schedule: Any = session.batch_schedule
    if schedule.deterministic:
        return
    update = schedule.update

    def updated(moments: GradientMoments) -> None:
        update(moments)
        schedule.value = schedule.initial

    schedule.update = updated


def norm_tests(part: Part) -> None:
    """The norm test against the same model and micro-batches without it, ResNet-18 at batch 512 in float32.

    Its batch would grow; here it is held, so that all have the same work to do.
    """
    test: dict[str, object] = {"batch_schedule": "norm_test", "batch_schedule__initial": 32 if part.smoke else 512}
    norm: dict[str, object] = {"model__norm": "group", "train__micro_batch": 128 if not part.smoke else 32}
    if part.smoke:
        norm["model__groups"] = 8
    methods = {
        "constant batch": stepping(part),
        f"constant batch in {GROUPS} parts": stepping(part, train__groups=GROUPS),
        f"norm test, {GROUPS} groups": stepping(part, train__groups=GROUPS, **test),
        "constant batch, GroupNorm": stepping(part, **norm),
        "norm test, per_sample, GroupNorm": stepping(part, batch_schedule__estimator="per_sample", **test, **norm),
    }
    for method in methods.values():
        method()
        method()
    times = part.turns(methods, 2 if part.smoke else 25, 3)
    pairs = [
        (f"norm test, {GROUPS} groups", f"constant batch in {GROUPS} parts", "target 1.05"),
        (f"norm test, {GROUPS} groups", "constant batch", ""),
        ("norm test, per_sample, GroupNorm", "constant batch, GroupNorm", "target 1.5"),
    ]
    for name in ("constant batch", f"constant batch in {GROUPS} parts", "constant batch, GroupNorm"):
        part.add(f"training step, {name}", unit="ms", samples=[1e3 * s for s in times[name]])
    for name, peer, note in pairs:
        samples, found = [1e3 * s for s in times[name]], ratios(times[name], times[peer])
        part.add(f"training step, {name}", unit="ms", samples=samples, peer=peer, ratios=found, note=note)


def measure(part: Part) -> None:
    """Both."""
    for title, work in {"optimizers": optimizers, "norm tests": norm_tests}.items():
        part.attempt(title, partial(work, part), 0 if part.smoke else 10)
