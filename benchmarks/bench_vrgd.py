"""What a step of LARS, LAMB, the VR optimizers and the integrators costs beside torch.optim and pytorch_optimizer.

    OMP_NUM_THREADS=1 python benchmarks/bench_vrgd.py [--repeat N] [--device cpu]

The parameters are the 62 tensors (11.2 million numbers) of a ResNet-18 with 10 classes, the gradients random. The time
of a step starts where the loop has its gradients, for the VR optimizers where all groups have been observed (so that
`moments.reduce()`, which makes means of the sums, is part of it), and ends when the parameters have moved. The
optimizers take turns; a ratio is the median over turns of ours to the peer's in the same turn. On a CPU the times are
those of the thread, so that another process on the machine counts little.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytorch_optimizer
import torch
import torchvision
from torch import Tensor

from batchlab.optimizers import (
    GSNR,
    LAMB,
    LARS,
    VRLAMB,
    VRLARS,
    VRSGD,
    AdamsBashforth,
    GradientMoments,
    Taylor,
    VRAdam,
    VRAdamW,
    VRMomentum,
)

Step = Callable[[], object]
GROUPS = 8


def parameters(device: str) -> list[Tensor]:
    model = torchvision.models.resnet18(num_classes=10).to(device)
    found: list[Tensor] = list(model.parameters())
    for p in found:
        p.grad = torch.randn_like(p)
    return found


class FromMoments:
    """A VR optimizer's step: of the moments of `prepare`, which takes no part in the time."""

    def __init__(self, target: Callable[..., GSNR], device: str, **options: float) -> None:
        self.x = parameters(device)
        self.moments = GradientMoments(self.x, elementwise=True)
        self.optimizer = target(self.x, **options)
        self.gradients = [[torch.randn_like(p) for p in self.x] for _ in range(2)]

    def prepare(self) -> None:
        self.moments.reset()
        for k in range(GROUPS):
            for p, gradient in zip(self.x, self.gradients[k % 2], strict=True):
                p.grad = gradient
            self.moments.observe(32)

    def __call__(self) -> None:
        self.moments.reduce()
        self.optimizer.step(self.moments)


def contenders(device: str) -> dict[str, Step]:
    sgd, adam = torch.optim.SGD, torch.optim.Adam
    decay: dict[str, Any] = {"lr": 1e-6, "weight_decay": 1e-4}
    steps: dict[str, Step] = {
        "torch SGD momentum, foreach": sgd(parameters(device), lr=1e-6, momentum=0.9, foreach=True).step,
        "torch Adam, foreach": adam(parameters(device), lr=1e-6, foreach=True).step,
        "torch Adam, fused": adam(parameters(device), lr=1e-6, fused=True).step,
        "LARS": LARS(parameters(device), **decay).step,
        "LAMB": LAMB(parameters(device), **decay).step,
        "Taylor": Taylor(parameters(device), lr=1e-6).step,
        "ab2": AdamsBashforth(parameters(device), lr=1e-6, order=2).step,
        "ab4": AdamsBashforth(parameters(device), lr=1e-6, order=4).step,
        "VRSGD": FromMoments(VRSGD, device, lr=1e-6),
        "VRMomentum": FromMoments(VRMomentum, device, lr=1e-6),
        "VRAdam": FromMoments(VRAdam, device, lr=1e-6),
        "VRAdamW": FromMoments(VRAdamW, device, lr=1e-6),
        "VRLARS": FromMoments(VRLARS, device, lr=1e-6),
        "VRLAMB": FromMoments(VRLAMB, device, lr=1e-6),
    }
    for foreach in (True, False):
        for name, theirs in (("LARS", pytorch_optimizer.LARS), ("LAMB", pytorch_optimizer.Lamb)):
            optimizer = theirs(parameters(device), foreach=foreach, **decay)
            steps[f"pytorch_optimizer {name}, {'foreach' if foreach else 'plain'}"] = optimizer.step
    return steps


PEERS = {  # ours: those it is measured against
    "LARS": ("pytorch_optimizer LARS, foreach", "pytorch_optimizer LARS, plain"),
    "LAMB": ("pytorch_optimizer LAMB, foreach", "pytorch_optimizer LAMB, plain"),
    "Taylor": ("torch SGD momentum, foreach",),
    "ab2": ("torch SGD momentum, foreach",),
    "ab4": ("torch SGD momentum, foreach",),
    **dict.fromkeys(("VRSGD", "VRMomentum", "VRAdam", "VRAdamW", "VRLARS", "VRLAMB"), ("torch Adam, foreach",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps = contenders(arguments.device)
    on_gpu = arguments.device != "cpu"
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(arguments.repeat + 3):
        for name, step in steps.items():
            if isinstance(step, FromMoments):
                step.prepare()
                if on_gpu:
                    torch.cuda.synchronize()
            start = time.perf_counter() if on_gpu else time.thread_time()
            step()
            if on_gpu:
                torch.cuda.synchronize()
            elapsed = (time.perf_counter() if on_gpu else time.thread_time()) - start
            if turn >= 3:  # state is made and memory found in the first turns
                times[name].append(elapsed)
    device = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    peer = version("pytorch_optimizer")
    print(f"torch {torch.__version__}, pytorch_optimizer {peer}, {device}, one thread, {arguments.repeat} turns")
    for name in steps:
        print(f"{1e3 * statistics.median(times[name]):8.2f} ms  {name}")
    for ours, peers in PEERS.items():
        for theirs in peers:
            ratio = statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))
            print(f"{ratio:8.2f}     {ours} / {theirs}")


if __name__ == "__main__":
    main()
