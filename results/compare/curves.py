"""Curves over seeds: runs brought onto one grid, their mean and its 95 % t interval.

Runs of one seed are averaged first, on the same grid. A mean is drawn only between the latest first
row and the earliest last row of its runs, so that every point of it is over the same runs. A running minimum is a step
function (its value between two evaluations is that of the earlier one); everything else is interpolated linearly, on
the logarithm where the axis is logarithmic, and then mean and interval are those of the logarithm too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from batchlab.results.compare.caveats import timed, together
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CLOCKS, Metric, has_rows
from batchlab.results.compare.stats import Array, t_quantile
from batchlab.results.store.run import State

GRID = 300


@dataclass(frozen=True)
class Track:
    """One run's rows.

    Attributes:
        x: What the clock says, of shape (rows,), strictly increasing.
        y: As drawn, of the same shape, finite.
        state: How the run ended.
        seed: Of the run.
    """

    x: Array
    y: Array
    state: State
    seed: Any = None


@dataclass(frozen=True)
class Curve:
    """The runs of one hue: the mean of those that are done, and the tracks of those that are not.

    Attributes:
        value: The hue.
        x: What the clock says, of shape (points,).
        mean: Of the same shape, in the unit in which the metric is stored, as are `low` and `high`.
        low: The lower end of the 95 % t interval; NaN for a single run, and over or of a time that runs share.
        high: The upper end.
        n: Seeds: what else varies within one counts once.
        lost: Runs that are not done.
        diverged: How many of these diverged.
    """

    value: Any
    x: Array
    mean: Array
    low: Array
    high: Array
    n: int
    lost: list[Track]
    diverged: int


def curves(frame: Frame, metric: Metric, clock: str, hue: str, *, log: bool) -> list[Curve]:
    """The curves of a metric over a clock.

    Args:
        frame: Runs in any state.
        metric: `NAME`, `min:NAME` (running minimum) or `max:NAME`.
        clock: One of `CLOCKS`.
        hue: An axis, label or dotted configuration key.
        log: Whether to average logarithms; values that are not positive are then left out.

    Returns:
        One curve per value of `hue` that has rows, in the order of `Frame.values`.

    Raises:
        ValueError: For another metric or clock.
    """
    if metric.reduce not in ("last", "min", "max") or metric.budget:
        raise ValueError(f"{metric} is one number per run: plot NAME, min:NAME or max:NAME (running extremes)")
    if clock not in CLOCKS:
        raise ValueError(f"no x-axis {clock}: choose {', '.join(CLOCKS)}")
    values, valid = frame.column(metric.name)
    ticks, _ = frame.column(CLOCKS[clock])
    members = by_hue(frame, hue)
    groups: dict[Any, list[Track]] = {value: [] for value in members}
    for value, run in ((value, run) for value, runs in members.items() for run in runs):
        keep = valid[run.rows] & np.isfinite(ticks[run.rows]) & np.isfinite(values[run.rows])
        if keep.any():
            track = _track(ticks[run.rows][keep], values[run.rows][keep], metric.reduce, run.state, log)
            groups[value].append(replace(track, seed=run.value("seed")))
    drawn = {value: [track for track in tracks if len(track.x)] for value, tracks in groups.items()}
    step = metric.reduce != "last"
    made = [_curve(value, tracks, step=step, log=log) for value, tracks in drawn.items() if tracks]
    return [_less_band(curve) if timed(metric, clock) and together(members[curve.value]) else curve for curve in made]


def _less_band(curve: Curve) -> Curve:
    """The same without an interval."""
    nothing = np.full_like(curve.mean, np.nan)
    return replace(curve, low=nothing, high=nothing)


def by_hue(frame: Frame, hue: str) -> dict[Any, list[RunRow]]:
    """The runs that have rows, by their value of `hue`, in the order of `Frame.values`."""
    groups: dict[Any, list[RunRow]] = {value: [] for value in frame.values(hue)}
    for run in filter(has_rows, frame.runs):
        if run.value(hue) in groups:
            groups[run.value(hue)].append(run)
    return groups


def _track(x: Array, y: Array, reduce: str, state: State, log: bool) -> Track:
    if reduce != "last":
        y = (np.minimum if reduce == "min" else np.maximum).accumulate(y)
    first = np.concatenate([np.diff(x) > 0, [True]])  # of rows at the same place the last one counts
    keep = first & (y > 0) if log else first
    return Track(x[keep], y[keep], state)


def _curve(value: Any, tracks: list[Track], *, step: bool, log: bool) -> Curve:
    done = [track for track in tracks if track.state is State.DONE]
    lost = [track for track in tracks if track.state is not State.DONE]
    diverged = sum(track.state is State.DIVERGED for track in lost)
    empty = np.empty(0)
    if not done:
        return Curve(value, empty, empty, empty, empty, 0, lost, diverged)
    x = _grid(done)
    how: Literal["step", "linear"] = "step" if step else "linear"
    seeds: dict[Any, list[Array]] = {}
    for track in done:
        seeds.setdefault(track.seed, []).append(_interpolate(x, track, how, log))
    stack = np.stack([np.mean(own, axis=0) for own in seeds.values()])
    mean, n = stack.mean(axis=0), len(stack)
    half = np.full_like(mean, np.nan)
    if n > 1:
        half = t_quantile(n - 1) * stack.std(axis=0, ddof=1) / np.sqrt(n)
    low, high = mean - half, mean + half
    if log:
        mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
    return Curve(value, x, mean, low, high, n, lost, diverged)


def _grid(tracks: list[Track]) -> Array:
    """Where every track has rows: their own places, thinned to `GRID` where there are more."""
    start, stop = max(track.x[0] for track in tracks), min(track.x[-1] for track in tracks)
    if stop < start:
        return np.empty(0)
    x = np.unique(np.concatenate([track.x for track in tracks]))
    x = x[(x >= start) & (x <= stop)]
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), GRID)).round().astype(int))
    return np.asarray(x[kept], dtype=float)


def _interpolate(x: Array, track: Track, how: Literal["step", "linear"], log: bool) -> Array:
    y = np.log(track.y) if log else track.y
    if how == "linear":
        return np.interp(x, track.x, y)
    return np.asarray(y[np.searchsorted(track.x, x, side="right") - 1], dtype=float)
