"""The same parameters whatever the ranks and micro-batches: real gloo processes, batches that never divide evenly."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from runs import one

from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.loop import step
from batchlab.runner.train.rank import Meters
from batchlab.runner.train.session import Session

SIZES = (1, 2, 7, 64, 101, 2, 33, 1, 28, 5) * 2
"""Global batches of 20 steps: some smaller than the ranks, most not divisible by 2 or 3."""
NO_BATCHNORM = ("model=resnet8", "model.norm=group", "model.width=4", "model.groups=2", "train.precision=float64")


def trajectory(rank: int, world: int, folder: Path, tree: dict[str, Any]) -> None:
    """Twenty steps of this rank; rank 0 leaves its parameters and losses in `folder`."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    session = Session.build(RunConfig.of(tree), torch.device("cpu"), rank, world)
    meters = Meters.on(torch.device("cpu"))
    losses = []
    session.forward.train()
    for size in SIZES:
        session.set_learning_rate()
        batch = session.batches.take(size, session.groups)
        loss = step(session, meters, batch).clone()
        session.advance(batch.size)
        if world > 1:
            dist.all_reduce(loss)
        losses.append(float(loss) / batch.size)
    if rank == 0:
        parameters = torch.cat([p.detach().reshape(-1) for p in session.model.parameters()])
        torch.save((parameters, losses), folder / "end.pt")
    if world > 1:
        dist.destroy_process_group()


def run(folder: Path, world: int, *overrides: str) -> tuple[torch.Tensor, list[float]]:
    """Parameters and losses after the twenty steps on `world` ranks."""
    folder.mkdir()
    tree = one(*overrides, f"nproc={world}").tree
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=trajectory, args=(r, world, folder, tree)) for r in range(world)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    parameters, losses = torch.load(folder / "end.pt")
    return parameters, losses


@pytest.mark.parametrize(
    "setup",
    [
        ("optimizer=shb",),
        ("optimizer=shb", "optimizer.fused=true", "train.channels_last=true"),
        ("optimizer=heun",),
        ("optimizer=ab3",),
    ],
    ids=["shb", "fused-channels_last", "heun", "ab3"],
)
def test_same_parameters(setup: tuple[str, ...], tmp_path: Path) -> None:
    expected, losses = run(tmp_path / "one", 1, *NO_BATCHNORM, *setup)
    assert losses[-2] < losses[3], "the comparison means nothing if nothing was learnt"
    others = [(2, 512), (3, 9)] if setup[0] == "optimizer=shb" and len(setup) == 1 else [(2, 20)]
    for world, micro in others:
        parameters, seen = run(tmp_path / f"r{world}", world, *NO_BATCHNORM, *setup, f"train.micro_batch={micro}")
        torch.testing.assert_close(parameters, expected, rtol=0, atol=1e-6)
        assert seen == pytest.approx(losses, abs=1e-6)


def test_same_parameters_in_float32(tmp_path: Path) -> None:
    setup = (*NO_BATCHNORM[:-1], "optimizer.lr=0.01")
    expected, _ = run(tmp_path / "one", 1, *setup)
    parameters, _ = run(tmp_path / "two", 2, *setup, "train.micro_batch=20")
    torch.testing.assert_close(parameters, expected, rtol=0, atol=1e-6)


def test_noise_is_measured_over_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups on one rank are as good as groups on several: both are unbiased, neither is the same to the bit."""
    monkeypatch.setitem(globals(), "SIZES", tuple(size for size in SIZES if size > 1))  # one sample has no variance
    setup = (*NO_BATCHNORM, "optimizer=vr_sgd", "optimizer.lr=0.05")
    expected, losses = run(tmp_path / "one", 1, *setup, "train.groups=8")
    parameters, seen = run(tmp_path / "two", 2, *setup, "train.groups=8")
    assert torch.isfinite(parameters).all()
    assert seen[0] == pytest.approx(losses[0], abs=1e-12)
    assert torch.linalg.vector_norm(parameters - expected) < 0.2 * torch.linalg.vector_norm(expected)


def volumes(rank: int, folder: Path, tree: dict[str, Any]) -> None:
    """What rank 0 of two hands to the others in a step, call by call, in bytes; left in `folder`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    session = Session.build(RunConfig.of(tree), torch.device("cpu"), rank, 2)
    session.forward.train()
    sent: list[int] = []
    real = dist.all_reduce

    def counted(tensor: torch.Tensor, *args: Any, **options: Any) -> Any:
        sent.append(tensor.nbytes)
        return real(tensor, *args, **options)

    dist.all_reduce = counted
    for size in (64, 3):
        step(session, Meters.on(torch.device("cpu")), session.batches.take(size, session.groups))
    if rank == 0:
        parameters = [p.numel() for p in session.model.parameters()]
        (folder / "end.json").write_text(json.dumps([sent, sum(parameters), len(parameters)]))
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("setup", "copies", "padded", "more"),
    [
        (("optimizer=shb", "train.micro_batch=8"), 1, False, 0),
        pytest.param(
            *(("optimizer=shb", "batch_schedule=norm_test", "train.groups=4"), 1, True, 6 * 2), marks=pytest.mark.slow
        ),
        (("optimizer=vr_sgd", "train.groups=8"), 2, True, 6 * 2),
    ],
    ids=["gradient", "and its noise", "and squares"],
)
def test_a_gradient_is_handed_over_once_a_step(
    setup: tuple[str, ...], copies: int, padded: bool, more: int, tmp_path: Path
) -> None:
    """In float32 4 bytes a parameter, and 4 for whether it has a gradient; noise adds what is kept by coordinate.

    Args:
        setup: overrides.
        copies: vectors as long as the gradient.
        padded: each to whole rows of 1,024.
        more: numbers that the ranks tell each other of.
        tmp_path: where the ranks meet.
    """
    tree = one(*NO_BATCHNORM[:-1], *setup, "nproc=2").tree
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=volumes, args=(rank, tmp_path, tree)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    sent, parameters, tensors = json.loads((tmp_path / "end.json").read_text())
    length = -(-parameters // 1024) * 1024 if padded else parameters
    assert sent == [4 * (copies * length + tensors + more)] * 2
