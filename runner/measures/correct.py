"""Which test examples a run gets right."""

from __future__ import annotations

import zlib

from batchlab.results.store.bits import packed
from batchlab.runner.measures.measure import Measure, Subject
from batchlab.runner.measures.probe import Probe


class CorrectExamples(Measure):
    """One row in examples.parquet at the end of the run: which test examples are classified correctly.

    Examples are in the order of the data set, whatever the ranks; `test_accuracy` of the last row is their mean. The
    row also says how many there are and the CRC-32 of their targets, so that nobody pairs runs of different test sets.
    """

    when = "end"
    stream = "examples"

    def check(self, subject: Subject) -> None:
        """Refuse data without test examples that are right or wrong.

        Raises:
            ValueError: the data set is a regression, or has no test split.
        """
        data = subject.dataset
        if data is not None and (data.classes is None or not len(data.y_test)):
            raise ValueError("needs a test split with labels: choose another data set, or leave out measure=correct")
        if data is not None and data.target_shape:
            raise ValueError("needs one label per sample: choose another data set, or leave out measure=correct")

    def measure(self, probe: Probe) -> list[dict[str, int | str]]:
        """A row: `n`, `targets` (their CRC-32) and `correct`, see `batchlab.results.store.bits`."""
        outputs, targets = probe.predictions("test")
        correct = (outputs.argmax(1) == targets).numpy()
        return [{"n": len(correct), "targets": zlib.crc32(targets.numpy().tobytes()), "correct": packed(correct)}]
