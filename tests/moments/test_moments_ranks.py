"""The same numbers whether groups are ranks or micro-batches: real gloo processes, one all-reduce per step."""

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.optimizers.moments import GradientMoments

Task = Callable[[int, int, torch.dtype, dict[str, Any]], dict[str, Any]]
GROUPS = [3, 1, 4, 2, 5, 1]  # samples
OWNERS = {1: [0] * 6, 2: [0, 1, 1, 0, 1, 0], 3: [0, 2, 0, 2, 0, 0]}  # with 3 ranks, one has nothing to do


class Sometimes(nn.Module):
    """A model whose extra layer only some samples reach, in some micro-batches none, and one that none does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.extra, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.never = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        reach = x[:, 0].detach() > 0.5
        return self.out(h.index_add(0, reach.nonzero()[:, 0], self.extra(h[reach])) if reach.any() else h)


def losses_of(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="none")


def step(rank: int, world: int, dtype: torch.dtype, options: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    model = Sometimes().to(dtype)
    x, y = torch.randn(sum(GROUPS), 4, dtype=dtype), torch.randint(3, (sum(GROUPS),))
    moments = GradientMoments(model.parameters(), **options)
    reductions = []
    original = dist.all_reduce
    dist.all_reduce = lambda tensor, **kwargs: reductions.append(tensor.numel()) or original(tensor, **kwargs)
    for _ in range(2):
        reductions.clear()
        for owner, xs, ys in zip(OWNERS[world], x.split(GROUPS), y.split(GROUPS), strict=True):
            if owner == rank:
                moments.backward(model, losses_of, xs, ys)
        moments.reduce()
        result = {
            "reductions": list(reductions),
            "mean": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
            "counts": (moments.samples, moments.groups),
            "variance": moments.variance(),
            "norm": moments.norm_squared(),
        }
        if moments.elementwise:
            result["second"] = [t.clone() for t in moments.second_moments()]
        if moments.inner_products:
            result["along"] = moments.inner_product_variance()
        moments.reset()
    dist.all_reduce = original
    return result


def count(rank: int, world: int, dtype: torch.dtype, options: dict[str, Any]) -> dict[str, Any]:
    """Groups of more samples than float32 can count."""
    weight = torch.ones(2, dtype=dtype, requires_grad=True)
    moments = GradientMoments([weight], **options)
    weight.grad = torch.full((2,), float(rank), dtype=dtype)
    moments.observe(2**24 + 1)
    moments.reduce()
    return {"samples": moments.samples, "variance": moments.variance()}


def rank_main(task: Task, rank: int, world: int, folder: str, dtype: torch.dtype, options: dict[str, Any]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.save(task(rank, world, dtype, options), f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def on_ranks(task: Task, world: int, dtype: torch.dtype, options: dict[str, Any]) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        arguments = [(task, rank, world, folder, dtype, options) for rank in range(world)]
        processes = [context.Process(target=rank_main, args=a) for a in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            assert process.exitcode == 0
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(world)]


@pytest.mark.parametrize(
    ("options", "close"),
    [
        ({"elementwise": True}, {"rtol": 1e-12, "atol": 1e-15}),
        ({"estimator": "ddp_norm"}, {"rtol": 1e-12, "atol": 1e-15}),
        ({"inner_products": True}, {"rtol": 1e-12, "atol": 1e-15}),
        ({"estimator": "per_sample", "elementwise": True, "inner_products": True}, {"rtol": 1e-12, "atol": 1e-15}),
        ({"elementwise": True, "inner_products": True}, {"rtol": 1e-5, "atol": 1e-8}),
    ],
    ids=["groups", "ddp_norm", "inner_products", "per_sample", "float32"],
)
def test_ranks_and_micro_batches_are_the_same_groups(options: dict[str, Any], close: dict[str, float]) -> None:
    dtype = torch.float64 if close["rtol"] < 1e-10 else torch.float32
    alone = step(0, 1, dtype, options)
    assert alone.pop("reductions") == []
    assert alone["counts"] == (16, 16 if options.get("estimator") == "per_sample" else 6)
    assert [g is None for g in alone["mean"]] == [False] * 6 + [True] * 2
    for world in (1, 2, 3):
        for result in on_ranks(step, world, dtype, options):
            reductions = result.pop("reductions")
            # One for everything, and for the inner products, which need the mean first, one number more.
            assert len(reductions) == (0 if world == 1 else 1 + bool(options.get("inner_products")))
            assert reductions[1:] == [1] * len(reductions[1:])
            torch.testing.assert_close(result, alone, **close)


def test_counts_survive_the_float32_reduction() -> None:
    size = 2**24 + 1
    for result in on_ranks(count, 2, torch.float32, {}):
        assert result["samples"] == 2 * size
        assert result["variance"] == pytest.approx(2 * 2 * size / 4, rel=1e-6)  # 2 coordinates, means 0 and 1
