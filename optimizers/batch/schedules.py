"""Batch-size schedules that are known in advance, and the base class of those that are not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from typing_extensions import override

from batchlab.optimizers.clock import Clock, Unit, check_every, check_unit, next_stair, stair
from batchlab.optimizers.needs import Moments, ignore

__all__ = [
    "BatchSchedule",
    "Constant",
    "Exponential",
    "ExponentialCapped",
    "LinearRamp",
    "Stagewise",
    "total_steps",
]


class BatchSchedule(ABC):
    """The global batch size of every step.

    A subclass gives `planned`, and `changes` where it can, which lets `total_steps` count a long run at once.
    One that listens to the gradient sets `needs = "moments"` (or `Moments(...)`, see `batchlab.optimizers.needs`), and
    gives `update`, `record` and the state.
    """

    needs: Moments | Literal["moments"] | None = None
    """What `update` is given after each step; None for a schedule that does not listen."""

    @property
    def deterministic(self) -> bool:
        """Whether the clock alone determines the size, so that the number of steps is known in advance."""
        return self.needs is None

    def size(self, clock: Clock) -> int:
        """Samples in the coming global batch, at most the training set.

        (The end of an epoch may still cut the batch shorter: the loader does that.)

        Raises:
            ValueError: the very first batch is larger than the training set: a mistake rather than growth.
        """
        planned = self.planned(clock)
        if clock.steps == 0 and planned > clock.epoch_size:
            raise ValueError(
                f"a first batch of {planned} is larger than the training set of {clock.epoch_size} samples: lower it"
            )
        return min(planned, clock.epoch_size)

    @abstractmethod
    def planned(self, clock: Clock) -> int:
        """The size before it is limited to the training set."""

    def changes(self, clock: Clock) -> tuple[Unit, float]:
        """The earliest time after `clock` at which the size may be another, and the clock it is told on."""
        return "steps", clock.steps + 1

    update = ignore

    @property
    def listening(self) -> bool:
        """Whether the coming step's moments will be looked at; if not, they need not be measured."""
        return self.needs is not None

    def record(self) -> dict[str, float]:
        """What to log about the last step."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State to checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave."""


def check_batch(name: str, size: int | None) -> None:
    """Raise ValueError unless `size` is None or a positive whole number."""
    if size is not None and (not isinstance(size, int) or size < 1):
        raise ValueError(f"{name}={size} must be a whole number of samples, at least 1")


class Constant(BatchSchedule):
    """The same batch size at every step.

    Args:
        size: samples in a global batch.
    """

    def __init__(self, *, size: int = 128) -> None:  # no dataclass: the field would hide the method of this name
        check_batch("size", size)
        self.samples = size

    @override
    def planned(self, clock: Clock) -> int:
        return self.samples

    @override
    def changes(self, clock: Clock) -> tuple[Unit, float]:
        return "samples", math.inf


@dataclass(frozen=True, kw_only=True)
class _Stairs(BatchSchedule):
    """The size depends on the stair that the clock stands on.

    Args:
        initial: size on the first stair.
        every: length of a stair in units of the clock; None = equal shares of the budget.
        clock: what `every` counts: samples, steps or epochs (fractions of an epoch count).
        maximum: the largest size; None = the training set.
    """

    initial: int
    every: float | None = None
    clock: Unit = "epochs"
    maximum: int | None = None

    def __post_init__(self) -> None:
        check_unit(self.clock)
        check_every("every", self.every)
        check_batch("initial", self.initial)
        check_batch("maximum", self.maximum)
        if self.maximum is not None and self.maximum < self.initial:
            raise ValueError(f"maximum={self.maximum} is below initial={self.initial}")

    @override
    def planned(self, clock: Clock) -> int:
        size = self._on_stair(stair(clock.time(self.clock), self._length(clock)), clock)
        return size if self.maximum is None else min(size, self.maximum)

    @override
    def changes(self, clock: Clock) -> tuple[Unit, float]:
        return self.clock, next_stair(clock.time(self.clock), self._length(clock))

    def _length(self, clock: Clock) -> float:
        return clock.total(self.clock) / self._shares(clock) if self.every is None else self.every

    def _shares(self, clock: Clock) -> int:
        """How many stairs the budget is shared by where `every` is None."""
        return 10

    @abstractmethod
    def _on_stair(self, j: int, clock: Clock) -> int:
        """The size on stair j = 0, 1, ..."""


