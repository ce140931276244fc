"""Gradient noise, measured once: see docs/gradient-noise.md."""

from batchlab.optimizers.moments.apart import check_samples_apart
from batchlab.optimizers.moments.moments import Criterion, Estimator, GradientMoments
from batchlab.optimizers.moments.state import ModelState

__all__ = ["Criterion", "Estimator", "GradientMoments", "ModelState", "check_samples_apart"]
