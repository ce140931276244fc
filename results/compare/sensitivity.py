"""What a metric comes to at each value of a hyper-parameter, and which value is chosen.

Where a sweep has tuning runs, the lines are of these and they choose; the runs that are judged stand beside, at the
value chosen. Without them all runs choose, and what they choose is the best of those tried, on the
seeds that are shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from batchlab.results.compare.choice import CHOOSERS, Tuning, judged, seeds_text, settle, validation
from batchlab.results.compare.choice import chooser as chosen_by
from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.outcomes import Fate, by_seed, of_run, restricted_mean
from batchlab.results.compare.replicates import NOMINAL, mixed_keys
from batchlab.results.compare.stats import summarize
from batchlab.results.compare.swept import is_rate


@dataclass(frozen=True)
class Point:
    """The runs of one hue at one value of the key.

    Attributes:
        value: Of the key.
        mean: Over seeds, geometric where the metric spans orders of magnitude; a target never reached counts as its
            budget; NaN where all runs were lost.
        low: The lower end of the 95 % t interval; NaN for fewer than two seeds, or where a target was never reached.
        high: The upper end.
        n: Seeds that the mean is over.
        diverged: Seeds of which a run diverged or failed: they have no part in the mean.
        missed: Seeds that never reached the target.
    """

    value: Any
    mean: float
    low: float
    high: float
    n: int
    diverged: int
    missed: int


@dataclass(frozen=True)
class Line:
    """The points of one hue, in the order of the key.

    Attributes:
        hue: Its value.
        points: Where runs are over.
        chosen: The value that is chosen; None: none is, as of points that mix methods, and of a key of no numbers.
        edge: Whether that is the least or the greatest on offer.
        judged: The runs that are judged at it, where others chose; None: there are none.
    """

    hue: Any
    points: list[Point] = field(default_factory=list)
    chosen: Any = None
    edge: bool = False
    judged: Point | None = None


def parts(frame: Frame) -> tuple[Frame, Frame]:
    """The runs that the lines are of and that choose, and those that are judged apart from them: none without tuning.

    Tuning runs come first; without any, all runs do both.
    """
    others = judged(frame)
    if len(others.runs) == len(frame.runs):
        return frame, frame.select(lambda _: False)
    return frame.where(tuning=True), others


def lines(frame: Frame, metric: Metric, key: str, hue: str) -> list[Line]:
    """By hue what the metric comes to at each value of a key.

    Args:
        frame: Runs in any state.
        metric: One number of a run.
        key: A dotted configuration key or a label.
        hue: An axis, label or key, or several with commas between.
    """
    metric = metric.of(frame)
    choosing, others = parts(frame)
    choice = _choice(choosing, others, metric, key, hue)
    found = []
    for value in choosing.values(hue) if choosing.runs else []:
        own = choosing.where(**{hue: value})
        offered = [at for at in choosing.values(key) if any(run.value(key) == at for run in own.runs)]
        points = [point for at in offered if (point := _point(own.where(**{key: at}), metric, at))]
        if not points:
            continue
        chosen = choice.found.get((value,)) if choice else None
        after = others.where(**{hue: value, key: chosen}) if chosen is not None else None
        judged_at = _point(after, metric, chosen) if after and after.runs else None
        edge = bool(choice and _number(chosen) and choice.edge((value,)))  # words have no ends
        found.append(Line(value, points, chosen, edge, judged_at))
    return found


def said(frame: Frame, metric: Metric) -> str:
    """By what a value is chosen, in words."""
    choosing, others = parts(frame)
    by = chooser(choosing, metric)
    if by.of(frame).quantity.better is None:
        return ""
    if len(others.runs):
        seeds = seeds_text(choosing.values("seed"))
        return f"chosen by {by.of(frame).label} on the tuning runs of {seeds}, which the lines are of"
    return f"the best of those tried, by {by.of(frame).label}, on the seeds shown (no others judge it)"


def chooser(frame: Frame, metric: Metric) -> Metric:
    """What chooses: validation, on tuning runs where there are such; where none was recorded the metric itself."""
    tuning = any(run.value("tuning") is True for run in frame.runs)
    return (validation(frame) if tuning else None) or chosen_by(frame, metric)


def swept(frame: Frame, hue: str) -> list[str]:
    """Keys of the optimizer and labels with at least 3 numbers within some hue, which a curve can be drawn over."""
    found: list[str] = []
    groups = _by_hue(frame, hue)
    for key in sorted(mixed_keys(groups.values()), key=lambda key: not is_rate(key)):
        if not {*found}.isdisjoint(moving(frame, key, hue)):
            continue  # its curve would be that of another one
        numbers = ({run.value(key) for run in own} for own in groups.values())
        if any(len(own) >= 3 and all(_number(value) for value in own) for own in numbers):
            found.append(key)
    return found


def _by_hue(frame: Frame, hue: str) -> dict[Any, list[RunRow]]:
    groups: dict[Any, list[RunRow]] = {}
    for run in parts(frame)[0].runs:
        if (value := run.value(hue)) != MISSING:
            groups.setdefault(value, []).append(run)
    return groups


def moving(frame: Frame, key: str, hue: str = "") -> list[str]:
    """The keys that move with a key, as those of `--zip`: no curve over it tells what it does from what they do.

    Args:
        frame: The runs.
        key: It has several values.
        hue: Within each value of this; empty: over all runs.

    Returns:
        Those of which each value occurs with one value of the key, and with another one elsewhere.
    """
    groups = _by_hue(frame, hue) if hue else {None: parts(frame)[0].runs}
    found = []
    for other in mixed_keys(groups.values()):
        pairs = [{(run.value(key), run.value(other)) for run in own if run.config} for own in groups.values()]
        several = [own for own in pairs if len(own) > 1]
        if (
            other != key
            and several
            and all(len({pair[i] for pair in own}) == len(own) for own in several for i in (0, 1))
        ):
            found.append(other)
    return found


def _may_choose(choosing: Frame, others: Frame, key: str, hue: str) -> bool:
    """Whether a value is something that is chosen: a number, and of one method."""
    groups: dict[Any, list[RunRow]] = {}
    for i, part in enumerate((choosing, others)):
        for run in part.runs:
            groups.setdefault((i, run.value(hue), run.value(key)), []).append(run)
    known = (run.value(key) for run in choosing.runs)
    numbers = all(_number(value) for value in known if value != MISSING)
    return numbers and key not in NOMINAL and not mixed_keys(groups.values())


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _choice(choosing: Frame, others: Frame, metric: Metric, key: str, hue: str) -> Tuning | None:
    by = chooser(choosing, metric)
    if by.of(choosing).quantity.better is None or not choosing.has(by.name):
        return None
    if moving(choosing, key, hue) or not _may_choose(choosing, others, key, hue):
        return None
    accuracy, loss = map(Metric, CHOOSERS)
    ties = loss if by == accuracy else None
    return settle(choosing, others, key, by, [hue], ties)


def _point(frame: Frame, metric: Metric, value: Any) -> Point | None:
    """What the runs at one value came to; None where none is over."""
    log, measured = metric.quantity.log, metric.measure(frame)
    mixed = mixed_keys([frame.runs])
    outcomes = by_seed([(run, of_run(run, i, measured, log=log)) for i, run in enumerate(frame.runs)], mixed, log=log)
    ended = list(outcomes.values())
    if not ended:
        return None
    fates = [outcome.fate for outcome in ended]
    numbers = [o.value for o in ended if o.fate is Fate.MEASURED]
    summary = summarize([math.log(v) for v in numbers] if log else numbers)
    low, high = (math.exp(summary.low), math.exp(summary.high)) if log else (summary.low, summary.high)
    if Fate.NEVER in fates:
        low = high = math.nan
    mean = restricted_mean(ended, log=log)
    n = len(ended) - fates.count(Fate.LOST)
    return Point(value, mean, low, high, n, fates.count(Fate.LOST), fates.count(Fate.NEVER))
