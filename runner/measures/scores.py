"""Losses and accuracies of the splits."""

from __future__ import annotations

from batchlab.runner.measures.measure import Measure
from batchlab.runner.measures.probe import Known, Probe


class Scores(Measure):
    """`test_loss` and, for labels, `test_accuracy`: eval mode, every sample once. Nothing without a test split.

    With `dataset.validation` also `validation_loss` and `validation_accuracy`, which a choice is to be made by.
    """

    columns = ("test_loss", "test_accuracy", "validation_loss", "validation_accuracy")

    def asks(self, probe: Probe) -> list[Known]:
        """The sums of every split but the training set."""
        return [("sums", split) for split in probe.dataset.splits if split != "train"]

    def measure(self, probe: Probe) -> dict[str, float]:
        """Columns `test_loss` and `test_accuracy` (a share), and the same of a validation split."""
        splits = [split for split in probe.dataset.splits if split != "train"]
        return {f"{split}_{name}": value for split in splits for name, value in probe.score(split).items()}


class TrainScores(Measure):
    """`train_eval_loss` and, for labels, `train_accuracy`: eval mode, on the training set without augmentation.

    (`train_loss`, which every row has, is the mean over the mini-batches since the row before.)
    """

    columns = ("train_eval_loss", "train_accuracy")

    def asks(self, probe: Probe) -> list[Known]:
        """The sums of the training set."""
        return [("sums", "train")]

    def measure(self, probe: Probe) -> dict[str, float]:
        """Columns `train_eval_loss` and `train_accuracy` (a share)."""
        names = {"loss": "train_eval_loss", "accuracy": "train_accuracy"}
        return {names[name]: value for name, value in probe.score("train").items()}
