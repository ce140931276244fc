"""Gradient noise, measured once: see docs/gradient-noise.md."""

from batchlab.optimizers.moments.moments import Criterion, Estimator, GradientMoments

__all__ = ["Criterion", "Estimator", "GradientMoments"]
