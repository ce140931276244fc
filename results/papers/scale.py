"""At which scale a paper is reproduced."""

from __future__ import annotations

from enum import StrEnum


class Scale(StrEnum):
    """How much of a paper's comparison is trained.

    laptop: minutes on two cores, settings of ours; desk: about an hour on two cores, the paper's kind of data and
    model, smaller; gpu: one card, a reduced budget; paper: as published.
    """

    LAPTOP = "laptop"
    DESK = "desk"
    GPU = "gpu"
    PAPER = "paper"
