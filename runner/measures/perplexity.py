"""Perplexity and bits per token of the splits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from batchlab.results.compare.quantities import Quantity
from batchlab.runner.measures.measure import Measure, Subject
from batchlab.runner.measures.probe import Probe


class Perplexity(Measure):
    """`test_perplexity`, exp of the mean cross entropy in nats, and `test_bits`, the same mean in bits per label.

    With `dataset.validation` also those of the validation split. It is the mean of `train.loss` that is taken, so it
    means what it says where that is the cross entropy.
    """

    quantities: ClassVar[Mapping[str, Quantity]] = {
        f"{split}_{name}": Quantity("down", f"{split} {words}", log=name == "perplexity")
        for split in ("test", "validation")
        for name, words in (("perplexity", "perplexity"), ("bits", "bits per label"))
    }

    def check(self, subject: Subject) -> None:
        """Refuse data without labels.

        Raises:
            ValueError: the data set is a regression.
        """
        if subject.dataset is not None and subject.dataset.classes is None:
            raise ValueError("needs labels: choose another data set, or leave out measure=perplexity")

    def measure(self, probe: Probe) -> dict[str, float]:
        """The columns; nothing of a split without samples."""
        found = {}
        for split in probe.dataset.splits:
            if split != "train" and (loss := probe.score(split).get("loss")) is not None:
                found[f"{split}_perplexity"] = math.exp(loss) if loss < 700 else math.inf
                found[f"{split}_bits"] = loss / math.log(2)
        return found
