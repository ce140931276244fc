"""The clock of a run: schedules of learning rate and batch size are functions of it, and of nothing else.

Samples seen is the time that every run shares; steps and epochs are read off it. A batch never crosses the
end of an epoch: the last one of an epoch is cut to what is left, so epochs are whole on every clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Unit = Literal["samples", "steps", "epochs"]


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the coming step stands.

    Args:
        samples: training samples seen before the coming step.
        steps: optimizer steps done before the coming step.
        epoch_size: samples in the training set.
        total_samples: the budget of the run.
        total_steps: the steps the budget will take; None while batch sizes adapt to the gradient.

    Example:
        >>> Clock(samples=75, steps=9, epoch_size=50, total_samples=200, total_steps=20).read("epochs")
        (1.5, 4.0)
    """

    samples: int
    steps: int
    epoch_size: int
    total_samples: int
    total_steps: int | None = None

    def time(self, unit: Unit) -> float:
        """Time before the coming step, in `unit`."""
        if unit == "samples":
            return float(self.samples)
        if unit == "steps":
            return float(self.steps)
        return self.samples / self.epoch_size

    def total(self, unit: Unit) -> float:
        """The whole budget in `unit`.

        Raises:
            ValueError: on the clock of steps while their number is unknown.
        """
        if unit == "samples":
            return float(self.total_samples)
        if unit == "epochs":
            return self.total_samples / self.epoch_size
        if self.total_steps is None:
            raise ValueError(
                "the number of steps is not known in advance with this batch schedule: "
                "put the schedule that needs it on clock=samples or clock=epochs"
            )
        return float(self.total_steps)

    def read(self, unit: Unit) -> tuple[float, float]:
        """`(time(unit), total(unit))`."""
        return self.time(unit), self.total(unit)


def check_unit(unit: str) -> None:
    """Raise ValueError unless `unit` is a clock."""
    if unit not in get_args(Unit):
        raise ValueError(f"clock={unit!r} is unknown: choose samples, steps or epochs")


SHORTEST = 1e-12
"""Length, in any unit, that no step comes near: of what is shorter a run has more than floats can count."""


def check_every(name: str, every: float | None) -> None:
    """Raise ValueError unless `every` is None or positive, and no shorter than any step."""
    if every is not None and not every > 0:
        raise ValueError(f"{name}={every} must be positive (or null)")
    if every is not None and every < SHORTEST:
        raise ValueError(f"{name}={every} must be at least {SHORTEST}: no step is shorter")


_ROUNDING = 1e-9  # of a stair


def stair(time: float, every: float) -> int:
    """floor(time / every), with quotients that are whole but for rounding (0.3 / 0.1) taken as whole."""
    return math.floor(time / every + _ROUNDING)


def next_stair(time: float, every: float) -> float:
    """The earliest time at which `stair` is one more."""
    return (stair(time, every) + 1 - _ROUNDING) * every
