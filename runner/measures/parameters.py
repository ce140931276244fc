"""A small model's parameters as columns."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch
from torch import Tensor

from batchlab.runner.measures.measure import Measure, Subject
from batchlab.runner.measures.probe import Probe

MOST = 64
"""Columns that it may add to a row."""


class Parameters(Measure):
    """The parameters in their order, `w1`, `w2`, ..., of a model that has few.

    After a step of an optimizer that measures it also `gsnr_w1`, ...: each coordinate's squared mean gradient over its
    variance between the groups of that step's batch.
    """

    def check(self, subject: Subject) -> None:
        """Refuse models of more than 64 parameters.

        Raises:
            ValueError: the run's model has more.
        """
        if subject.model is None:
            return
        count = sum(p.numel() for p in subject.model.parameters())
        if count > MOST:
            raise ValueError(
                f"a model of {count:,} parameters would add as many columns; it takes models of up to {MOST}, so leave "
                "it out (~measure=parameters)"
            )

    def measure(self, probe: Probe) -> dict[str, float]:
        """Columns `w1`, `w2`, ... and, where known, `gsnr_w1`, `gsnr_w2`, ..."""
        row = {f"w{i}": w for i, w in enumerate(_flat(probe.model.parameters()), 1)}
        if probe.moments is not None and probe.moments.elementwise and probe.clock.steps:
            means, squares = _flat(probe.moments.means()), _flat(probe.moments.second_moments())
            for i, (g, square) in enumerate(zip(means, squares, strict=True), 1):
                row[f"gsnr_w{i}"] = g**2 / max(square - g**2, sys.float_info.min)
        return row


def _flat(tensors: Iterable[Tensor]) -> list[float]:
    numbers: list[float] = torch.cat([t.detach().reshape(-1).double() for t in tensors]).tolist()
    return numbers
