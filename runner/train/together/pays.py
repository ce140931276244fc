"""Does it pay to train these runs together on this device, and to evaluate them so? Measured once, and remembered."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from batchlab.datasets import data_root
from batchlab.optimizers.batch import steps_by_size
from batchlab.results.store.shapes import finite
from batchlab.runner.train.facts import hardware
from batchlab.runner.train.gradient import autocast
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
"""Of each of the trials, about."""
LONGEST = 1.5
"""Seconds that one step together may take in a trial: of long steps two show what there is to gain."""
LARGEST = 512
"""Samples of a batch that is tried; from there on a step takes as much longer as it has more samples, in either way."""
RARE = 0.01
"""Of a run's samples: what fewer are taken with is no size to try."""
TRIED = 3
"""Sizes that are tried of a batch that grows."""


def check_pays(sessions: Sequence[Session]) -> bool:
    """See that a group takes less time for its steps than its runs one after another, ends included.

    Where a number of runs was asked for (`TOGETHER`), somebody has decided, and nothing is measured.

    Args:
        sessions: of the group; they are not touched.

    Returns:
        Whether their evaluations take less time together, too.

    Raises:
        ApartError: it takes longer, or cannot be stacked.
    """
    if TOGETHER in os.environ:
        return True
    first = sessions[0]
    steps = steps_by_size(first.batch_schedule, first.clock.epoch_size, first.clock.total_samples)
    folder = data_root(first.config.dataset.get("root")) / "together"
    shapes = dict.fromkeys(("alone", "together", "evaluated_alone", "evaluated_together"), finite)
    found = {
        size: remembered(folder, _key(sessions, size), shapes, partial(measured, sessions, size))
        for size in _tried(steps, first.groups)
    }
    alone, together = (
        _whole(steps, {size: times[way] for size, times in found.items()}) for way in ("alone", "together")
    )
    if alone + ENDS < LEAST * (together + ENDS / len(sessions)):
        raise ApartError("together their steps take as long as alone")
    return all(times["evaluated_together"] < times["evaluated_alone"] for times in found.values())


def _tried(steps: Mapping[int, int], groups: int) -> list[int]:
    """Sizes from the least to the largest of a run's, as far apart as each other in their logarithm.

    What an epoch or a budget leaves for its last step is not among them, unless it is a good part of the run.

    Args:
        steps: samples of a batch -> how many.
        groups: parts that a batch must have at least.
    """
    samples = sum(size * n for size, n in steps.items())
    sizes = [size for size, n in steps.items() if size * n > RARE * samples]
    least, largest = (float(max(groups, min(size, LARGEST))) for size in (min(sizes), max(sizes)))
    return sorted({round(size) for size in np.geomspace(least, largest, TRIED).tolist()})


def _whole(steps: Mapping[int, int], seconds: Mapping[int, float]) -> float:
    """Seconds of all steps of a run.

    Args:
        steps: samples of a batch -> how many.
        seconds: samples of a batch that was tried -> of a step; between two sizes on a line.
    """
    sizes = sorted(seconds)
    times = [seconds[size] for size in sizes]
    largest = sizes[-1]
    return math.fsum(n * float(np.interp(size, sizes, times)) * max(1.0, size / largest) for size, n in steps.items())


def measured(sessions: Sequence[Session], size: int) -> dict[str, float]:
    """What one of these runs takes `alone` and its share of what several take `together`, on sessions of their own.

    Args:
        sessions: of the group.
        size: samples of a batch.

    Returns:
        Seconds of a step, and, `evaluated_`, of the outputs for some samples.

    Raises:
        ApartError: they cannot be stacked.
    """
    first = sessions[0]
    device, dataset = first.probe.device, first.dataset
    alone = Session.build(first.config, device, 0, 1, dataset)
    meters = Meters.on(device)

    def one() -> int:
        alone.set_learning_rate()
        batch = alone.take(size)
        step(alone, meters, batch)
        return batch.size

    seconds = {"alone": _seconds(one, device, size)}
    count = min(len(sessions), COPIES, max(2, int(LONGEST / seconds["alone"])))
    copies = [Session.build(session.config, device, 0, 1, dataset) for session in sessions[:count]]
    try:
        group = Group(copies, [torch.Generator() for _ in copies])

        def together() -> int:
            group.set_learning_rates()
            batch = group.lead.take(size)
            group.step(batch)
            return batch.size

        seconds["together"] = _seconds(together, device, size) / count
        seconds |= _evaluated(alone, group)
    except (RuntimeError, ValueError, TypeError) as error:  # of torch's vmap, of a model that vmap cannot follow
        said = str(error).strip().splitlines()
        raise ApartError(f"{type(error).__name__}: {said[0] if said else ''}".removesuffix(": ")) from error
    return seconds


@torch.no_grad()
def _evaluated(alone: Session, group: Group) -> dict[str, float]:
    """Seconds of the outputs for what an evaluation takes at a time, or for less where that is long.

    Of the training set, which every data set has.
    """
    device, count = alone.probe.device, len(group.sessions)
    x, _ = next(iter(alone.probe.batches("train")))

    def one() -> int:
        return len(alone.probe.forward(alone.model.eval(), x))

    def together() -> int:
        with autocast(device, alone.config.train.precision):
            return group.stack.forward(x, training=False).shape[1]

    x = x[: max(1, int(len(x) * min(1.0, LONGEST / (count * _seconds(one, device)))))]
    return {"evaluated_alone": _seconds(one, device), "evaluated_together": _seconds(together, device) / count}


def _seconds(act: Callable[[], int], device: torch.device, samples: int | None = None) -> float:
    """Of one call: the least of a few, after one that is not counted.

    On a CPU those of the processor: on a busy machine a long step never has it to itself, and a short one often has.

    Args:
        act: returns how many samples it took.
        device: where.
        samples: where others than these are taken, as at the end of an epoch, it does not count.
    """

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            return time.perf_counter()
        return time.process_time()

    act()
    spent, calls = 0.0, 0
    times: list[float] = []
    while not times or (spent < SECONDS and calls < 50):
        began = now()
        taken = act()
        took = now() - began
        spent, calls = spent + took, calls + 1
        if samples in (None, taken) or calls == 50:
            times.append(took)
    return min(times)


def _key(sessions: Sequence[Session], size: int) -> dict[str, Any]:
    """What the times depend on."""
    first = sessions[0]
    return {
        "model": first.config.model,
        "shape": first.dataset.shape,
        "batch": size,
        "precision": first.config.train.precision,
        "parts": [first.config.train.micro_batch, first.config.train.groups],
        "optimizers": sorted({str(session.config.optimizer["_target_"]) for session in sessions}),
        "rates": len({json.dumps(s.base_lrs) for s in sessions}).bit_length(),
        "runs": min(len(sessions), COPIES).bit_length(),
        "device": hardware(first.probe.device, 1),
        "torch": torch.__version__,
    }
