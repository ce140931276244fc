"""(g) Runs that train together: a step of 16 ResNet-20 at batch 128 in one process, against 16 steps of one alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from batchlab.runner.train.loop import step
from batchlab.runner.train.rank import Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.together.group import Group
from card.epoch import config_of, train_options
from card.part import Part

REPLICAS, BATCH, TURNS = 16, 128, 12
TARGET = 5
BF16: dict[str, object] = {"precision": "bfloat16"}
SETTINGS: dict[str, tuple[dict[str, object], int, bool]] = {
    "float32": ({}, BATCH, False),
    "bf16": (BF16, BATCH, False),
    "float32, searched": ({}, BATCH, True),
    "float32, batch 32": ({}, 32, False),
    "bf16, batch 32": (BF16, 32, False),
}
"""Options, samples of a batch, and whether cuDNN searches for the quickest convolution of each shape."""


def sessions(part: Part, replicas: int, batch: int, settings: dict[str, object]) -> list[Session]:
    """Of runs that differ in seed and learning rate."""
    built: list[Session] = []
    for seed in range(replicas):
        options: dict[str, object] = {"model": "resnet20", "seed": seed, "optimizer__lr": 0.05 * (1 + seed)}
        size = 8 if part.smoke else batch
        config = config_of(part, batch_schedule__size=size, **(options | train_options(settings)))
        built.append(Session.build(config, part.device, 0, 1, built[0].dataset if built else None))
    return built


def alone(part: Part, session: Session) -> Callable[[], float]:
    """Seconds of a step of one."""
    session.forward.train()
    meters = Meters.on(part.device)

    def once() -> None:
        session.set_learning_rate()
        step(session, meters, session.take(session.batch_size()))

    return lambda: part.seconds(once)


def together(part: Part, replicas: Sequence[Session]) -> Callable[[], float]:
    """Seconds of a step of all."""
    group = Group(replicas, [torch.Generator() for _ in replicas])

    def once() -> None:
        group.set_learning_rates()
        group.step(group.lead.take(group.lead.batch_size()))

    return lambda: part.seconds(once)


def compare(part: Part, name: str, settings: dict[str, object], batch: int, searched: bool) -> None:
    """Both ways in turns."""
    torch.backends.cudnn.benchmark = searched
    replicas = 2 if part.smoke else REPLICAS
    one, *group = sessions(part, replicas + 1, batch, settings)
    methods = {"alone": alone(part, one), "together": together(part, group)}
    for method in methods.values():
        method()
        method()
    times = part.turns(methods, 2 if part.smoke else TURNS, 2)
    share = [1e3 * seconds / replicas for seconds in times["together"]]
    part.add(f"step alone, {name}", unit="ms", samples=[1e3 * seconds for seconds in times["alone"]])
    part.add(f"step of {replicas} together, each one's share, {name}", unit="ms", samples=share)
    gained = [replicas * a / t for a, t in zip(times["alone"], times["together"], strict=True)]
    what = f"ResNet-20, batch {batch}" if not part.smoke else "ResNet-8, batch 8"
    part.add(f"times as fast together, {name}", unit="x", samples=gained, note=f"{what}; target {TARGET}")


def measure(part: Part) -> None:
    """In both precisions, and with a smaller batch."""
    for name, settings in SETTINGS.items():
        part.attempt(f"together, {name}", partial(compare, part, name, *settings), 0 if part.smoke else 5)
