"""What is compared: optimizers, schedules and gradient-noise statistics, in pure PyTorch.

    from batchlab.optimizers import NSHB, lr
    from batchlab.optimizers.batch import Exponential

Everything here works in anybody's training loop; nothing needs the runner.
"""

from batchlab.optimizers.adagrad_norm import AdaGradNorm
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.gsnr import GSNR
from batchlab.optimizers.integrators import RK4, AdamsBashforth, Heun, Taylor
from batchlab.optimizers.lamb import LAMB
from batchlab.optimizers.lars import LARS
from batchlab.optimizers.moments import GradientMoments
from batchlab.optimizers.muon import Muon
from batchlab.optimizers.nshb import NSHB
from batchlab.optimizers.vrgd import VRLAMB, VRLARS, VRSGD, VRAdam, VRAdamW, VRMomentum

__all__ = [
    "GSNR",
    "LAMB",
    "LARS",
    "NSHB",
    "RK4",
    "VRLAMB",
    "VRLARS",
    "VRSGD",
    "AdaGradNorm",
    "AdamsBashforth",
    "Clock",
    "GradientMoments",
    "Heun",
    "Muon",
    "Taylor",
    "VRAdam",
    "VRAdamW",
    "VRMomentum",
]
