"""The parts of a section: tables with their buttons, figures, lines of text."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from itertools import count as counting
from typing import Any

from markupsafe import Markup

from batchlab.results.report.assets import fill
from batchlab.results.report.cells import cells_payload
from batchlab.results.report.curves import encode, payload
from batchlab.results.report.points import points_payload
from batchlab.results.show.drawing import Drawing, spoken
from batchlab.results.show.hypertext import coded, to_html
from batchlab.results.show.plot import Plot
from batchlab.results.show.render import render
from batchlab.results.show.sheet import Sheet

LINES = 14
"""With more lines a still picture is left out: nobody could tell them apart (a paper's, with panels, can be)."""
CURVES = 600
"""The same for curves that a reader can hide, isolate and point at."""
WIDE = 6
"""A table of more columns is printed on a page that lies on its side."""


class Parts:
    """Makes the parts of one page, each with a name that no other one has."""

    def __init__(self) -> None:
        self._numbers = counting(1)

    def name(self, kind: str) -> str:
        """A name for an element: `c3`."""
        return f"{kind}{next(self._numbers)}"

    def sheet(self, sheet: Sheet, anchor: str = "") -> Markup:
        """A table, with buttons that copy it.

        Args:
            sheet: What it shows.
            anchor: What its rows are named after, for who links to them.
        """
        texts = {name: render(sheet, name.lower()) for name in ("LaTeX", "CSV")} if sheet.rows else {}
        copies = {name: packed(text) for name, text in texts.items() if text}
        table = Markup(to_html(sheet, anchor))
        return fill("sheet", table=table, copies=copies, title=sheet.title, wide=len(sheet.columns) > WIDE)

    def drawings(self, drawings: Sequence[Drawing]) -> Markup:
        """Figures in their order; plots that differ in their metric alone are one, in which it is a choice."""
        found: list[list[Drawing]] = []
        for drawing in drawings:
            if found and _differ_in_metric(found[-1][-1], drawing):
                found[-1].append(drawing)
            else:
                found.append([drawing])
        made = [[own for own in group if isinstance(own, Plot)] for group in found]
        return Markup("").join(
            self.curves(*plots) if plots else self.drawing(group[0]) for group, plots in zip(found, made, strict=True)
        )

    def drawing(self, drawing: Drawing, notes: Sequence[str] = ()) -> Markup:
        """A figure that answers: curves, points, or a picture whose cells do; why there is none where that is so.

        Args:
            drawing: What it shows.
            notes: Said below a picture whose cells answer.
        """
        if isinstance(drawing, Plot):
            return self.curves(drawing)
        try:
            points = drawing.points()
            if points is None:
                return self._picture(drawing, notes)
            still = [fill("still", svg=self._svg(drawing), wide=drawing.wide)]
            return self._answering(points_payload(points), still)
        except ValueError as error:  # nothing to draw yet
            return said(str(error))

    def curves(self, *plots: Plot) -> Markup:
        """Curves that answer, with still pictures of them until they are there.

        Args:
            *plots: Of the same runs by the same hue: the first is what is shown at first, the metrics of the others
                are a choice.
        """
        first = plots[0]
        lines = len({run.value(first.hue) for run in first.frame.runs})
        if lines > CURVES:
            return said(f"{lines:,} lines are too many to draw: `batchlab plot --where` draws some")
        title = first.title or f"{first.metric.title} by {first.hue.replace(',', ', ')}"
        metrics = [str(plot.metric) for plot in plots]
        look: dict[str, Any] = {"title": title, "panel": first.panel, "scale": first.extent.scale}
        try:
            data = payload(first.frame, metrics, first.hue, clock=first.clocks[0], **look)
            still = [
                fill("still", svg=self._svg(plot), wide=plot.wide) for plot in plots if lines <= LINES or plot.panel
            ]
        except ValueError as error:
            return said(str(error))
        return self._answering(data, still)

    def _answering(self, data: dict[str, Any], still: Sequence[Markup]) -> Markup:
        """A figure that answers, of what a browser needs, with still pictures until it does."""
        return fill("curves", name=self.name("c"), data=Markup(encode(data)), still=still, title=data["title"])

    def _picture(self, drawing: Drawing, notes: Sequence[str]) -> Markup:
        """A still picture, of which the cells answer."""
        svg, figure = drawing.pictured()
        title = spoken(figure)
        data = Markup(encode(cells_payload(title, drawing.cells(figure), figure)))
        own = Markup(apart(svg, self.name("f")))
        return fill("cells", name=self.name("c"), data=data, svg=own, wide=drawing.wide, title=title, notes=notes)

    def _svg(self, drawing: Drawing) -> Markup:
        return Markup(apart(drawing.svg(), self.name("f")))


def _differ_in_metric(one: Drawing, other: Drawing) -> bool:
    """Whether two drawings are the same plot of two metrics."""
    if not isinstance(one, Plot) or not isinstance(other, Plot) or one.frame is not other.frame:
        return False
    return all(getattr(one, key) == getattr(other, key) for key in ("clocks", "hue", "panel", "title", "extent"))


def said(text: str) -> Markup:
    """A line in the place of what is not there."""
    return Markup("<p class='empty'>{}</p>").format(Markup(coded(text)))


def lead(text: str) -> Markup:
    """The line below a section's title."""
    return Markup("<p class='lead'>{}</p>").format(text)


def packed(text: str) -> str:
    """A text for a button to copy, a tenth of its size: zlib, in base64."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def apart(svg: str, name: str) -> str:
    """An SVG whose elements have names of its own: those of two figures are the same, and a page is one document."""
    marks = re.compile(r"""((?:\s(?:xlink:)?href="#|\sid="|url\(#))""")
    return re.sub(r"<[^>]*>", lambda tag: marks.sub(rf"\g<1>{name}-", tag[0]), svg)
