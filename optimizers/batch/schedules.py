"""Batch-size schedules that are known in advance."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from batchlab.optimizers.batch.base import BatchSchedule, check_batch
from batchlab.optimizers.clock import Clock, Unit, check_every, check_unit, next_stair, stair
from batchlab.optimizers.lr import check_finite, power

__all__ = ["Constant", "Exponential", "ExponentialCapped", "LinearRamp", "Stagewise"]


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
        check_finite(every=self.every)
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
        check_finite(factor=self.factor)
        if not self.factor > 0:
            raise ValueError(f"factor={self.factor} must be positive")

    @override
    def _on_stair(self, j: int, clock: Clock) -> int:
        return _ceil(self.initial * power(self.factor, j), clock)


@dataclass(frozen=True, kw_only=True)
class ExponentialCapped(_Stairs):
    """b_j = ceil(min(a delta^j + (b_0 - a), b_max)), with a such that the last stair of the run is at b_max.

    a = (b_max - b_0) / (delta^(k - 1) - 1) on k stairs (arXiv 2508.03105, authors' code).

    Args:
        factor: delta, the growth of the increments from stair to stair.
        every: None = a tenth of the budget, as published.
        maximum: b_max; None = the training set.

    Example:
        >>> schedule = ExponentialCapped(initial=8, maximum=1024)
        >>> [schedule.size(Clock(50_000 * epoch, 0, 50_000, 15_000_000)) for epoch in range(0, 300, 30)]
        [8, 10, 14, 22, 38, 70, 134, 261, 516, 1024]
    """

    initial: int = 8
    factor: float = 2.0
    maximum: int | None = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(factor=self.factor)
        if not self.factor > 1:
            raise ValueError(f"factor={self.factor} must be above 1")

    @override
    def _on_stair(self, j: int, clock: Clock) -> int:
        b0, top = self.initial, clock.epoch_size if self.maximum is None else self.maximum
        stairs = clock.total(self.clock) / self._length(clock)
        if stairs <= 1:
            raise ValueError(
                f"every={self.every} leaves one stair in {clock.total(self.clock):g} {self.clock}, so the "
                "batch never grows: lower every"
            )
        grown = power(self.factor, stairs - 1)
        if math.isinf(grown):
            raise ValueError(f"factor={self.factor} grows beyond all numbers in {stairs:g} stairs: lower it")
        a = (top - b0) / (grown - 1)
        return _ceil(min(a * power(self.factor, j) + (b0 - a), top), clock)


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


def _ceil(size: float, clock: Clock) -> int:
    """Round up, forgiving the rounding of whole numbers; beyond the training set any size will do."""
    return max(1, math.ceil(min(size, max(2.0 * clock.epoch_size, 2.0**40)) * (1 - 1e-12) - 1e-9))
