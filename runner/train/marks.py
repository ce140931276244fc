"""Where a run is evaluated: marks on the clock of samples, which all runs of a comparison share."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right

_ROUNDING = 1e-9  # of a mark
_NEAREST = 1e-9
"""Samples: what is nearer to the beginning, or closer together, cannot be told from this."""


class Marks:
    """Where a run is evaluated: at its first step that ends at a mark or beyond it.

    They lie on the clock of samples and are a function of the budget alone, so that runs of one budget are evaluated
    at the same places, to within a batch, whatever their batch schedules are. On the clock of steps they could not be:
    runs take 120 or 366 steps for the same epochs, and a run whose batch adapts does not know how many. Readings at
    equal steps or time are interpolated (`batchlab.results.compare.metrics`), which needs marks that are close where a
    run changes fast: early. So a given number of marks is geometric, each later than the one before by one factor.

    Args:
        every: samples from one mark to the next; with a `count`, samples to the first.
        total: the budget in samples; always a mark.
        count: how many marks there are; None for marks all the way. Marks of less than a sample's distance are one, so
            that more of them than a run has steps are one a step.

    Example:
        >>> Marks(25, 400, 5).places
        [25, 50, 100, 200, 400]
    """

    def __init__(self, every: float, total: int, count: int | None = None) -> None:
        self.every, self.total = max(every, _NEAREST), total
        self.early = None if count is None else range(min(count, sys.maxsize) - 1)
        """Numbers of the geometric marks but the last; None where they are `every` samples apart."""

    @property
    def places(self) -> list[int] | None:
        """The geometric marks, ascending, each once; None where they are `every` samples apart."""
        if self.early is None:
            return None
        found = [self._after(0)]
        while found[-1] < self.total:
            found.append(self._after(found[-1]))
        return found

    def _place(self, k: int) -> int:
        """Where the geometric mark of this number is."""
        assert self.early is not None
        first = min(self.every, self.total)
        share = k / len(self.early)  # of the way, on a logarithmic scale
        return math.ceil(first * float((self.total / first) ** share) * (1 - _ROUNDING))

    def _after(self, samples: int) -> int:
        """The first geometric mark beyond so many samples, or the end."""
        k = self.passed(samples)
        assert self.early is not None
        return self._place(k) if k < len(self.early) else self.total

    def passed(self, samples: int) -> int:
        """How many marks a run has reached that has seen so many samples, those at one place counted apart."""
        if self.early is None:
            return int(samples / self.every + _ROUNDING)
        # Searched and never listed: of a billion that are asked for, a run meets as many as it has steps.
        return bisect_right(self.early, samples, key=self._place) + (samples >= self.total)

    def due(self, before: int, samples: int) -> bool:
        """Whether a step from `before` to `samples` samples reaches a mark, or the end."""
        return self.passed(samples) > self.passed(before) or samples >= self.total

    def enters(self, before: int, samples: int) -> bool:
        """Whether the training loss of the coming row begins with this step, from `before` to `samples` samples.

        What lies more than `every` before a mark is left out: the loss at the end is that of the end, and not of the
        last half of the run. Marks that are `every` apart have nothing to leave out.
        """
        if self.early is None:
            return False
        start = self._after(before) - self.every
        return before <= start < samples
