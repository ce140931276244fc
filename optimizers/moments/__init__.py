"""Gradient noise, measured once: see docs/gradient-noise.md."""

from batchlab.optimizers.moments.moments import Criterion, Estimator, GradientMoments
from batchlab.optimizers.moments.per_sample import check_samples_apart

__all__ = ["Criterion", "Estimator", "GradientMoments", "check_samples_apart"]
