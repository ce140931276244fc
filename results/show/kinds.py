"""What kinds of figures there are, for the command line: nothing is imported to list them."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a figure shows."""

    CURVES = "curves"
    PROFILE = "profile"
    IQM = "iqm"
    IMPROVEMENT = "improvement"
    RANKING = "ranking"


class AxisScale(StrEnum):
    """How a y-axis is divided."""

    LINEAR = "linear"
    LOG = "log"
