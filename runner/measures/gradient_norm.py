"""The norm of the full gradient: exactly, and as arXiv 2508.03105 takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from batchlab.datasets import Batches
from batchlab.runner.measures.measure import Measure
from batchlab.runner.measures.probe import Known, Probe, mode


class FullGradientNorm(Measure):
    """`full_gradient_norm`: of the training loss's gradient; exact weights, fixed batches, not augmented, eval mode.

    Label smoothing is a part of that loss. Never in less than float32, whatever `train.precision` trains in.

    It is not measured before the first step: some starting points are flat, and `min:full_gradient_norm` would be
    theirs.
    """

    columns = ("full_gradient_norm",)
    when = "trained"

    def asks(self, probe: Probe) -> list[Known]:
        """The norm."""
        return [("norm", "train")]

    def measure(self, probe: Probe) -> dict[str, float]:
        """Column `full_gradient_norm`."""
        return {"full_gradient_norm": probe.full_gradient_norm()}


class PaperGradientNorm(Measure):
    """`full_gradient_norm_paper`: as arXiv 2508.03105's code takes it.

    Train mode, one augmented pass over the training set at the current batch size; the mean loss of every batch weighs
    size/n, a partial last one too. BatchNorm's running statistics, which the authors' procedure lets drift here, are
    put back. The pass draws its order and augmentation from a stream of its own.
    """

    columns = ("full_gradient_norm_paper",)
    when = "trained"
    STREAM = 1

    def __init__(self) -> None:
        self._batches: Batches | None = None
        self._saved: dict[str, Any] | None = None

    def measure(self, probe: Probe) -> dict[str, float]:
        """Column `full_gradient_norm_paper`."""
        if self._batches is None:
            self._batches = probe.stream(self.STREAM)
            if self._saved:
                self._batches.load_state_dict(self._saved)
        kept = [b.clone() for b in probe.model.buffers()]
        gpus = [probe.device] if probe.device.type == "cuda" else []
        try:
            with mode(probe.model, training=True), torch.random.fork_rng(gpus):  # dropout draws
                norm = probe.gradient_norm(_one_pass(self._batches, probe.batch_size))
        finally:
            with torch.no_grad():
                for buffer, before in zip(probe.model.buffers(), kept, strict=True):
                    buffer.copy_(before)
        return {"full_gradient_norm_paper": norm}

    def state_dict(self) -> dict[str, Any]:
        """The stream's position."""
        return self._batches.state_dict() if self._batches is not None else dict(self._saved or {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the stream from a position."""
        self._batches, self._saved = None, dict(state)


def _one_pass(batches: Batches, size: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """(inputs, targets, weight of each of their losses) of one epoch of the stream."""
    n, seen = batches.n, 0
    while seen < n:
        batch = batches.take(size)
        seen += batch.size
        for x, y in batch.micro:
            yield x, y, min(size, n) / n / batch.size
