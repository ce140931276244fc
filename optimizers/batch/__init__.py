"""Batch-size schedules: the global batch of every step, from the clock or from the gradient's noise."""

from batchlab.optimizers.batch.schedules import (
    BatchSchedule,
    Constant,
    Exponential,
    ExponentialCapped,
    LinearRamp,
    Stagewise,
    total_steps,
)

__all__ = [
    "BatchSchedule",
    "Constant",
    "Exponential",
    "ExponentialCapped",
    "LinearRamp",
    "Stagewise",
    "total_steps",
]
