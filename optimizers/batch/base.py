"""The base class of batch-size schedules, and how many steps a budget takes with one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from typing import Any, Literal

from batchlab.optimizers.clock import Clock, Unit
from batchlab.optimizers.needs import Moments, Nothing, ignore

__all__ = ["BatchSchedule", "check_batch", "largest_batch", "steps_by_size", "total_steps"]


class BatchSchedule(ABC):
    """The global batch size of every step.

    A subclass gives `planned`, and `changes` where it can, which lets `total_steps` count a long run at once.
    One that listens to the gradient sets `needs = "moments"` (or `Moments(...)`, see `batchlab.optimizers.needs`), and
    gives `update`, `record` and the state.
    """

    needs: Moments | Nothing | Literal["moments"] | None = None
    """What `update` is given after each step; None or Nothing() for a schedule that does not listen."""

    @property
    def deterministic(self) -> bool:
        """Whether the clock alone determines the size, so that the number of steps is known in advance."""
        return self.needs is None or isinstance(self.needs, Nothing)

    @property
    def limit(self) -> int | None:
        """Where the gradient decides, the most samples that a batch may come to; None: the training set."""
        return None

    def size(self, clock: Clock) -> int:
        """Samples in the coming global batch, at most the training set.

        (The end of an epoch may still cut the batch shorter: the loader does that.)

        Raises:
            ValueError: the very first batch is larger than the training set: a mistake rather than growth. Or `planned`
                gives something else than a whole number of samples, at least 1.
        """
        planned = self.planned(clock)
        if type(planned) is not int or planned < 1:  # cheap where all is well: asked at every step
            planned = self._whole(planned)
        if clock.steps == 0 and planned > clock.epoch_size:
            raise ValueError(
                f"a first batch of {planned} is larger than the training set of {clock.epoch_size} samples: lower it"
            )
        return min(planned, clock.epoch_size)

    def _whole(self, planned: Any) -> int:
        """What `planned` gave, as an int where it is one under another name, as numpy's are."""
        if isinstance(planned, bool) or not isinstance(planned, Integral) or planned < 1:
            raise ValueError(
                f"{type(self).__name__}.planned gives {planned!r}: it must be a whole number of samples, at least 1"
            )
        return int(planned)

    @abstractmethod
    def planned(self, clock: Clock) -> int:
        """The size before it is limited to the training set: a whole number, at least 1."""

    def changes(self, clock: Clock) -> tuple[Unit, float]:
        """The earliest time after `clock` at which the size may be another, and the clock it is told on."""
        return "steps", clock.steps + 1

    update = ignore

    @property
    def listening(self) -> bool:
        """Whether the coming step's moments will be looked at; if not, they need not be measured."""
        return not (self.needs is None or isinstance(self.needs, Nothing))

    def record(self) -> dict[str, float]:
        """What to log about the last step."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State to checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave."""


def check_batch(name: str, size: int | None) -> None:
    """Raise ValueError unless `size` is None or a positive whole number that 64 bits hold."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**63):
        most = ", below 2^63" if isinstance(size, int) and size > 1 else ""
        raise ValueError(f"{name}={size} must be a whole number of samples, at least 1{most}")


def total_steps(schedule: BatchSchedule, epoch_size: int, total_samples: int) -> int | None:
    """The steps that a budget takes, epochs' partial batches included; None where the gradient decides.

    The run is simulated, but whole stretches of one batch size are counted at once, so that 300 epochs of
    single samples cost no more than 300 epochs of full batches.

    Args:
        schedule: gives the sizes.
        epoch_size: samples in the training set.
        total_samples: the budget; the last batch is cut to it.

    Example:
        >>> from batchlab.optimizers.batch import Constant
        >>> total_steps(Constant(size=128), 50_000, 300 * 50_000)
        117300
    """
    if not schedule.deterministic:
        return None
    return steps_by_size(schedule, epoch_size, total_samples).total()


def steps_by_size(schedule: BatchSchedule, epoch_size: int, total_samples: int) -> Counter[int]:
    """Samples of a batch -> the steps that are taken with it, an epoch's last smaller batch counted as the others.

    Args:
        schedule: gives the sizes, whatever the gradient is.
        epoch_size: samples in the training set.
        total_samples: the budget; the last batch is cut to it.

    Example:
        >>> from batchlab.optimizers.batch import Constant
        >>> steps_by_size(Constant(size=128), 1_000, 1_500)
        Counter({128: 12})
    """
    steps: Counter[int] = Counter()
    for taken, size in _stretches(schedule, epoch_size, total_samples):
        steps[size] += taken
    return steps


def largest_batch(schedule: BatchSchedule, epoch_size: int, total_samples: int) -> int:
    """The most samples that a step takes, epochs' ends considered; where the gradient decides, what it may come to.

    Args:
        schedule: gives the sizes.
        epoch_size: samples in the training set.
        total_samples: the budget; the last batch is cut to it.

    Example:
        >>> from batchlab.optimizers.batch import Constant
        >>> largest_batch(Constant(size=4096), 50_000, 2_000)
        2000
    """
    if not schedule.deterministic:
        return min(epoch_size if schedule.limit is None else schedule.limit, epoch_size, total_samples)
    return max(size for _, size in _stretches(schedule, epoch_size, total_samples))


def _stretches(schedule: BatchSchedule, epoch_size: int, total_samples: int) -> Iterator[tuple[int, int]]:
    """(steps, samples of the largest) of stretches of one batch size, from the run's beginning to its end."""
    clock = Clock(0, 0, epoch_size, total_samples, None)
    while clock.samples < total_samples:
        before, size = clock, schedule.size(clock)
        unit, until = schedule.changes(clock)
        clock = _advance(clock, size, unit, until)
        left = min(epoch_size - before.samples % epoch_size, total_samples - before.samples)
        yield clock.steps - before.steps, min(size, left)


def _advance(clock: Clock, size: int, unit: Unit, until: float) -> Clock:
    """The clock after steps of one size.

    Over whole epochs where `until` lies beyond them; else to whichever comes first, the end of this epoch or
    the first step at or after `until`.
    """
    n, place = clock.epoch_size, clock.samples % clock.epoch_size
    samples_left = steps_left = clock.total_samples - clock.samples
    if unit == "steps":
        steps_left = math.ceil(until) - clock.steps
    else:
        limit = until if unit == "samples" else until * n
        samples_left = math.ceil(min(limit, clock.total_samples)) - clock.samples
    per_epoch = -(-n // size)
    epochs = 0 if place else min(samples_left // n, steps_left // per_epoch)
    if epochs > 0:
        return replace(clock, samples=clock.samples + epochs * n, steps=clock.steps + epochs * per_epoch)
    end = min(n - place, clock.total_samples - clock.samples)
    steps = max(1, min(-(-min(end, samples_left) // size), steps_left))
    return replace(clock, samples=clock.samples + min(steps * size, end), steps=clock.steps + steps)
