"""How well two classes are ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch

from batchlab.results.compare.quantities import Quantity
from batchlab.runner.measures.measure import Measure, Subject
from batchlab.runner.measures.probe import Probe


class AUC(Measure):
    """`test_auc`, and `validation_auc`: the probability that a sample of class 1 is ranked above one of class 0.

    The area under the ROC curve, equals counting half; it says something where one class is rare and accuracy does not.
    """

    quantities: ClassVar[Mapping[str, Quantity]] = {
        f"{split}_auc": Quantity("up", f"{split} AUC", "%", 100) for split in ("test", "validation")
    }

    def check(self, subject: Subject) -> None:
        """Refuse other than two classes.

        Raises:
            ValueError: the data set is a regression, or has other classes, or several labels a sample.
        """
        data = subject.dataset
        if data is not None and (data.classes != 2 or data.target_shape):
            raise ValueError(
                "needs two classes, one label per sample: choose another data set, or leave out measure=auc"
            )

    def measure(self, probe: Probe) -> dict[str, float]:
        """The columns; NaN of a split with one class alone, nothing of one without samples."""
        found = {}
        for split in probe.dataset.splits:
            if split != "train" and len(probe.dataset.split(split)[1]):
                outputs, targets = probe.predictions(split)
                found[f"{split}_auc"] = area((outputs[:, 1] - outputs[:, 0]).double(), targets)
        return found


def area(scores: torch.Tensor, targets: torch.Tensor) -> float:
    """Area under the ROC curve, by ranks (Mann, Whitney 1947).

    Args:
        scores: (n,), higher for class 1.
        targets: (n,) 0 or 1.
    """
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place]  # of equals their mean, from 1
    ones = int(targets.sum())
    pairs = ones * (len(targets) - ones)
    if not pairs:
        return math.nan
    return float(ranks[targets == 1].double().sum() - ones * (ones + 1) / 2) / pairs
