"""Gradient descent as a numerical integrator of the gradient flow x' = -grad f(x) (arXiv 2409.04707)."""

from batchlab.optimizers.integrators.multistep import AdamsBashforth, Taylor
from batchlab.optimizers.integrators.runge_kutta import RK4, Heun

__all__ = ["RK4", "AdamsBashforth", "Heun", "Taylor"]
