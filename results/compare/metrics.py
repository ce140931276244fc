"""Metrics: which are better up or down, how they are written, and how one number is taken from a run's rows.

test_accuracy                   the last row
min:full_gradient_norm          least over the run; also max: and mean:
samples_to:test_accuracy>=0.9   how much until a row first meets the target; also steps_to, epochs_to,
                                passes_to (of a finite-sum solver, the same column), gradients_to (component
                                gradients), seconds_to (training time) and flops_to (training FLOPs)
min:train_loss@steps<=1000      the same up to a budget; between two rows it is interpolated, on a logarithmic scale
                                where the quantity has one
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from batchlab.results.axes import COLUMN
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.quantities import Quantity, quantity
from batchlab.results.store.run import State
from batchlab.results.words import written

CLOCKS = {
    "samples": "samples",
    "steps": "steps",
    "epochs": "epoch",
    "passes": "epoch",
    "gradients": "gradients",
    "seconds": "train_seconds",
    "flops": "flops",
}
"""What can be counted, and the column that counts it; that of `flops` is computed, see `load.with_flops`."""
CANDIDATES = ("test_accuracy", "test_loss", "train_loss", "full_gradient_norm", "gap")
"""What says most of runs of which nobody says more, the most telling first."""
ROUNDED_UP = 1 + 1e-9
"""Epochs and seconds are sums of floats: a row this little beyond a budget lies within it."""

CLOCK_LABELS = {
    "samples": "samples",
    "steps": "steps",
    "epochs": "epochs",
    "passes": "passes",
    "gradients": "component gradients",
    "seconds": "training time",
    "flops": "training FLOPs",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One number per run of a frame.

    Attributes:
        values: Of shape (runs,), in the order of `Frame.runs`; NaN where a run gave no number.
        missed: Of the same shape: the run has rows, but never reached the target.
        bounds: Of the same shape: what it had spent in vain when it ended, in the unit of the values; NaN elsewhere.
    """

    values: NDArray[np.float64]
    missed: NDArray[np.bool_]
    bounds: NDArray[np.float64]


def nothing(frame: Frame) -> Measured:
    """What is measured of runs of which none came to anything."""
    n = len(frame.runs)
    return Measured(np.full(n, np.nan), np.zeros(n, dtype=bool), np.full(n, np.nan))


