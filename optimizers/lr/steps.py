"""torch's own schedulers, which are stepped, as functions of the clock."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Callable
from typing import Literal

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from batchlab.optimizers.clock import Clock, stair

__all__ = ["OfTorch"]


class OfTorch:
    """What a scheduler of torch's makes of an initial rate of 1, after as many steps as the clock counts.

    It drives an optimizer of its own, with one rate: all groups of the real one are multiplied alike. Every rate that a
    scheduler takes (`max_lr`, `eta_min`) is therefore a multiple of the optimizer's. What it gave is kept, eight bytes
    a step: asked for an earlier time it gives the same again, and a resumed run steps it anew from the start, so that
    there is no state to save.

    Args:
        make: (optimizer, clock) -> the scheduler, made when the clock is first read, and again for another budget.
        clock: what it is stepped on: steps, or epochs (whole ones).

    Raises:
        ValueError: another clock; what is made listens to a metric, or sets momentum too.

    Example:
        >>> from torch.optim.lr_scheduler import StepLR
        >>> halved = OfTorch(lambda optimizer, clock: StepLR(optimizer, 30, gamma=0.5), clock="epochs")
        >>> halved.factor(Clock(samples=75 * 50, steps=750, epoch_size=50, total_samples=90 * 50))
        0.25
    """

    def __init__(
        self, make: Callable[[torch.optim.Optimizer, Clock], LRScheduler], clock: Literal["steps", "epochs"]
    ) -> None:
        if clock not in ("steps", "epochs"):
            raise ValueError(f"clock={clock!r}: torch's schedulers are stepped: choose steps or epochs")
        self.make = make
        self.clock = clock
        self._budget: tuple[int, int, int | None] | None = None
        self._given = array("d")

    @property
    def called(self) -> str:
        """The scheduler's class; empty before it is made."""
        return "" if self._budget is None else type(self._scheduler).__name__

    def factor(self, clock: Clock) -> float:
        """The rate after as many steps of the scheduler as the clock has units behind it.

        Raises:
            ValueError: what torch says, of its arguments or of more steps than it was made for.
        """
        budget = (clock.epoch_size, clock.total_samples, clock.total_steps)
        if budget != self._budget:
            self._begin(clock)
            self._budget = budget
        place = stair(clock.time(self.clock), 1.0)
        if len(self._given) <= place:
            self._step_to(place)
        return self._given[place]

    def _begin(self, clock: Clock) -> None:
        self._optimizer = torch.optim.SGD([torch.zeros(())], lr=1.0, momentum=0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._scheduler = self.make(self._optimizer, clock)
        if isinstance(self._scheduler, ReduceLROnPlateau):
            raise ValueError(
                "ReduceLROnPlateau listens to a metric, and a rate here is a function of the clock alone: choose "
                "step_decay, or another that does not listen"
            )
        self._given = array("d")
        self._keep()

    def _step_to(self, place: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while len(self._given) <= place:
                self._scheduler.step()
                self._keep()

    def _keep(self) -> None:
        (group,) = self._optimizer.param_groups
        if group["momentum"] != 0.5:
            raise ValueError(
                f"{type(self._scheduler).__name__} cycles the momentum too, and batchlab sets rates alone: set "
                "cycle_momentum to false"
            )
        self._given.append(float(group["lr"]))
