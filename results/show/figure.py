"""Which figure is asked for: lines over a clock or a hyper-parameter, layers of a network, or a summary of problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import CHOOSERS, shown
from batchlab.results.compare.contenders import contenders
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CLOCKS, Metric
from batchlab.results.compare.sensitivity import moving
from batchlab.results.compare.swept import filled, one_each, usual_rows
from batchlab.results.compare.where import Where
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.extent import FREE, Extent
from batchlab.results.show.kinds import Kind
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.looks import TooManyLinesError, looks
from batchlab.results.show.plot import Plot
from batchlab.results.show.sensitivity_plot import Sensitivity
from batchlab.results.show.summaries import DRAWN
from batchlab.results.store.runs import RunStore

DATA = "dataset"
Lines = TypeVar("Lines", Plot, Sensitivity)


def load_figure(
    store: RunStore,
    *,
    metric: str,
    x: Sequence[str] = ("samples",),
    hue: str | None = None,
    panel: str | None = None,
    kind: Kind = Kind.CURVES,
    problems: Sequence[str] = (),
    extent: Extent = FREE,
    where: Where | Iterable[str] = (),
    sweep: str | None = None,
    title: str = "",
) -> Drawing:
    """Load what a figure needs: what `batchlab plot` saves.

    Args:
        store: The runs.
        metric: `NAME`, or `min:NAME` and `max:NAME` for the running extreme. A metric of layers (`mean`,
            `clipped_low`, ...: runs with `+measure=gsnr` write them) is drawn layer by layer, in a panel for each
            value of `hue`.
        x: Clocks (samples, steps, epochs, passes, gradients, seconds, flops), one panel for each; or a key that was
            swept (`optimizer.lr`), which the end of the runs is drawn against.
        hue: An axis, label or dotted configuration key: one line for each of its values. None: what the runs differ
            in, with a panel for each data set, so that lines are means over seeds alone.
        panel: Another one: one row of panels for each of its values.
        kind: Lines, or what of a summary over problems: there `hue` makes contenders.
        problems: What makes a problem of such a summary; empty: model and data set, where they vary.
        extent: What the y-axis shows, and how.
        where: Conditions `AXIS=VALUE`, as for `load`.
        sweep: Only the runs of this sweep; of a store that is one sweep that need not be said.
        title: Instead of one made from the metric.

    Returns:
        A drawing that can be saved, or put into a page.

    Raises:
        ValueError: With the way out, for a clock, metric or axis that is not there.
    """
    keys = [name for name in x if name not in CLOCKS]
    if keys and len(x) > 1:
        raise ValueError(f"no x-axis {keys[0]} beside others: choose {', '.join(CLOCKS)}, or one key alone")
    parsed, sweep = Metric.parse(metric), sweep or store.only_sweep()
    where = Where.of(where)
    asked = ",".join([hue or "", panel or "", *x, *problems, *where.keys]).split(",")
    columns = {
        *parsed.columns,
        *(CLOCKS[clock] for clock in x if clock in CLOCKS),
        *(CHOOSERS if keys or kind is not Kind.CURVES else ()),
    }
    whole = load(store, sweep, where=where, columns=columns)
    if kind is not Kind.CURVES:
        _check_summary(kind, x, panel, extent)
        made = contenders(whole, parsed, hue or "optimizer", problems, asked)
        return DRAWN[kind](made.field, title, made.remarks)
    if problems:
        raise ValueError("--problems goes with --kind profile, iqm, improvement or ranking")
    if keys:
        _check_key(whole, keys[0])
        if hue is None:
            whole, hue, panel = _usual_look(store, whole, sweep, panel, keys)
        return _in_panels(Sensitivity(whole, parsed, keys[0], hue, panel, title, extent))
    frame = shown(whole, asked)[0]
    if hue is None:
        frame, hue, panel = _usual_look(store, frame, sweep, panel, ())
    if parsed.name not in frame.names:
        layers = frame.stream("layers")
        if parsed.name in layers.names:
            return Layers(layers, (parsed,), hue, x[0], title)
    return _in_panels(Plot(frame, parsed, tuple(x), hue, panel, title, extent))


def _usual_look(
    store: RunStore, frame: Frame, sweep: str | None, panel: str | None, taken: Sequence[str]
) -> tuple[Frame, str, str | None]:
    """The runs with the hue and the panel that nobody chose: what they differ in, less what is on the x-axis.

    Lines of two data sets never share a panel: what tells these apart makes panels, where nobody chose others.
    """
    with_it = [other for key in taken for other in moving(frame, key) if other not in CHOICES]
    axes = usual_rows(store, frame, sweep, [*taken, *with_it, panel or ""])
    words = [axis for axis in axes if any(axis in run.labels for run in frame.runs)]  # what is filled has some too
    frame = filled(frame, axes)
    for axis in [axis for axis in axes if axis in CHOICES]:
        others = [one for one in axes if one != axis]
        if words and set(others).isdisjoint(CHOICES) and one_each(frame, words, axis):
            axes = others  # the words of a sweep for its runs say it already
    if panel is None and len({run.value(DATA) for run in frame.runs} - {MISSING}) > 1:
        panel = next((axis for axis in [DATA, *axes] if axis in axes and one_each(frame, [axis], DATA)), None)
    if panel is not None:
        axes = [axis for axis in axes if axis != panel] or ["optimizer"]
    return frame, ",".join(axes), panel


def _in_panels(drawn: Lines) -> Lines:
    """The same, with a panel for each value of the hue's first key where one panel has too many lines."""
    if drawn.panel is not None:
        return drawn
    try:
        looks(drawn.frame, drawn.hue, rows=isinstance(drawn, Plot))
    except TooManyLinesError as error:
        if error.panels is None:
            raise
        panel, hue = error.panels
        remark = f"{error.said}: a panel for each {panel} instead (--panel {panel} --hue {hue})"
        return replace(drawn, panel=panel, hue=hue, remarks=(remark,), level=True)
    return drawn


def _check_summary(kind: Kind, x: Sequence[str], panel: str | None, extent: Extent) -> None:
    """See that nothing was asked for that has no effect on a summary.

    Raises:
        ValueError: Something was.
    """
    if extent.scale == "log" and kind in (Kind.PROFILE, Kind.IMPROVEMENT):
        raise ValueError(f"--kind {kind} draws shares, and 0 % has no place on a logarithmic axis: leave out --scale")
    if panel or extent != FREE or tuple(x) != ("samples",):
        raise ValueError(f"--kind {kind} has one panel and its own axes: leave out --x, --panel, --ylim and --scale")


def _check_key(frame: Frame, key: str) -> None:
    """See that some run has a key.

    Raises:
        ValueError: None has, with the clocks that there are too.
    """
    try:
        frame.values(key)
    except ValueError as error:
        raise ValueError(f"no x-axis {key}: choose {', '.join(CLOCKS)}, or a key of the runs ({error})") from None
