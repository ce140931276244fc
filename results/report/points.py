"""The interactive figures of points: what a browser needs to draw them. It computes nothing but logarithms."""

from __future__ import annotations

import math
from typing import Any

from batchlab.results.report.curves import PALETTE, sent_look
from batchlab.results.show.extent import BEYOND, CUT, FARTHER, FEW, ROOM
from batchlab.results.show.points import Axis, Dots, Point, Points
from batchlab.results.words import visible


def points_payload(points: Points) -> dict[str, Any]:
    """What one interactive figure of points is drawn from: JSON-ready."""
    shown = [panel for panel in points.panels if any(line.points or line.fallen for line in panel.lines)]
    names = list(dict.fromkeys(visible(line.name) for panel in shown for line in panel.lines))
    panels = [{"key": visible(panel.key or panel.title), "title": visible(panel.title)} for panel in shown]
    lines = [{"panel": i, **_line(line)} for i, panel in enumerate(shown) for line in panel.lines]
    return {
        "title": visible(points.title),
        "panel": visible(points.panel),
        "panels": panels,
        "names": names,
        "axes": [{"x": _axis(panel.x), "y": _axis(panel.y), "rows": panel.rows} for panel in shown],
        "many": False,
        "palette": PALETTE,
        "cut": CUT,
        "beyond": BEYOND,
        "farther": FARTHER,
        "few": FEW,
        "room": ROOM,
        "joined": points.joined,
        "step": points.step,
        "bars": points.bars,
        "edge": points.edge,
        "metrics": [],
        "lines": lines,
        "notes": [visible(note) for note in points.notes],
    }


def _line(line: Dots) -> dict[str, Any]:
    look = line.look
    return {
        "name": visible(line.name),
        "look": sent_look(look["color"], look.get("ls", "-"), look.get("marker") or ""),
        "said": visible(line.said),
        "points": [_point(point) for point in line.points if math.isfinite(point.y)],
        "single": [[x, y] for x, y in line.single if math.isfinite(y)],
        "fallen": [[x, visible(text)] for x, text in line.fallen],
    }


def _point(point: Point) -> dict[str, Any] | list[float]:
    """Less what it has not; x and y alone where that is all."""
    ends = {"low": point.low, "high": point.high}
    more: dict[str, Any] = {name: _short(value) for name, value in ends.items() if math.isfinite(value)}
    said = {"n": point.n, "note": visible(point.note), "mark": " ".join(point.marks), "beside": point.beside or None}
    more |= {name: value for name, value in said.items() if value not in (None, "")}
    x, y = _short(point.x), _short(point.y)
    return {"x": x, "y": y, **more} if more else [x, y]


def _short(value: float) -> float:
    """To 9 digits."""
    return float(f"{value:.9g}")


def _axis(axis: Axis) -> dict[str, Any]:
    ticks = [[at, visible(text)] for at, text in axis.ticks]
    asked = {"words": axis.words, "linear": axis.linear, "arithmetic": axis.arithmetic}
    known = {name: getattr(axis, name) for name in ("least", "most", "neutral")}
    return {
        "label": visible(axis.label), "log": axis.log, "ticks": ticks, "unit": axis.unit,
        **{name: is_so for name, is_so in asked.items() if is_so},
        **{name: value for name, value in known.items() if math.isfinite(value)},
    }  # fmt: skip