@dataclass(frozen=True, kw_only=True)
class Exponential(_Stairs):
    """b = initial factor^floor(t / every), at most maximum (arXiv 2508.03105, cases (ii) to (iv)).

    Published: 8 doubled every 30 of 300 epochs, 8 ... 4,096. A size that is not whole is rounded up.

    Args:
        factor: growth per stair (delta in the paper).
        every: None = a tenth of the budget, as published.
    """

    initial: int = 8
    factor: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factor > 0:
            raise ValueError(f"factor={self.factor} must be positive")

    @override
    def _on_stair(self, j: int, clock: Clock) -> int:
        return _ceil(self.initial * _power(self.factor, j), clock)


@dataclass(frozen=True, kw_only=True)
class ExponentialCapped(_Stairs):
    """b_j = ceil(min(a delta^j + (b_0 - a), b_max)), with a such that the last stair of the run is at b_max.

    a = (b_max - b_0) / (delta^(k - 1) - 1) on k stairs; 8 to 1,024 in ten: 8 10 14 22 38 70 134 261 516 1024
    (arXiv 2508.03105, authors' code).

    Args:
        factor: delta, the growth of the increments from stair to stair.
        every: None = a tenth of the budget, as published.
        maximum: b_max; None = the training set.
    """

    initial: int = 8
    factor: float = 2.0
    maximum: int | None = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factor > 1:
            raise ValueError(f"factor={self.factor} must be above 1")

    @override
    def _on_stair(self, j: int, clock: Clock) -> int:
        b0, top = self.initial, clock.epoch_size if self.maximum is None else self.maximum
        stairs = clock.total(self.clock) / self._length(clock)
        if stairs <= 1:
            raise ValueError(
                f"every={self.every} leaves one stair in {clock.total(self.clock):g} {self.clock}, so the "
                "batch never grows: lower it"
            )
        a = (top - b0) / (_power(self.factor, stairs - 1) - 1)
        return _ceil(min(a * _power(self.factor, j) + (b0 - a), top), clock)


@dataclass(frozen=True, kw_only=True)
class LinearRamp(_Stairs):
    """b = initial + increment floor(t / every), at most maximum.

    The linear ramp is a baseline in AdAdaGrad's code (arXiv 2402.11215) with an increment of 256; how often
    it steps there is unknown to us.

    Args:
        increment: samples added per stair.
        every: None = equal shares of the budget, such that the last is at `maximum`.
    """

    initial: int = 256
    increment: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_batch("increment", self.increment)

    @override
    def _shares(self, clock: Clock) -> int:
        top = clock.epoch_size if self.maximum is None else self.maximum
        return 1 + max(0, -((self.initial - top) // self.increment))

    @override
    def _on_stair(self, j: int, clock: Clock) -> int:
        return self.initial + self.increment * j


@dataclass(frozen=True, kw_only=True)
class Stagewise(BatchSchedule):
    """The sizes one after the other, each for an equal share of the budget in samples.

    A baseline in AdAdaGrad's code (arXiv 2402.11215).

    Args:
        sizes: the batch size of every stage.
    """

    sizes: Sequence[int] = field(default=(256, 1024, 4096))

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ValueError("sizes is empty: give the batch size of every stage, for example [256,1024]")
        for size in self.sizes:
            check_batch("sizes", size)

    @override
    def planned(self, clock: Clock) -> int:
        return self.sizes[self._stage(clock)]

    @override
    def changes(self, clock: Clock) -> tuple[Unit, float]:
        stages = len(self.sizes)
        return "samples", -((-(self._stage(clock) + 1) * clock.total_samples) // stages)

    def _stage(self, clock: Clock) -> int:
        stages = len(self.sizes)
        return min(clock.samples * stages // clock.total_samples, stages - 1)


def total_steps(schedule: BatchSchedule, epoch_size: int, total_samples: int) -> int | None:
    """The steps that a budget takes, epochs' partial batches included; None where the gradient decides.

    The run is simulated, but whole stretches of one batch size are counted at once, so that 300 epochs of
    single samples cost no more than 300 epochs of full batches.

    Args:
        schedule: gives the sizes.
        epoch_size: samples in the training set.
        total_samples: the budget; the last batch is cut to it.

    Example:
        >>> total_steps(Constant(size=128), 50_000, 300 * 50_000)
        117300
    """
    if not schedule.deterministic:
        return None
    clock = Clock(0, 0, epoch_size, total_samples, None)
    while clock.samples < total_samples:
        size = schedule.size(clock)
        unit, until = schedule.changes(clock)
        clock = _advance(clock, size, unit, until)
    return clock.steps


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


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def _ceil(size: float, clock: Clock) -> int:
    """Round up, forgiving the rounding of whole numbers; beyond the training set any size will do."""
    return max(1, math.ceil(min(size, max(2.0 * clock.epoch_size, 2.0**40)) * (1 - 1e-12) - 1e-9))
