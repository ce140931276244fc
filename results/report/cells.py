"""Still pictures whose cells say their numbers: what a browser needs to know where each lies, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from batchlab.results.show.cells import Cells, Value
from batchlab.results.words import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def cells_payload(title: str, drawn: Sequence[tuple[Axes, Cells]], figure: Figure) -> dict[str, Any]:
    """What one picture says: JSON-ready.

    Args:
        title: What it is called.
        drawn: Each panel with its cells.
        figure: In which they are, laid out.
    """
    return {"title": visible(title), "panels": [_panel(axes, cells, figure) for axes, cells in drawn]}


def _panel(axes: Axes, cells: Cells, figure: Figure) -> dict[str, Any]:
    """Edges are parts of the picture's width and height, from the left and from above."""
    to_figure = axes.transData + figure.transFigure.inverted()
    x = to_figure.transform([(edge, cells.y[0]) for edge in cells.x])[:, 0]
    y = 1 - to_figure.transform([(cells.x[0], edge) for edge in cells.y])[:, 1]
    return {
        "title": visible(cells.title),
        "row": visible(cells.row),
        "rows": [visible(name) for name in cells.rows],
        "column": visible(cells.column),
        "columns": [visible(name) for name in cells.columns],
        "x": np.round(x, 5).tolist(),
        "y": np.round(y, 5).tolist(),
        "fields": [visible(name) for name in cells.fields],
        "values": [[[_sent(value) for value in row] for row in field] for field in cells.values],
    }


def _sent(value: Value) -> Value:
    """A number to 7 digits, none where it is none."""
    if isinstance(value, str):
        return visible(value)
    return None if value is None or not math.isfinite(value) else float(f"{value:.7g}")
