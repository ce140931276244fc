"""Runs that belong to no paper and no comparison: a user's own sweeps, as carefully shown as those are.

The rows of a table are what the sweep gave values to, so that no cell mixes two methods. Learning rates that were tried
are rows too, never averaged over; where a validation metric was recorded, a second table has each contender at the rate
that it chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from batchlab.results.compare.choice import CHOOSERS, shown, validation
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.metrics import CANDIDATES, CLOCKS, Metric
from batchlab.results.compare.swept import filled, is_rate, swept_axes
from batchlab.results.compare.table import build_table
from batchlab.results.report.parts import Parts, said
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.plot import Plot
from batchlab.results.show.summaries import summaries
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.run import State
from batchlab.results.store.runs import Sweep

SHOWN = (*CANDIDATES, *CHOOSERS, *dict.fromkeys(CLOCKS.values()))
OWN = 3
"""So many of the columns that runs declare are shown beside them."""
ROWS = 300
"""Rows of a table: of more the command that prints them all is named."""
AGAINST = 12
"""Of more contenders none is compared with the first: corrected for so many, little would be told apart."""
PANELS = 6
"""Panels of a plot of layers."""


def of_sweep(every: Frame, sweep: Sweep) -> Frame:
    """The runs of a sweep among those that were read, in its order and with its labels."""
    rows = {run.run_id: run for run in every.runs}
    there = [(entry, rows[entry.run_id]) for entry in sweep.entries if entry.run_id in rows]
    return replace(every, runs=[replace(run, labels=entry.labels) for entry, run in there], ordered=True)


def own_columns(frame: Frame) -> list[str]:
    """The columns that runs declare themselves, of which something can be said."""
    own = [name for name, known in frame.quantities.items() if known.better and name in frame.names]
    return [name for name in own if name not in SHOWN][:OWN]


def overview(parts: Parts, frame: Frame, swept: Sequence[str] = ()) -> Markup:
    """Tables by what differs between the runs, and curves.

    Args:
        parts: Makes them.
        frame: The runs, with the columns of `SHOWN` and `own_columns`.
        swept: The keys that their sweep gave values to; none: of runs that no sweep says anything of.
    """
    own = own_columns(frame)
    metrics = [Metric(name) for name in [*[name for name in CANDIDATES if frame.has(name)][:3], *own]]
    if not metrics:
        return said("no run has recorded a row yet")
    everything = frame
    frame, notes = shown(frame, [])
    axes = swept_axes(frame, swept)
    frame, everything = (filled(one, axes) for one in (frame, everything))
    hue = ",".join(axes) or "optimizer"
    rates = [axis for axis in axes if is_rate(axis)]
    made = [_table(parts, frame, axes or ["optimizer"], metrics, notes, against=not rates)]
    made.append(_tuned(parts, everything, rates, [axis for axis in axes if axis not in rates], metrics))
    made.append(parts.curves(*(Plot(frame, metric, ("samples", "seconds"), hue) for metric in metrics)))
    layers = frame.stream("layers").select(lambda run: run.rows.stop > run.rows.start)
    if layers.runs and len({run.value(hue) for run in layers.runs}) <= PANELS:
        made.append(parts.drawing(Layers(layers, tuple(map(Metric, ("mean", "clipped_low", "clipped_high"))), hue)))
    return Markup("").join([*made, summed_up(parts, everything)])


def summed_up(parts: Parts, frame: Frame) -> Markup:
    """What says more of runs than tables and curves do: sensitivity to what was tuned, profiles, rankings."""
    if not any(run.state is State.DONE for run in frame.runs):
        return Markup("")  # of runs that were all lost there is nothing to sum up
    return Markup("").join(parts.drawing(drawing, drawing.notes) for drawing in summaries(frame))


def _table(
    parts: Parts, frame: Frame, axes: Sequence[str], metrics: Sequence[Metric], notes: Sequence[str], *, against: bool
) -> Markup:
    """By what was swept.

    Args:
        parts: Makes it.
        frame: The runs.
        axes: What was swept.
        metrics: What is shown.
        notes: Said beneath.
        against: Whether each row is compared with the first: not where rates that were tried have rows.
    """
    baseline = _first(frame, axes) if against else None
    table = build_table(frame, rows=axes, metrics=metrics, baseline=baseline)
    if len(table.rows) > ROWS:
        rows = " ".join(f"--rows {axis}" for axis in axes)
        return said(f"the table has {len(table.rows):,} rows: `batchlab table {rows}` prints it")
    return parts.sheet(table_sheet(replace(table, notes=[*table.notes, *notes])))


def _tuned(
    parts: Parts, frame: Frame, rates: Sequence[str], others: Sequence[str], metrics: Sequence[Metric]
) -> Markup:
    """Each contender at the rate that validation chose; why there is no such table where rates were tried."""
    if len(rates) != 1:
        return Markup("")
    others = others or ["optimizer"]
    chooser = validation(frame)
    if chooser is None:
        return said(
            f"each {rates[0]} has a row of its own: no validation metric was recorded to choose one by "
            "(dataset.validation=0.1)"
        )
    try:
        title = f"each at the {rates[0]} that validation chose"
        shown, baseline = [chooser, *metrics], _first(frame, others)
        table = build_table(frame, rows=others, metrics=shown, baseline=baseline, tuned=rates[0], title=title)
    except ValueError as error:
        return said(f"no table of tuned rates: {error}")
    return parts.sheet(table_sheet(table))


def _first(frame: Frame, axes: Sequence[str]) -> dict[str, Any] | None:
    """The first contender that was asked for, against which the others are tested; None where there are too many.

    Who sweeps a method of their own against a usual one writes that one first.
    """
    contenders = {key: None for run in frame.runs if MISSING not in (key := tuple(map(run.value, axes)))}
    if not 2 <= len(contenders) <= AGAINST:
        return None
    return dict(zip(axes, next(iter(contenders)), strict=True))
