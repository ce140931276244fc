"""Test accuracy with BatchNorm statistics estimated anew."""

from __future__ import annotations

import copy

import torch
from torch import nn

from batchlab.datasets import evaluation_batches
from batchlab.runner.measures.measure import Measure
from batchlab.runner.measures.probe import EVALUATION_BATCH, Probe


class ReestimatedBatchNorm(Measure):
    """`test_accuracy_reestimated`: of a copy whose BatchNorm statistics are the plain average over the training set.

    Running statistics that lag behind (a decay of 0.997, few steps) can wreck test accuracy on their own.
    """

    columns = ("test_accuracy_reestimated",)

    @torch.no_grad()
    def measure(self, probe: Probe) -> dict[str, float]:
        """Column `test_accuracy_reestimated` (a share); NaN for a data set without labels."""
        clone = copy.deepcopy(probe.model).eval()
        for module in clone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.momentum = None  # a cumulative average
                module.train()
        for x, _ in evaluation_batches(
            probe.dataset, "train", device=probe.device, batch=EVALUATION_BATCH, dtype=probe.dtype
        ):  # the whole of it on every rank, so that all ranks have the same statistics
            probe.forward(clone, x)
        return {"test_accuracy_reestimated": probe.score("test", clone).get("accuracy", float("nan"))}
