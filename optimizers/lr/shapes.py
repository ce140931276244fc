"""Learning-rate schedules of the papers: constant, diminishing, growing in stairs, and ways down to a minimum."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from batchlab.optimizers.clock import Clock, stair
from batchlab.optimizers.lr.base import LRSchedule, check_finite, power

__all__ = ["Constant", "Cosine", "Decay", "Diminishing", "Linear", "Polynomial", "StepGrowth"]


@dataclass(frozen=True, kw_only=True)
class Constant(LRSchedule):
    """factor = peak, after the warm-up."""

    def shape(self, time: float, length: float) -> float:
        """The level at the end of the warm-up."""
        return self.peak


@dataclass(frozen=True, kw_only=True)
class Diminishing(LRSchedule):
    """factor = peak / sqrt(t + 1) (arXiv 2508.03105, case (i), per step)."""

    def shape(self, time: float, length: float) -> float:
        """The peak over the square root of the time and one."""
        return self.peak / math.sqrt(time + 1.0)


@dataclass(frozen=True, kw_only=True)
class StepGrowth(LRSchedule):
    """factor = min(peak gamma^floor(t / every), maximum) (arXiv 2508.03105, case (iii)).

    Args:
        gamma: growth of one stair; None = such that the last stair of the run is at `maximum`, that is
            (maximum / peak)^(1 / (stairs - 1)): 1.0801, 1.1958 and 1.2915 for the published growth to 2, 5
            and 10 times over 10 stairs.
        maximum: the level that growth stops at; None = no limit (then `gamma` must be given).
        every: length of a stair; None = a tenth of what follows the warm-up, the published 30 of 300 epochs.

    Raises:
        ValueError: neither gamma nor maximum, a maximum below the peak, or only one stair to grow in.

    Example:
        >>> growth = StepGrowth(maximum=2.0, every=30, clock="epochs")
        >>> round(growth.factor(Clock(30 * 50_000, 0, 50_000, 300 * 50_000)), 4)
        1.0801
    """

    gamma: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(gamma=self.gamma, maximum=self.maximum)
        if self.gamma is None and self.maximum is None:
            raise ValueError("the rate does not know how to grow: give gamma, maximum or both")
        if self.gamma is not None and not self.gamma > 0:
            raise ValueError(f"gamma={self.gamma} must be positive")
        if self.maximum is not None and self.maximum < self.peak:
            raise ValueError(f"maximum={self.maximum} is below peak={self.peak}, where growth begins")
        if self.maximum is not None and math.isinf(self.maximum / self.peak):
            raise ValueError(f"maximum={self.maximum} is out of the reach of peak={self.peak}: lower it")

    def _length(self, clock: Clock) -> float:
        if self.gamma is not None and self.every is not None:
            return math.inf
        length = self._remaining(clock)
        if self.gamma is None and self._stairs(length) < 2:
            raise ValueError(
                f"every={self.every} leaves one stair in {length:g} {self.clock}, so the rate never grows: "
                "lower every, or give gamma"
            )
        return length

    def _every(self, length: float) -> float:
        return length / 10 if self.every is None else self.every

    def _stairs(self, length: float) -> int:
        return -stair(-length, self._every(length))

    def shape(self, time: float, length: float) -> float:
        """As many growths as there were stairs, up to the maximum."""
        done = stair(time, self._every(length))
        if self.gamma is None:
            assert self.maximum is not None
            return self.peak * math.pow(self.maximum / self.peak, min(done / (self._stairs(length) - 1), 1.0))
        grown = self.peak * power(self.gamma, done)
        if self.maximum is not None:
            return min(grown, self.maximum)
        if math.isinf(grown):
            raise ValueError(f"gamma={self.gamma} grows beyond all numbers in {done} stairs: lower it, or give maximum")
        return grown


@dataclass(frozen=True, kw_only=True)
class Decay(LRSchedule):
    """From `peak` to `minimum` at `end`, and `minimum` from there on.

    Args:
        minimum: level at the end.
        end: when it is reached, counted from the beginning of the run; None = with the budget.
    """

    minimum: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(minimum=self.minimum, end=self.end)
        if not 0 <= self.minimum <= self.peak:
            raise ValueError(f"minimum={self.minimum} must lie between 0 and peak={self.peak}")
        if self.end is not None and self.warmup is not None and self.end <= self.warmup:
            raise ValueError(f"end={self.end} must come after warmup={self.warmup}")

    def _length(self, clock: Clock) -> float:
        return self._remaining(clock, self.end)

    def shape(self, time: float, length: float) -> float:
        """The minimum, and what is left of the way down to it."""
        return self.minimum + (self.peak - self.minimum) * self._left(min(time / length, 1.0))

    @abstractmethod
    def _left(self, u: float) -> float:
        """What is left of the way down, 1 to 0, at the fraction u of the decay."""


@dataclass(frozen=True, kw_only=True)
class Cosine(Decay):
    """factor = minimum + (peak - minimum) (1 + cos(pi u)) / 2, u = t / T after the warm-up.

    Example:
        >>> Cosine(clock="epochs", every=1).factor(Clock(150 * 50_000, 0, 50_000, 300 * 50_000))
        0.5
    """

    def _left(self, u: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * u))


@dataclass(frozen=True, kw_only=True)
class Linear(Decay):
    """factor = minimum + (peak - minimum) (1 - u), u = t / T after the warm-up."""

    def _left(self, u: float) -> float:
        return 1.0 - u


@dataclass(frozen=True, kw_only=True)
class Polynomial(Decay):
    """factor = minimum + (peak - minimum) (1 - u)^power, u = t / T after the warm-up.

    Args:
        power: above 0.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(power=self.power)
        if not self.power > 0:
            raise ValueError(f"power={self.power} must be positive")

    def _left(self, u: float) -> float:
        return math.pow(1.0 - u, self.power)