_CLOCK = "|".join(CLOCKS)
_GRAMMAR = re.compile(
    rf"(?:(?P<reduce>last|min|max|mean|(?P<clock>{_CLOCK})_to):)?"
    rf"(?P<name>{COLUMN})"
    r"(?:(?P<sign>>=|<=)(?P<target>[^@]+))?"
    rf"(?:@(?P<budget>{_CLOCK})<=(?P<limit>.+))?"
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A way to take one number from a run's rows; `Metric.parse` reads the grammar of this module.

    Attributes:
        name: The column.
        reduce: `last`, `min`, `max` or `mean` of its rows, or a clock: how much of it until the target.
        sign: Of the target, `>=` or `<=`; empty without one.
        target: In the column's own unit: an accuracy of 90 % is 0.9.
        budget: The clock by which only rows within `limit` count; empty: all rows.
        limit: How much of that clock.
        declared: What the runs of a frame say of the column, see `of`; None: the registry is asked.
    """

    name: str
    reduce: str = "last"
    sign: str = ""
    target: float = 0.0
    budget: str = ""
    limit: float = 0.0
    declared: Quantity | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read a metric.

        >>> Metric.parse("samples_to:test_accuracy>=0.9").columns
        ('test_accuracy', 'samples')

        Raises:
            ValueError: When it is none; the message shows the grammar.
        """
        match = _GRAMMAR.fullmatch(text.replace(" ", ""))
        to = bool(match and match["clock"])
        if match is None or to != bool(match["sign"]):
            raise ValueError(
                f"cannot read the metric {text!r}: write NAME, min:NAME, max:NAME, mean:NAME or "
                "samples_to:NAME>=NUMBER (steps_to, epochs_to, passes_to, gradients_to, seconds_to, flops_to; >= or "
                "<=), each also up to a budget: NAME@steps<=NUMBER (samples, epochs, passes, gradients, seconds, flops)"
            )
        try:
            target = float(match["target"] or 0)
            limit = float(match["limit"] or 0)
        except ValueError:
            raise ValueError(f"the target or the budget in the metric {text!r} is not a number") from None
        if not math.isfinite(target):
            raise ValueError(f"the target in the metric {text!r} is not a number")
        if not (math.isfinite(limit) and limit >= 0):
            raise ValueError(f"the budget in the metric {text!r} must be a number, 0 or more")
        reduce = match["clock"] or match["reduce"] or "last"
        return cls(match["name"], reduce, match["sign"] or "", target, match["budget"] or "", limit)

    def __str__(self) -> str:
        text = self.name if self.reduce == "last" else f"{self.reduce}:{self.name}"
        if self.reduce in CLOCKS:
            text = f"{self.reduce}_to:{self.name}{self.sign}{self.target:g}"
        return f"{text}@{self.budget}<={self.limit:g}" if self.budget else text

    def of(self, frame: Frame) -> Metric:
        """The same metric, which now knows what the frame's runs declare of its column.

        Tables, plots and claims ask for it where they are given a frame, so that nobody else needs to.

        Raises:
            ValueError: For a target outside 0 to 1 of a share, which is shown in %.
        """
        bound = replace(self, declared=frame.quantities.get(self.name))
        if self.reduce in CLOCKS and bound.column.share and not 0 <= self.target <= 1:
            name, sign, target = self.name, self.sign, self.target
            write = f": write {name}{sign}{target / 100:g} for {target:g} %" if 1 < target <= 100 else ""
            raise ValueError(f"the target in the metric {str(self)!r}: {name} is a share, from 0 to 1{write}")
        return bound

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is computed from."""
        clocks = [CLOCKS[clock] for clock in (self.reduce, self.budget) if clock in CLOCKS]
        return (self.name, *clocks)

    @property
    def column(self) -> Quantity:
        """What is known of the column: what was declared (see `of`), else what the registry knows."""
        return self.declared or quantity(self.name)

    @property
    def quantity(self) -> Quantity:
        """What its values are; a time to a target is better down, in the clock's unit."""
        if self.reduce in CLOCKS:
            return Quantity("down", unit="s" if self.reduce == "seconds" else "", log=True)
        return self.column

    @property
    def continuous(self) -> bool:
        """Whether two runs have the same value only where they are the same: not of shares of examples, nor counts."""
        return not (self.quantity.share or self.reduce in CLOCKS or self.name in (*CLOCKS, *CLOCKS.values()))

    @property
    def label(self) -> str:
        """For people: `least full gradient norm`, `test accuracy [%]`."""
        known = self.column
        name = known.label or self.name.replace("_", " ")
        at = f" {self.within}" if self.budget else ""
        if self.reduce in CLOCKS:
            sign = {">=": "≥", "<=": "≤"}[self.sign]
            target = f"{written(float(self.target * known.scale))}{' %' if known.unit == '%' else ''}"
            return f"{CLOCK_LABELS[self.reduce]} to {name} {sign} {target}{at}"
        word = {"last": "", "min": "least ", "max": "greatest ", "mean": "mean "}[self.reduce]
        return word + name + at

    @property
    def within(self) -> str:
        """The budget in words: `within 1,000 steps`."""
        limit = f"{self.limit:,.0f}" if self.limit >= 1000 else f"{self.limit:.4g}"
        return f"within {limit} {'s' if self.budget == 'seconds' else self.budget}"

    @property
    def title(self) -> str:
        """The label with its unit."""
        unit = self.quantity.unit
        return f"{self.label} [{unit}]" if unit else self.label

    def measure(self, frame: Frame) -> Measured:
        """One number per run of the frame.

        Raises:
            ValueError: For a column that no run has.
        """
        bound = self.of(frame)
        values, valid = frame.column(self.name)
        clock = frame.column(CLOCKS[self.reduce])[0] if self.reduce in CLOCKS else None
        spent = frame.column(CLOCKS[self.budget])[0] if self.budget else None
        out = np.full(len(frame.runs), np.nan)
        missed = np.zeros(len(frame.runs), dtype=bool)
        bounds = np.full(len(frame.runs), np.nan)
        for i, run in enumerate(frame.runs):
            mask = valid[run.rows]
            if spent is not None and clock is not None:
                mask = mask & (spent[run.rows] <= self.limit * ROUNDED_UP)
            own = values[run.rows][mask]
            if not len(own):
                continue
            if clock is not None:
                reached = own >= self.target if self.sign == ">=" else own <= self.target
                missed[i] = not reached.any()
                bounds[i] = clock[run.rows][mask][-1] if missed[i] else math.nan
                if reached.any():  # the row that met it: no interpolation, evaluations are the resolution
                    out[i] = clock[run.rows][mask][int(reached.argmax())]
            elif spent is not None:
                out[i] = bound._within(own, spent[run.rows][mask])
            else:
                out[i] = _REDUCTIONS[self.reduce](own)
        return Measured(out, missed, bounds)

    def _within(self, own: NDArray[np.float64], spent: NDArray[np.float64]) -> float:
        """Reduced over the rows within the budget, and interpolated from the last of them to the budget itself.

        Otherwise runs that are evaluated at different places would be compared at different places. A mean is not
        interpolated.

        Args:
            own: The column's values, of shape (rows,).
            spent: How much of the budget's clock they were measured at, ascending, of the same shape.
        """
        inside = int(np.searchsorted(spent, self.limit * ROUNDED_UP, "right"))
        if inside == 0:
            return math.nan
        now = _REDUCTIONS[self.reduce](own[:inside])
        if self.reduce == "mean" or inside == len(own) or spent[inside - 1] >= self.limit:
            return now
        then = _REDUCTIONS[self.reduce](own[: inside + 1])
        if not math.isfinite(then):
            return now
        share = (self.limit - spent[inside - 1]) / (spent[inside] - spent[inside - 1])
        if self.quantity.log and min(now, then) > 0:
            return float(now * (then / now) ** share)
        return float(now + share * (then - now))


_REDUCTIONS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "last": lambda own: float(own[-1]),
    "min": lambda own: float(np.fmin.reduce(own)),  # the least that was a number
    "max": lambda own: float(np.fmax.reduce(own)),
    "mean": lambda own: float(own.mean()),
}


def budgets(frame: Frame, clock: str) -> dict[str, float]:
    """How much of a clock each run spent in all.

    Args:
        frame: Runs with rows or without.
        clock: One of `CLOCKS`.

    Returns:
        The amount by run id; runs without rows are left out.
    """
    column, _ = frame.column(CLOCKS[clock])
    return {run.run_id: float(column[run.rows][-1]) for run in frame.runs if has_rows(run)}


def common_budget(frames: Iterable[Frame], clock: str) -> float:
    """The largest amount of a clock that every run that is done has; NaN where there is none."""
    done = (frame.select(lambda run: run.state is State.DONE) for frame in frames)
    return min((amount for frame in done for amount in budgets(frame, clock).values()), default=math.nan)


def has_rows(run: RunRow) -> bool:
    """Whether anything was recorded of a run."""
    return bool(run.rows.stop > run.rows.start)


def columns_of(metrics: Sequence[Metric]) -> set[str]:
    """The columns that these metrics need."""
    return {column for metric in metrics for column in metric.columns}
