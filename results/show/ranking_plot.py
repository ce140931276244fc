"""The ranking heat map: contenders by problem, coloured by how far each is behind the best there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batchlab.results.compare.outcomes import Fate, restricted_mean
from batchlab.results.compare.problems import PROBLEMS
from batchlab.results.compare.stats import Array
from batchlab.results.show.cells import Cells, Value
from batchlab.results.show.drawing import GREY, INK
from batchlab.results.show.field_plots import FieldDrawing
from batchlab.results.show.legend import foot, head
from batchlab.results.show.lettering import plain
from batchlab.results.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 20
"""Contenders of a map: each pair of them is tested on each problem."""
LETTERS = 34
"""Of a contender's name in one line, of two."""
DARK, LIGHT = "#1b1f24", "#fdfdfd"
"""Letters on a cell, whatever the page's colour is."""


@dataclass(frozen=True)
class RankingMap(FieldDrawing):
    """A row for each contender, a column for each problem and for all of them; groups that are not told apart."""

    @property
    def wide(self) -> bool:
        """With many problems."""
        return len(self.field.shared) > 4

    def check(self) -> None:
        """Also that there are not too many.

        Raises:
            ValueError: With what is missing, or how to narrow.
        """
        super().check()
        if len(self.field.contenders) > MOST:
            raise ValueError(
                f"{len(self.field.contenders)} contenders by {self.field.hue}: a map shows {MOST}; use --where, or "
                "another --hue"
            )

    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw, with what is missing.
        """
        from matplotlib.figure import Figure

        self.check()
        rankings = self.field.rankings
        first = rankings.get("", next(iter(rankings.values())))
        order = first.order
        columns = [*rankings]
        longest = min(LETTERS, max(len(self.called[name]) for name in order))
        size = (1.6 + 0.085 * longest + 1.12 * len(columns), 0.42 * len(order) + 1.9)
        figure = Figure(figsize=(max(5.0, size[0]), size[1]), layout="constrained")
        axes = figure.subplots()
        distances = np.array([[self._behind(name, column) for column in columns] for name in order])
        shades, farthest = _shades(distances)
        self._draw(axes, order, columns, shades)
        known = self.field.metric.quantity
        where = f" [{known.unit}]" * bool(known.unit)
        foot(figure, [
            f"over {self.over}; {self.field.metric.label}{where}, mean over seeds; the darker, the nearer to the best "
            f"of the column{self._scale(farthest)}. Rows in the order of the verdicts, and where they leave it open of "
            "the mean, a lost run counting as the worst. Who shares a letter in a column is not told apart there: "
            "paired tests, 5 % over the pairs of a column (Holm)"
            + ("; all: the mean over problems, seed by seed" if "" in columns and self.field.axes else "")
            + ("; † runs that were lost, not in the mean" if self._lost() else "")
            + ("; ≥: a target never reached counts as its budget" if self._never() else ""),
            *self.left_out(), *self.remarks, *self.mixtures(),
        ])  # fmt: skip
        head(figure, self.title or f"{self.field.metric.label}: ranking of {self.field.hue.replace(',', ', ')}")
        return figure

    def cells(self, figure: Figure) -> list[tuple[Axes, Cells]]:
        """Mean, seeds and group of each contender on each problem."""
        rankings, (axes,) = self.field.rankings, figure.axes
        order, columns = rankings.get("", next(iter(rankings.values()))).order, [*rankings]

        def table(said: Callable[[str, str], Value]) -> list[list[Value]]:
            return [[said(name, column) for column in columns] for name in order]

        known = self.field.metric.quantity
        fields = {
            f"{self.field.metric.label}{f' [{known.unit}]' * bool(known.unit)}": table(
                lambda name, column: known.scale * self._means(name, column)
            ),
            "n": table(lambda name, column: sum(len(self.field.outcomes[name][p]) for p in self._problems(column))),
            "group": table(lambda name, column: self._letters(name, column)),
            "note": table(self._said),
        }
        fields = {name: values for name, values in fields.items() if any(any(row) for row in values)}
        return [(axes, Cells(
            "", self.field.hue, [self.called[name] for name in order], ", ".join(self.field.axes),
            [self._head(column) for column in columns], [i - 0.5 for i in range(len(columns) + 1)],
            [i - 0.5 for i in range(len(order) + 1)], [*fields], [*fields.values()],
        ))]  # fmt: skip

    def _problems(self, column: str) -> list[str]:
        return [column] if column in self.field.shared else self.field.shared

    def _head(self, column: str) -> str:
        return column or ("all" if self.field.axes else "all runs")

    def _letters(self, name: str, column: str) -> str:
        """The groups of a column that a contender is in; none where nothing could be tested."""
        ranking = self.field.rankings[column]
        return ranking.groups[name] if any(item.tested for item in ranking.pairs) else ""

    def _said(self, name: str, column: str) -> str:
        fates = [o.fate for p in self._problems(column) for o in self.field.outcomes[name][p].values()]
        lost, never = fates.count(Fate.LOST), fates.count(Fate.NEVER)
        found = [f"{count(lost, 'run')} lost, not in the mean"] * bool(lost)
        return "; ".join([*found, *[f"{never} never reached it: counted as the budget"] * bool(never)])

    def _draw(self, axes: Axes, order: list[str], columns: list[str], shades: Array) -> None:
        from matplotlib import colormaps

        blues = colormaps["Blues"]
        axes.imshow(shades, cmap=blues, vmin=0, vmax=1.25, aspect="auto")
        for i, name in enumerate(order):
            for j, column in enumerate(columns):
                red, green, blue, _ = blues(shades[i, j] / 1.25)
                color = DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else LIGHT
                letters = self._letters(name, column)
                axes.text(j, i - 0.13 * bool(letters), self._text(name, column), color=color, ha="center", va="center",
                          fontsize=8.5)  # fmt: skip
                axes.text(j, i + 0.27, letters, color=color, ha="center", va="center", fontsize=7, style="italic")
        heads = [plain(self._head(column), 14, 2) for column in columns]
        axes.set_xticks(range(len(columns)), heads, fontsize=8)
        axes.set_yticks(range(len(order)), [plain(self.called[name], LETTERS, 2) for name in order], fontsize=8)
        axes.xaxis.tick_top()
        if any(axis not in PROBLEMS for axis in self.field.axes):  # a number alone says nothing
            axes.set_xlabel(plain(", ".join(self.field.axes), 50), fontsize=8, color=GREY)
            axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)

    def _means(self, name: str, column: str) -> float:
        """Over seeds; over all problems the mean of their means."""
        problems = self._problems(column)
        own = self.field.outcomes[name]
        log = self.field.metric.quantity.log
        means = np.array([restricted_mean(own[p].values(), log=log) for p in problems])
        return float(np.exp(np.log(means).mean()) if log else means.mean())

    def _behind(self, name: str, column: str) -> float:
        sign = 1.0 if self.field.up else -1.0
        mean = self._means(name, column)
        return sign * math.log(mean) if self.field.ratio and mean > 0 else sign * mean

    def _scale(self, farthest: float) -> str:
        """How far from the best the palest cell is: the colour of a distance is the same in all columns."""
        if not farthest:
            return ""
        known = self.field.metric.quantity
        if self.field.ratio:
            factor = math.exp(farthest)
            far = f"{factor:.3g} times the best" if not self.field.up else f"1/{factor:.3g} of the best"
        else:
            unit = "points" if known.share else known.unit
            far = f"{known.scale * farthest:.3g}{f' {unit}' if unit else ''} behind"
        return f", on one scale in all columns: the palest is {far}"

    def _text(self, name: str, column: str) -> str:
        fates = [o.fate for p in self._problems(column) for o in self.field.outcomes[name][p].values()]
        value = self._means(name, column) * self.field.metric.quantity.scale
        shown = "–" if math.isnan(value) else f"{value:.2f}" if self.field.metric.quantity.share else f"{value:.4g}"
        lost = f" †{fates.count(Fate.LOST)}" if Fate.LOST in fates else ""
        return f"{'≥ ' if Fate.NEVER in fates else ''}{shown}{lost}"

    def _lost(self) -> bool:
        return any(
            o.fate is Fate.LOST for own in self.field.outcomes.values() for p in own.values() for o in p.values()
        )

    def _never(self) -> bool:
        return any(
            o.fate is Fate.NEVER for own in self.field.outcomes.values() for p in own.values() for o in p.values()
        )


def _shades(values: Array) -> tuple[Array, float]:
    """From 1 for the best of a column to 0 for what is farthest behind its own in any, and how far that is.

    >>> shades, farthest = _shades(np.array([[0.9, 0.5], [0.8, 0.5], [0.5, np.nan]]))
    >>> shades.round(3).tolist(), round(farthest, 3)
    ([[1.0, 1.0], [0.75, 1.0], [0.0, 0.0]], 0.4)

    Args:
        values: More is better, of shape (contenders, columns); what is no number is as pale as the farthest.
    """
    known = np.isfinite(values)
    best = np.where(known, values, -np.inf).max(axis=0)
    behind = np.where(known, np.where(known, best, 0.0) - np.where(known, values, 0.0), 0.0)
    farthest = float(behind.max(initial=0.0))
    return np.where(known, 1 - behind / farthest if farthest else 1.0, 0.0), farthest
