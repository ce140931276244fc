"""Does it pay to train these runs together on this device? Measured once, both ways, and remembered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from batchlab.datasets import data_root
from batchlab.results.store.shapes import finite
from batchlab.runner.train.facts import hardware
from batchlab.runner.train.launched import TOGETHER
from batchlab.runner.train.loop import step
from batchlab.runner.train.rank import Meters
from batchlab.runner.train.remembered import remembered
from batchlab.runner.train.session import Session
from batchlab.runner.train.together.group import Group
from batchlab.runner.train.together.stack import ApartError

LEAST = 1.1
"""Times less time than alone that a group must take."""
ENDS = 0.1
"""Seconds of a processor that a run takes to start and to end beside its steps: two forks, a dozen of files."""
COPIES = 16
"""Runs that are tried together, at most: of more, each takes no longer."""
SECONDS = 0.2
"""Of each of the two trials, about."""


def check_pays(sessions: Sequence[Session]) -> None:
    """See that a group takes less time than its runs one after another, ends included.

    Where a number of runs was asked for (`TOGETHER`), somebody has decided, and nothing is measured.

    Args:
        sessions: of the group; they are not touched.

    Raises:
        ApartError: it takes longer, or cannot be stacked.
    """
    if TOGETHER in os.environ:
        return
    first = sessions[0]
    steps = first.clock.total_steps
    assert steps is not None, "batches that adapt are not stacked"
    folder = data_root(first.config.dataset.get("root")) / "together"
    shapes = {"alone": finite, "together": finite}
    times = remembered(folder, _key(sessions), shapes, lambda: measured(sessions[:COPIES]))
    alone, together = steps * times["alone"], steps * times["together"]
    if alone + ENDS < LEAST * (together + ENDS / len(sessions)):
        raise ApartError("together their steps take as long as alone")


def measured(sessions: Sequence[Session]) -> dict[str, float]:
    """Seconds of a step of one of these runs `alone`, and of its share of a step `together`, on sessions of their own.

    Raises:
        ApartError: they cannot be stacked.
    """
    first = sessions[0]
    device, dataset = first.probe.device, first.dataset
    copies = [Session.build(session.config, device, 0, 1, dataset) for session in sessions]
    alone = Session.build(first.config, device, 0, 1, dataset)
    try:
        group = Group(copies, [torch.Generator() for _ in copies])

        def together() -> None:
            group.set_learning_rates()
            group.step(group.lead.take(group.lead.batch_size()))

        meters = Meters.on(device)

        def one() -> None:
            alone.set_learning_rate()
            step(alone, meters, alone.take(alone.batch_size()))

        return {"alone": _seconds(one, device), "together": _seconds(together, device) / len(sessions)}
    except (RuntimeError, ValueError, TypeError) as error:  # of torch's vmap, of a model that vmap cannot follow
        said = str(error).strip().splitlines()
        raise ApartError(f"{type(error).__name__}: {said[0] if said else ''}".removesuffix(": ")) from error


def _seconds(act: Callable[[], None], device: torch.device) -> float:
    """Of one call: the least of a few, after one that is not counted.

    On a CPU those of the processor: on a busy machine a long step never has it to itself, and a short one often has.
    """

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            return time.perf_counter()
        return time.process_time()

    act()
    times: list[float] = []
    while not times or (sum(times) < SECONDS and len(times) < 50):
        began = now()
        act()
        times.append(now() - began)
    return min(times)


def _key(sessions: Sequence[Session]) -> dict[str, Any]:
    """What the times depend on."""
    first = sessions[0]
    return {
        "model": first.config.model,
        "shape": first.dataset.shape,
        "batch": first.batch_size(),
        "precision": first.config.train.precision,
        "parts": [first.config.train.micro_batch, first.config.train.groups],
        "optimizers": sorted({str(session.config.optimizer["_target_"]) for session in sessions}),
        "rates": len({json.dumps(s.base_lrs) for s in sessions}).bit_length(),
        "runs": min(len(sessions), COPIES).bit_length(),
        "device": hardware(first.probe.device, 1),
        "torch": torch.__version__,
    }
