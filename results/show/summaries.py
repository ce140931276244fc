"""The summaries that runs support, for a page: sensitivity curves, and figures over contenders and problems."""

from __future__ import annotations

from collections.abc import Mapping

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import judged
from batchlab.results.compare.contest import LABEL
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.problems import PROBLEMS, Field, problem_axes
from batchlab.results.compare.replicates import mixed_keys
from batchlab.results.compare.sensitivity import swept
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.field_plots import FieldDrawing, FieldProfiles
from batchlab.results.show.interval_plots import Improvement, Middles
from batchlab.results.show.kinds import Kind
from batchlab.results.show.looks import most
from batchlab.results.show.ranking_plot import RankingMap
from batchlab.results.show.sensitivity_plot import Sensitivity

DRAWN: Mapping[Kind, type[FieldDrawing]] = {
    Kind.PROFILE: FieldProfiles,
    Kind.IQM: Middles,
    Kind.IMPROVEMENT: Improvement,
    Kind.RANKING: RankingMap,
}
"""The figures over contenders and problems."""
METRICS = ("test_accuracy", "test_loss", "train_loss")
"""What a page is about, the first that the runs have."""
CURVES = 2
"""Sensitivity curves of a page."""
SEEDS = 3
"""So many of each contender a summary on one problem takes: of fewer, the table says it all."""


def summaries(frame: Frame) -> list[Drawing]:
    """What can be drawn of these runs that says more than a table and curves; nothing of a single contender.

    Sensitivity curves are of keys with at least 3 values; the figures over problems of contenders that mix no
    methods, with at least 2 problems, or `SEEDS` seeds for the chance to be better.

    Args:
        frame: The runs of a sweep, those that only choose too.
    """
    metric = next((Metric(name) for name in METRICS if frame.has(name)), None)
    hue = _contenders(frame)
    if metric is None:
        return []
    found: list[Drawing] = []
    lines = hue or "optimizer"
    if len({run.value(lines) for run in frame.runs}) <= most(lines):
        axes = problem_axes(frame, lines)
        panel = ",".join(axes) or None
        curves = [Sensitivity(frame, metric, key, lines, panel) for key in swept(frame, lines)[:CURVES]]
        found += [curve for curve in curves if curve.drawable]
    if hue is None:
        return found
    own = judged(frame)
    field = Field(own, metric, hue, problem_axes(own, hue))
    if len(field.contenders) < 2 or mixed_keys(field.groups) or not field.shared:
        return found
    several = len(field.shared) > 1
    kinds = [*Kind][1:] if several else [Kind.IMPROVEMENT] if field.sizes[0] >= SEEDS else []
    drawings = [DRAWN[kind](field) for kind in kinds]
    return [*found, *(drawing for drawing in drawings if drawing.drawable)]


def _contenders(frame: Frame) -> str | None:
    """What is compared: the contenders of a contest, or the choices that vary and are no problem; None: nothing is."""
    if any(LABEL in run.labels for run in frame.runs):
        return LABEL
    axes = [axis for axis in CHOICES if axis not in PROBLEMS]
    return ",".join(axis for axis in axes if len({run.value(axis) for run in frame.runs}) > 1) or None
