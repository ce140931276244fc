"""Which figure a metric asks for: lines over a clock, or the layers of a network over it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchlab.results.compare.choice import shown
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import CLOCKS, Metric
from batchlab.results.compare.where import Where
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.plot import Plot
from batchlab.results.store.runs import RunStore


def load_figure(
    store: RunStore,
    *,
    metric: str,
    x: Sequence[str] = ("samples",),
    hue: str = "optimizer",
    panel: str | None = None,
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
        x: Clocks (samples, steps, epochs, passes, gradients, seconds), one panel for each.
        hue: An axis, label or dotted configuration key: one line for each of its values.
        panel: Another one: one row of panels for each of its values.
        where: Conditions `AXIS=VALUE`, as for `load`.
        sweep: Only the runs of this sweep.
        title: Instead of one made from the metric.

    Returns:
        A drawing that can be saved, or put into a page.

    Raises:
        ValueError: With the way out, for a clock, metric or axis that is not there.
    """
    unknown = [clock for clock in x if clock not in CLOCKS]
    if unknown:
        raise ValueError(f"no x-axis {unknown[0]}: choose {', '.join(CLOCKS)}")
    parsed = Metric.parse(metric)
    columns = {*parsed.columns, *(CLOCKS[clock] for clock in x)}
    where = Where.of(where)
    asked = [hue, panel or "", *where.keys]
    frame = shown(load(store, sweep, where=where, columns=columns), ",".join(asked).split(","))[0]
    if parsed.name not in frame.names:
        layers = frame.stream("layers")
        if parsed.name in layers.names:
            return Layers(layers, (parsed,), hue, x[0], title)
    return Plot(frame, parsed, tuple(x), hue, panel, title)
