"""Does it pay to train these runs together on this device, and to evaluate them so? Measured once, and remembered."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
SECONDS = 0.1
"""Of each of the trials, about."""
WORTH = 0.03
"""Share of what a group's runs take alone that trying their steps together may cost."""
LONGEST = 1.5
"""Seconds that one step together may take in a trial: of long steps two show what there is to gain."""
LARGEST = 512
"""Samples of a batch that is tried; from there on a step takes as much longer as it has more samples, in either way."""
RARE = 0.01
"""Of a run's samples: what fewer are taken with is no size to try."""
TRIED = 3
"""Sizes that are tried of a batch that grows."""
LOOKED = 256
"""Samples that evaluations are tried with, of groups that pay."""


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
    first, trial = sessions[0], Trial(sessions)
    steps = steps_by_size(first.batch_schedule, first.clock.epoch_size, first.clock.total_samples)
    folder = data_root(first.config.dataset.get("root")) / "together"

    def known(what: str, size: int, find: Callable[..., float], *given: float) -> float:
        key, shape = _key(sessions, size, what), {"seconds": finite}
        return float(remembered(folder, key, shape, lambda: {"seconds": find(size, *given)})["seconds"])

    sizes = _tried(steps, first.groups)[::-1]  # the dearest first, where it shows whether a trial is worth it
    one = {size: known("alone", size, trial.alone) for size in sizes}
    alone = _whole(steps, one) + ENDS
    trial.worth = WORTH * alone * len(sessions)
    shared = {size: known("together", size, trial.together, one[size]) for size in sizes}
    if alone < LEAST * (_whole(steps, shared) + ENDS / len(sessions)):
        raise ApartError("together their steps take as long as alone")
    look = known("looked at alone", LOOKED, trial.looked_at_alone)
    return known("looked at together", LOOKED, trial.looked_at_together, look) < look


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


class Trial:
    """What one of some runs takes alone, and its share of what several take together, on sessions of their own.

    Args:
        sessions: of the runs.

    Attributes:
        worth: seconds that steps which are tried together may take yet; more would cost what it is to save.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = sessions
        self.device = sessions[0].probe.device
        self.worth = math.inf
        self._made = 0.0
        self._groups: dict[int, Group] = {}

    @cached_property
    def _one(self) -> Session:
        began = time.process_time()
        made = self._copy(self.sessions[0])
        self._made = time.process_time() - began
        return made

    def _copy(self, session: Session) -> Session:
        return Session.build(session.config, self.device, 0, 1, session.dataset)

    def _count(self, seconds: float) -> int:
        """As many runs as take no longer than `LONGEST` for what one takes so many seconds for."""
        return min(len(self.sessions), COPIES, max(2, int(LONGEST / seconds)))

    def _group(self, count: int) -> Group:
        if count not in self._groups:
            copies = [self._copy(session) for session in self.sessions[:count]]
            self._groups[count] = Group(copies, [torch.Generator() for _ in copies])
        return self._groups[count]

    def alone(self, size: int) -> float:
        """Seconds of a step alone.

        Args:
            size: samples of a batch.
        """
        session, meters = self._one, Meters.on(self.device)

        def act() -> int:
            session.set_learning_rate()
            batch = session.take(size)
            step(session, meters, batch)
            return batch.size

        return _seconds(act, self.device, size)

    def together(self, size: int, alone: float) -> float:
        """A run's share of the seconds of a step together.

        Args:
            size: samples of a batch.
            alone: seconds of such a step alone.

        Raises:
            ApartError: they cannot be stacked, or trying takes longer than it is worth.
        """
        count = self._count(alone)
        self.worth -= max(SECONDS, 2 * count * alone) + (0.0 if count in self._groups else count * self._made)
        if self.worth < 0:
            raise ApartError("to find out whether that is quicker would take too large a share of the time")
        with _stackable():
            group = self._group(count)

            def act() -> int:
                group.set_learning_rates()
                batch = group.lead.take(size)
                group.step(batch)
                return batch.size

            return _seconds(act, self.device, size) / count

    @torch.no_grad()
    def looked_at_alone(self, size: int) -> float:
        """Seconds of the outputs for samples of the training set, which every data set has.

        Args:
            size: samples, at most.
        """
        probe, model, x = self._one.probe, self._one.model, self._samples(size)
        return _seconds(lambda: len(probe.forward(model.eval(), x)), self.device)

    @torch.no_grad()
    def looked_at_together(self, size: int, alone: float) -> float:
        """A run's share of the seconds of the same.

        Args:
            size: samples, at most.
            alone: what they take alone.

        Raises:
            ApartError: they cannot be stacked.
        """
        x, count = self._samples(size), self._count(alone)
        with _stackable():
            group = self._group(count)

            def act() -> int:
                with autocast(self.device, self._one.config.train.precision):
                    return group.stack.forward(x, training=False).shape[1]

            return _seconds(act, self.device) / count

    def _samples(self, size: int) -> Tensor:
        x: Tensor = next(iter(self._one.probe.batches("train")))[0]
        return x[:size]


@contextmanager
def _stackable() -> Iterator[None]:
    """Whatever torch's vmap, or a model that it cannot follow, raises in the block is an `ApartError`."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        said = str(error).strip().splitlines()
        raise ApartError(f"{type(error).__name__}: {said[0] if said else ''}".removesuffix(": ")) from error


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


def _key(sessions: Sequence[Session], size: int, what: str) -> dict[str, Any]:
    """What the times depend on.

    Args:
        sessions: of the group.
        size: samples that are taken at a time.
        what: is timed.
    """
    first = sessions[0]
    return {
        "what": what,
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
