"""A schedule of anybody's own: whatever has `factor(clock)`, or is such a function."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr.steps import OfTorch

__all__ = ["OfFunction", "Rates", "factor_of"]


@runtime_checkable
class Rates(Protocol):
    """A learning-rate schedule. `LRSchedule` is one with a clock, levels and a warm-up; none of them is needed."""

    def factor(self, clock: Clock) -> float:
        """The rate of the coming step, a multiple of the optimizer's: of the clock alone, the same if asked again."""


@dataclass(frozen=True)
class OfFunction:
    """A function `factor(clock, **keys)` as a schedule.

    Args:
        function: of the clock alone.
        keys: its other arguments.
    """

    function: Callable[..., float]
    keys: dict[str, Any]

    @property
    def called(self) -> str:
        """The function's name; empty where it has none."""
        return str(getattr(self.function, "__name__", ""))

    def factor(self, clock: Clock) -> float:
        """What the function gives."""
        return self.function(clock, **self.keys)


def factor_of(schedule: Rates, clock: Clock) -> float:
    """The multiple that a schedule gives, a finite number of at least 0.

    Args:
        schedule: whatever has `factor(clock)`.
        clock: at the step that is asked for.

    Raises:
        ValueError: it gives something else, or raises whatever it raises.
    """
    try:
        factor: Any = schedule.factor(clock)
    except ValueError:
        raise
    except Exception as error:  # a user's own may index, divide or look into what is not there
        kind = type(error).__name__
        raise ValueError(f"{_name(schedule)} raises {kind}: {error} (at step {clock.steps})") from error
    if type(factor) is float and 0.0 <= factor < math.inf:  # cheap where all is well: asked at every step
        return factor
    number = isinstance(factor, Real) and not isinstance(factor, bool)
    if not number or not 0 <= factor <= sys.float_info.max:  # a whole number may lie beyond all floats
        raise ValueError(
            f"{_name(schedule)} gives {factor!r} at step {clock.steps}: it must be finite, a number of at least 0"
        )
    return float(factor)


def _name(schedule: Rates) -> str:
    """What messages call it: the name of what a user wrote, where that is wrapped."""
    called = schedule.called if isinstance(schedule, OfFunction | OfTorch) else ""
    return called or f"{type(schedule).__name__}.factor"
