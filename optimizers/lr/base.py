"""What every named learning-rate schedule has: its clock, its levels, and a warm-up."""

from __future__ import annotations

import math
import sys
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

from batchlab.optimizers.clock import Clock, Unit, check_every, check_unit, stair

__all__ = ["LRSchedule", "check_finite", "power"]


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
    """base^exponent, infinite where that is beyond all floats.

    Args:
        base: at least 0.
        exponent: any number.
    """
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


Rise = Literal["linear", "geometric", "cosine"]


@dataclass(frozen=True, kw_only=True)
class LRSchedule(ABC):
    """lr(t) = lr * factor(t).

    During the warm-up of length w, from f to p:

        linear      factor(t) = f + (p - f) u
        geometric   factor(t) = f (p / f)^u
        cosine      factor(t) = f + (p - f) (1 - cos(pi u)) / 2

    where u = t / w, or u = j / (k - 1) on stair j = 0, ..., k - 1 of k: the first is at f and the last at p
    (arXiv 2508.03105, case (iv): f = lr0, p = lr_max, k = 10).
    After it, factor(t) = shape(t - w) with t - w rounded down to a multiple of `every`.

    Args:
        clock: what t counts: samples, steps or epochs (fractions of an epoch count).
        every: the factor changes only once in so many units; None = at every step.
        warmup: length of the warm-up; 0 = none; None = a tenth of the budget, the published 30 of 300 epochs.
        warmup_from: level at its beginning; 0 makes the very first step an empty one, as published.
        warmup_shape: linear, geometric (equal ratios), or cosine.
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
    warmup_shape: Rise = "linear"
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
        if self.warmup_shape not in get_args(Rise):
            raise ValueError(f"warmup_shape={self.warmup_shape!r} is unknown: choose linear, geometric or cosine")
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
        if self.warmup_shape == "geometric":
            return self.warmup_from * math.pow(self.peak / self.warmup_from, u)
        if self.warmup_shape == "cosine":
            u = 0.5 * (1.0 - math.cos(math.pi * u))
        return self.warmup_from + (self.peak - self.warmup_from) * u

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
        """The factor after the warm-up; starts at `peak`.

        Args:
            time: since the warm-up, in units of the schedule's clock.
            length: of all that follows the warm-up, in the same unit; may be infinite.
        """
