"""At which scale a paper is reproduced."""

from __future__ import annotations

from enum import StrEnum


class Scale(StrEnum):
    """laptop: minutes on two cores, settings of ours; gpu: one card, a reduced budget; paper: as published."""

    LAPTOP = "laptop"
    GPU = "gpu"
    PAPER = "paper"
