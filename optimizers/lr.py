"""Learning-rate schedules: functions of the clock, given as multiples of the optimizer's initial rate.

Every schedule may begin with a warm-up, which rises from `warmup_from` to `peak`; what follows starts at
`peak`. All levels (`warmup_from`, `peak`, `minimum`, `maximum`) are multiples of the optimizer's `lr`; all
lengths (`every`, `warmup`, `warmup_every`, `end`) are in units of the schedule's clock, and a length of None is a
share of the budget where the schedule says so. With `lr` = 0.1, the four cases of arXiv 2508.03105 and the one of
AdAdaGrad (arXiv 2402.11215) are

    Cosine(clock="epochs", every=1)                         # (i), (ii): 0.1 to 0, changing once per epoch
    StepGrowth(maximum=2, every=30, clock="epochs")         # (iii): 0.1 to 0.2 in stairs of 30 epochs
    Cosine(clock="epochs", every=1, peak=2, **stairs)       # (iv): 0.1 to 0.2 in stairs, then to 0
    Cosine(clock="samples", warmup=1_000_000, minimum=0.1)  # linear from 0 to 0.1, then to 0.01

with `stairs = dict(warmup=None, warmup_stairs=10, warmup_from=1, warmup_shape="geometric")`: in 300 epochs the
published 30 epochs in stairs of 3.

Schedules hold no state: there is nothing to checkpoint.
"""

from __future__ import annotations

import math
import sys
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from batchlab.optimizers.clock import Clock, Unit, check_every, check_unit, stair

__all__ = [
    *("Constant", "Cosine", "Diminishing", "LRSchedule", "Linear", "Polynomial", "StepGrowth"),
    *("check_finite", "power"),
]


def check_finite(**values: object) -> None:
    """See that levels and lengths are finite numbers: comparisons let NaN pass, and infinities compare as numbers do.

    Args:
        **values: by their names; None says that there is none, and passes.

    Raises:
        ValueError: naming the first that is no finite number.
    """
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"{name}={value!r} must be a number")
        size: Any = abs(value)
        if not size <= sys.float_info.max:  # a whole number may lie beyond all floats
            raise ValueError(f"{name}={value} must be finite")


