"""Learning-rate schedules of today's practice, which none of the five papers has: step decay, WSD, one cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from batchlab.optimizers.clock import Clock, check_every, stair
from batchlab.optimizers.lr.base import LRSchedule, Rise, check_finite, power
from batchlab.optimizers.lr.shapes import Decay

__all__ = ["WSD", "OneCycle", "StepDecay"]


@dataclass(frozen=True, kw_only=True)
class StepDecay(LRSchedule):
    """factor = peak gamma^j, where j stairs, or milestones, are behind t (torch's StepLR and MultiStepLR).

    Args:
        gamma: what is left of the rate after one stair, in (0, 1].
        milestones: where it falls, counted from the beginning of the run; None = every `every`.
        every: length of a stair, counted from the end of the warm-up; None = a third of what follows it, as in 90
            epochs of ImageNet (He et al. 2015).

    Raises:
        ValueError: a gamma outside, milestones that do not rise from above 0, or both `milestones` and `every`.

    Example:
        >>> decay = StepDecay(milestones=[100, 150], clock="epochs")
        >>> [round(decay.factor(Clock(epoch * 50, 0, 50, 200 * 50)), 4) for epoch in (0, 99, 100, 150)]
        [1.0, 1.0, 0.1, 0.01]
    """

    gamma: float = 0.1
    milestones: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(gamma=self.gamma)
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma={self.gamma} must lie in (0, 1]: lr_schedule=growth grows")
        if self.milestones is None:
            return
        if self.every is not None:
            raise ValueError(f"give milestones={list(self.milestones)} or every={self.every}, and null for the other")
        if not self.milestones:
            raise ValueError("milestones is empty: say when the rate falls, or null for stairs")
        for milestone in self.milestones:
            check_finite(milestones=milestone)
            check_every("milestones", milestone)
        if any(a >= b for a, b in pairwise(self.milestones)):
            raise ValueError(f"milestones={list(self.milestones)} must rise")

    def factor(self, clock: Clock) -> float:
        """The rate of the coming step, as a multiple of the optimizer's initial one; see `LRSchedule.factor`."""
        time = clock.time(self.clock)
        if self.milestones is None or time < self.warmup_length(clock):
            return super().factor(clock)
        return self.peak * power(self.gamma, sum(stair(time, milestone) >= 1 for milestone in self.milestones))

    def _length(self, clock: Clock) -> float:
        return self._remaining(clock) if self.every is None and self.milestones is None else math.inf

    def _every(self, length: float) -> float:
        return length / 3 if self.every is None else self.every

    def shape(self, time: float, length: float) -> float:
        """As many falls as there were stairs."""
        return self.peak * power(self.gamma, stair(time, self._every(length)))


Fall = Literal["linear", "1-sqrt", "cosine"]


@dataclass(frozen=True, kw_only=True)
class _Falling(Decay):
    """A way down whose shape can be chosen."""

    decay_shape: Fall = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decay_shape not in get_args(Fall):
            raise ValueError(f"decay_shape={self.decay_shape!r} is unknown: choose linear, 1-sqrt or cosine")

    def _left(self, u: float) -> float:
        if self.decay_shape == "linear":
            return 1.0 - u
        return 1.0 - math.sqrt(u) if self.decay_shape == "1-sqrt" else 0.5 * (1.0 + math.cos(math.pi * u))


@dataclass(frozen=True, kw_only=True)
class WSD(_Falling):
    """Warm-up, stable, decay: at `peak` from the end of the warm-up until `decay` before the end, then to `minimum`.

    With u from 0 to 1 over the decay, what is left of the way down is

        linear    1 - u
        1-sqrt    1 - sqrt(u)
        cosine    (1 + cos(pi u)) / 2

    Sources: Hu et al., arXiv 2404.06395 (the name, and a tenth of the run for the decay); Haegele et al., arXiv
    2405.18392 (1-sqrt); both from memory.

    Args:
        decay: length of the decay; None = a tenth of what follows the warm-up.
        decay_shape: linear, 1-sqrt or cosine.
        minimum, end: see `Decay`.

    Raises:
        ValueError: a decay that is not positive, or longer than what follows the warm-up.

    Example:
        >>> wsd = WSD(warmup=10, decay=20)
        >>> [wsd.factor(Clock(0, t, 50, 1000, 100)) for t in (0, 5, 10, 80, 90)]
        [0.0, 0.5, 1.0, 1.0, 0.5]
    """

    decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(decay=self.decay)
        check_every("decay", self.decay)

    def shape(self, time: float, length: float) -> float:
        """The peak, until the decay begins."""
        decay = length / 10 if self.decay is None else self.decay
        if decay > length:
            raise ValueError(
                f"decay={self.decay:g} is longer than the {length:g} {self.clock} after the warm-up: shorten decay or "
                "train longer"
            )
        return super().shape(max(0.0, time - (length - decay)), decay)


@dataclass(frozen=True, kw_only=True)
class OneCycle(_Falling):
    """Up from `warmup_from` to `peak` and down to `minimum`, once (Smith, Topin, arXiv 1708.07120, as torch has it).

    The way up is this schedule's warm-up. torch's OneCycleLR has the peak at its step pct_start T - 1 and its last
    step, T - 1, at the minimum; here they are at `up` T and, were there a step, at T.

    Args:
        up: share of the budget on the way up, in (0, 1), where `warmup` is None.
        warmup: length of the way up; None = as `up` says.
        warmup_shape, decay_shape: cosine, or linear as in the paper.
        warmup_from: 1 / 25 of the peak, torch's default.
        minimum: a ten-thousandth of that, torch's default.

    Raises:
        ValueError: a share outside.

    Example:
        >>> cycle = OneCycle(warmup_shape="linear", decay_shape="linear", warmup_from=0.2, minimum=0.0)
        >>> [round(cycle.factor(Clock(0, t, 50, 1000, 100)), 4) for t in (0, 15, 30, 65)]
        [0.2, 0.6, 1.0, 0.5]
    """

    up: float = 0.3
    warmup: float | None = None
    warmup_from: float = 0.04
    warmup_shape: Rise = "cosine"
    minimum: float = 4e-6
    decay_shape: Fall = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(up=self.up)
        if not 0 < self.up < 1:
            raise ValueError(f"up={self.up} must lie between 0 and 1: it is a share of the budget")

    def warmup_length(self, clock: Clock) -> float:
        """Length of the way up in units of the schedule's clock."""
        return self.up * clock.total(self.clock) if self.warmup is None else self.warmup
