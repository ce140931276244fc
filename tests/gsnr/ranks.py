"""One rank of test_gsnr_ranks.py, `python ranks.py RANK STORE OUT`: trains every optimizer on its share.

Every rank draws the gradients of all groups and takes its own share, unequal between ranks, so that the result can be
compared with one process that takes them all.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from batchlab.optimizers import LAMB, LARS, VRLAMB, VRLARS, VRSGD, GradientMoments, VRAdam, VRAdamW, VRMomentum
from batchlab.optimizers.gsnr import GSNR

GROUPS, STEPS = 9, 6
MAKE: tuple[type[Optimizer], ...] = (LARS, LAMB, VRSGD, VRMomentum, VRAdam, VRAdamW, VRLARS, VRLAMB)


def train(target: Callable[..., Optimizer], rank: int, world: int) -> tuple[list[list[Tensor]], int]:
    """Parameters after each step, and the number of all-reduces it took."""
    generator = torch.Generator().manual_seed(3)
    parameters = [torch.randn(s, generator=generator).requires_grad_() for s in ((30, 7), (11,), (3, 2, 5))]
    optimizer = target(parameters, lr=0.05, weight_decay=0.01)
    moments = GradientMoments(parameters, elementwise=True)
    calls, path, whole = [], [], dist.all_reduce

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return whole(*args, **kwargs)

    dist.all_reduce = counted
    try:
        for _ in range(STEPS):
            for group in range(GROUPS):
                gradients = [0.3 + torch.randn(p.shape, generator=generator) for p in parameters]
                if (0 if group < GROUPS - 2 else 1) % world == rank:
                    for p, g in zip(parameters, gradients, strict=True):
                        p.grad = g
                    moments.observe(4)
            moments.reduce()
            assert moments.groups == GROUPS
            optimizer.step(moments) if isinstance(optimizer, GSNR) else optimizer.step()
            moments.reset()
            path.append([p.detach().clone() for p in parameters])
    finally:
        dist.all_reduce = whole
    return path, len(calls)


if __name__ == "__main__":
    rank, store, out = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.save({target.__name__: train(target, rank, 2) for target in MAKE}, out)
    dist.destroy_process_group()
