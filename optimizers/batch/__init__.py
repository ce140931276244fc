"""Batch-size schedules: the global batch of every step, from the clock or from the gradient's noise."""

from batchlab.optimizers.batch.adaptive import (
    AdaptiveBatch,
    AugmentedInnerProductTest,
    CoordinateTest,
    InnerProductTest,
    NormTest,
)
from batchlab.optimizers.batch.base import BatchSchedule, largest_batch, steps_by_size, total_steps
from batchlab.optimizers.batch.own import PlannedByFunction, Sizes, as_schedule
from batchlab.optimizers.batch.schedules import Constant, Exponential, ExponentialCapped, LinearRamp, Stagewise

__all__ = [
    "AdaptiveBatch",
    "AugmentedInnerProductTest",
    "BatchSchedule",
    "Constant",
    "CoordinateTest",
    "Exponential",
    "ExponentialCapped",
    "InnerProductTest",
    "LinearRamp",
    "NormTest",
    "PlannedByFunction",
    "Sizes",
    "Stagewise",
    "as_schedule",
    "largest_batch",
    "steps_by_size",
    "total_steps",
]