def power(base: float, exponent: float) -> float:
    """base^exponent, infinite where that is beyond all floats."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


@dataclass(frozen=True, kw_only=True)
class LRSchedule(ABC):
    """lr(t) = lr * factor(t).

    During the warm-up of length w, from f to p:

        linear      factor(t) = f + (p - f) u
        geometric   factor(t) = f (p / f)^u

    where u = t / w, or u = j / (k - 1) on stair j = 0, ..., k - 1 of k: the first is at f and the last at p
    (arXiv 2508.03105, case (iv): f = lr0, p = lr_max, k = 10).
    After it, factor(t) = shape(t - w) with t - w rounded down to a multiple of `every`.

    Args:
        clock: what t counts: samples, steps or epochs (fractions of an epoch count).
        every: the factor changes only once in so many units; None = at every step.
        warmup: length of the warm-up; 0 = none; None = a tenth of the budget, the published 30 of 300 epochs.
        warmup_from: level at its beginning; 0 makes the very first step an empty one, as published.
        warmup_shape: linear, or geometric (equal ratios).
        warmup_every: the warm-up rises in stairs of this length; None = as `warmup_stairs` says.
        warmup_stairs: it rises in so many equal stairs, where `warmup_every` is None; None = at every step.
        peak: level at its end, where what follows begins.

    Raises:
        ValueError: a level or a length that makes no sense.
    """

    clock: Unit = "steps"
    every: float | None = None
    warmup: float | None = 0.0
    warmup_from: float = 0.0
    warmup_shape: Literal["linear", "geometric"] = "linear"
    warmup_every: float | None = None
    warmup_stairs: int | None = None
    peak: float = 1.0

    def __post_init__(self) -> None:
        check_unit(self.clock)
        check_finite(every=self.every, warmup=self.warmup, warmup_from=self.warmup_from, peak=self.peak)
        check_finite(warmup_every=self.warmup_every, warmup_stairs=self.warmup_stairs)
        check_every("every", self.every)
        check_every("warmup_every", self.warmup_every)
        if self.warmup is not None and self.warmup < 0:
            raise ValueError(f"warmup={self.warmup} must not be negative")
        check_every("warmup", self.warmup or None)
        if not self.peak > 0:
            raise ValueError(f"peak={self.peak} must be positive: it is a multiple of the optimizer's lr")
        if self.warmup_shape not in ("linear", "geometric"):
            raise ValueError(f"warmup_shape={self.warmup_shape!r} is unknown: choose linear or geometric")
        if self.warmup == 0:
            for key in ("warmup_every", "warmup_stairs"):
                if getattr(self, key) is not None:
                    warnings.warn(f"{key} has no effect: warmup is 0", stacklevel=3)
            return
        if self.warmup_from < 0:
            raise ValueError(f"warmup_from={self.warmup_from} must not be negative")
        if self.warmup_shape == "geometric" and self.warmup_from == 0:
            raise ValueError(
                "a geometric warm-up cannot rise from 0: set warmup_from (1 = the optimizer's lr) "
                "or warmup_shape=linear"
            )
        if self.warmup_shape == "geometric" and math.isinf(self.peak / self.warmup_from):
            raise ValueError(f"a geometric warm-up cannot rise from warmup_from={self.warmup_from} to peak={self.peak}")
        if self.warmup_stairs is not None and not (isinstance(self.warmup_stairs, int) and self.warmup_stairs >= 2):
            raise ValueError(f"warmup_stairs={self.warmup_stairs} must be a whole number, at least 2 (or null)")
        if self.warmup is not None:
            self._stairs_of_warmup(self.warmup)

    def factor(self, clock: Clock) -> float:
        """The rate of the coming step, as a multiple of the optimizer's initial one.

        Raises:
            ValueError: the schedule needs the length of the run, which is unknown, or the warm-up fills it.
                Both are found at the first step, not after the warm-up.
        """
        time = clock.time(self.clock)
        length, warmup = self._length(clock), self.warmup_length(clock)
        if time < warmup:
            return self._rise(time, warmup)
        time -= warmup
        every = self._every(length)
        if every is not None:
            time = stair(time, every) * every
        return self.shape(time, length)

    def warmup_length(self, clock: Clock) -> float:
        """Length of the warm-up in units of the schedule's clock; 0 = none.

        Raises:
            ValueError: it is a share of a budget of steps, whose number is unknown.
        """
        return clock.total(self.clock) / 10 if self.warmup is None else self.warmup

    def _rise(self, time: float, warmup: float) -> float:
        stairs = self._stairs_of_warmup(warmup)
        if stairs is None:
            u = time / warmup
        else:
            u = min(stair(time, self.warmup_every or warmup / stairs) / (stairs - 1), 1.0)
        if self.warmup_shape == "linear":
            return self.warmup_from + (self.peak - self.warmup_from) * u
        return self.warmup_from * math.pow(self.peak / self.warmup_from, u)

    def _stairs_of_warmup(self, warmup: float) -> int | None:
        """In how many stairs a warm-up of this length rises; None = continuously."""
        if self.warmup_every is None:
            return self.warmup_stairs
        stairs = stair(warmup, self.warmup_every)
        if stairs < 2:
            raise ValueError(
                f"warmup_every={self.warmup_every} leaves fewer than two stairs in warmup={warmup:g}: lower it"
            )
        return stairs

    def _length(self, clock: Clock) -> float:
        """Length of what follows the warm-up; infinite for the shapes that do not need one."""
        return math.inf

    def _remaining(self, clock: Clock, end: float | None = None) -> float:
        later = "train longer" if end is None else "raise end"
        end, warmup = clock.total(self.clock) if end is None else end, self.warmup_length(clock)
        if end <= warmup:
            raise ValueError(
                f"the warm-up of {warmup:g} {self.clock} leaves nothing of {end:g}: shorten warmup or {later}"
            )
        return end - warmup

    def _every(self, length: float) -> float | None:
        """Length of a stair of what follows the warm-up; None = continuous."""
        return self.every

    @abstractmethod
    def shape(self, time: float, length: float) -> float:
        """The factor `time` after the warm-up, of `length` in all; starts at `peak`."""


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
class _Decay(LRSchedule):
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
        return self.minimum + (self.peak - self.minimum) * self._left(min(time / length, 1.0))

    @abstractmethod
    def _left(self, u: float) -> float:
        """What is left of the way down, 1 to 0, at the fraction u of the decay."""


@dataclass(frozen=True, kw_only=True)
class Cosine(_Decay):
    """factor = minimum + (peak - minimum) (1 + cos(pi u)) / 2, u = t / T after the warm-up.

    Example:
        >>> Cosine(clock="epochs", every=1).factor(Clock(150 * 50_000, 0, 50_000, 300 * 50_000))
        0.5
    """

    def _left(self, u: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * u))


@dataclass(frozen=True, kw_only=True)
class Linear(_Decay):
    """factor = minimum + (peak - minimum) (1 - u), u = t / T after the warm-up."""

    def _left(self, u: float) -> float:
        return 1.0 - u


@dataclass(frozen=True, kw_only=True)
class Polynomial(_Decay):
    """factor = minimum + (peak - minimum) (1 - u)^power, u = t / T after the warm-up."""

    power: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(power=self.power)
        if not self.power > 0:
            raise ValueError(f"power={self.power} must be positive")

    def _left(self, u: float) -> float:
        return math.pow(1.0 - u, self.power)
