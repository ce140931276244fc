"""Runs one by one: how each ended, what sets it apart, its main metric and how long it trained."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from batchlab.results.axes import AXES, CHOICES
from batchlab.results.compare.apart import differing, settings
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import CANDIDATES, Metric
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number
from batchlab.results.store.run import State
from batchlab.results.words import caption, count

METRIC, TIME, STATE = "metric", "train_seconds", "state"
"""What runs can be in order of, beside axes, labels and keys."""
SHARES = "runs that trained together have each a share of their group's time"
LOST = (State.DIVERGED, State.FAILED)
"""Runs that had a number and lost it, or did not come to their end: it is not for comparing."""
BAD = (State.FAILED, State.DAMAGED, State.DIVERGED)


def main_metric(frame: Frame) -> Metric | None:
    """The metric that says most of these runs: what most of them recorded, the most telling first; None: nothing.

    Args:
        frame: The runs, with the columns of `CANDIDATES`.
    """
    known = [Metric(name).of(frame) for name in CANDIDATES if frame.has(name)]
    measured = [sum(map(math.isfinite, metric.measure(frame).values.tolist())) for metric in known]
    most = max(measured, default=0)
    return known[measured.index(most)] if most else None


def runs_sheet(frame: Frame, metric: Metric | None = None, sort: str | None = None) -> Sheet:
    """A row for each run.

    Args:
        frame: The runs.
        metric: A column of this one; None: none.
        sort: `metric` (best first), `train_seconds`, `state`, or an axis, label or key; None: as they are.

    Raises:
        ValueError: For a metric or a key that no run has.
    """
    values = [math.nan] * len(frame.runs)
    missed = [False] * len(frame.runs)
    if metric is not None and frame.runs:
        metric = metric.of(frame)
        measured = metric.measure(frame)
        lost = [run.state in LOST for run in frame.runs]
        values = [math.nan if gone else value for gone, value in zip(lost, measured.values.tolist(), strict=True)]
        missed = [never and not gone for gone, never in zip(lost, measured.missed.tolist(), strict=True)]
    times = [_seconds(run) for run in frame.runs]
    said, reasons = _differences(frame.runs), [_why(run) for run in frame.runs]
    columns = [Column((name,)) for name in ("run", "state", "what differs")]
    columns += [Column(("why",))] if any(reasons) else []
    columns += [Column((metric.title,), "right")] if metric is not None else []
    longest = max(filter(math.isfinite, times), default=math.nan)
    timed = math.isfinite(longest)
    columns += [Column(("time [s]",), "right")] if timed else []
    rows, records = [], []
    for i in _order(frame, metric, values, times, sort):
        run = frame.runs[i]
        cells = [
            Text(run.run_id),
            Text(run.state, tone="bad" if run.state in BAD else ""),
            Text(said[i][0], tone="dim"),
        ]
        cells += [Text(reasons[i])] if any(reasons) else []
        record: dict[str, Any] = {"run_id": run.run_id, "state": run.state.value}
        record |= {"what": said[i][1], "why": reasons[i]}
        if metric is not None:
            shown = values[i] * metric.quantity.scale
            places = 2 if metric.quantity.share else decimals(math.nan, shown)
            cells.append(Text("not reached" if missed[i] else number(shown, places)))
            record[str(metric)] = values[i]
        rows.append([*cells, *([Text(number(times[i], 1 if longest >= 10 else 3))] if timed else [])])
        records.append(record | {TIME: times[i]})
    notes = [SHARES] if timed and any(run.info.get("fused") for run in frame.runs) else []
    return Sheet(count(len(rows), "run"), columns, rows, [*notes, *frame.problems], records, "no runs match")


def _differences(runs: Sequence[RunRow]) -> list[tuple[str, str]]:
    """What sets each apart, in short for people and as overrides say it.

    In its sweep where one was named, else among these runs; of one alone its choices.
    """
    keys = differing(runs) or [*AXES]
    known = dict.fromkeys([*keys, *(key for run in runs for key in run.overrides)])
    ends = Counter(key.rpartition(".")[2] for key in known)

    def short(text: str) -> str:
        key, _, value = text.partition("=")
        end = key.rpartition(".")[2]
        return value if key in CHOICES else f"{end if ends[end] == 1 else key}={value}"

    found = []
    for run in runs:
        own = [f"{key}={value}" for key, value in run.overrides.items()]
        own = own if own or run.labels else settings(run, keys)
        found.append((caption(run.labels, [*map(short, own)]), caption(run.labels, own)))
    return found


def _order(
    frame: Frame, metric: Metric | None, values: Sequence[float], times: Sequence[float], sort: str | None
) -> list[int]:
    """The places of the runs, in order; those of which nothing is known come last.

    Raises:
        ValueError: No run has such a key.
    """
    places = [*range(len(frame.runs))]
    if sort is None or not places:
        return places
    if sort == METRIC:
        if metric is None:
            raise ValueError("--sort metric: no run has recorded one yet")
        sign = {"up": -1.0, "down": 1.0}.get(metric.quantity.better or "", 0.0)
        return sorted(places, key=lambda i: _last(math.nan if math.isnan(values[i]) else sign * values[i]))
    if sort == TIME:
        return sorted(places, key=lambda i: _last(times[i]))
    if sort == STATE:
        order = {state: i for i, state in enumerate(State)}
        return sorted(places, key=lambda i: order[frame.runs[i].state])
    known = frame.values(sort)
    texts = not all(isinstance(value, (int, float)) for value in known)
    rank = {repr(value): i for i, value in enumerate(sorted(known, key=str) if texts else known)}
    return sorted(places, key=lambda i: rank.get(repr(frame.runs[i].value(sort)), len(rank)))


def _last(value: float) -> tuple[bool, float]:
    """To sort by: NaN comes last."""
    return math.isnan(value), 0.0 if math.isnan(value) else value


def _seconds(run: RunRow) -> float:
    value = run.info.get(TIME)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _why(run: RunRow) -> str:
    """Why it was set aside, or how it came to end as it did; empty where there is nothing to say."""
    aside = run.info.get("set_aside")
    return str(aside.get("why", "")) if isinstance(aside, dict) else run.reason or ""
