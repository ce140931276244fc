"""Learning-rate schedules: functions of the clock, given as multiples of the optimizer's initial rate.

Every schedule may begin with a warm-up, which rises from `warmup_from` to `peak`; what follows starts at
`peak`. All levels (`warmup_from`, `peak`, `minimum`, `maximum`) are multiples of the optimizer's `lr`; all
lengths (`every`, `warmup`, `warmup_every`, `end`) are in units of the schedule's clock, and a length of None is a
share of the budget where the schedule says so. With `lr` = 0.1, the four cases of arXiv 2508.03105 and the one of
AdAdaGrad (arXiv 2402.11215) are

    Cosine(clock="epochs", every=1)                         # (i), (ii): 0.1 to 0, changing once per epoch
    StepGrowth(maximum=2, every=30, clock="epochs")         # (iii): 0.1 to 0.2 in stairs of 30 epochs
    Cosine(clock="epochs", every=1, peak=2, **stairs)       # (iv): 0.1 to 0.2 in stairs, then to 0
    Cosine(clock="samples", warmup=1_000_000, minimum=0.1)  # linear from 0 to 0.1, then to 0.01

with `stairs = dict(warmup=None, warmup_stairs=10, warmup_from=1, warmup_shape="geometric")`: in 300 epochs the
published 30 epochs in stairs of 3.

Schedules hold no state: there is nothing to checkpoint. Anything with `factor(clock)` is one (`Rates`); `OfTorch` makes
one of torch's own, which are stepped.
"""

from batchlab.optimizers.lr.base import LRSchedule, check_finite, power
from batchlab.optimizers.lr.own import OfFunction, Rates, factor_of
from batchlab.optimizers.lr.phases import WSD, OneCycle, StepDecay
from batchlab.optimizers.lr.shapes import Constant, Cosine, Diminishing, Linear, Polynomial, StepGrowth
from batchlab.optimizers.lr.steps import OfTorch

__all__ = [
    "WSD",
    "Constant",
    "Cosine",
    "Diminishing",
    "LRSchedule",
    "Linear",
    "OfFunction",
    "OfTorch",
    "OneCycle",
    "Polynomial",
    "Rates",
    "StepDecay",
    "StepGrowth",
    "check_finite",
    "factor_of",
    "power",
]
