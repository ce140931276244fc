"""Losses and accuracies of the splits."""

from __future__ import annotations

from batchlab.runner.measures.measure import Measure
from batchlab.runner.measures.probe import Probe


class Scores(Measure):
    """`test_loss` and, for labels, `test_accuracy`: eval mode, every sample once. Nothing without a test split."""

    def measure(self, probe: Probe) -> dict[str, float]:
        """Columns `test_loss` and `test_accuracy` (a share)."""
        return {f"test_{name}": value for name, value in probe.score("test").items()}


class TrainScores(Measure):
    """`train_eval_loss` and, for labels, `train_accuracy`: eval mode, on the training set without augmentation.

    (`train_loss`, which every row has, is the mean over the mini-batches since the row before.)
    """

    def measure(self, probe: Probe) -> dict[str, float]:
        """Columns `train_eval_loss` and `train_accuracy` (a share)."""
        names = {"loss": "train_eval_loss", "accuracy": "train_accuracy"}
        return {names[name]: value for name, value in probe.score("train").items()}
