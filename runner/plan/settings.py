"""What can be said of a choice's values and of what they made, whoever wrote it."""

from __future__ import annotations

import math
from numbers import Real

from torch import Tensor
from torch.optim import Optimizer

from batchlab.runner.plan.build import arguments
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.overrides import leaves
from batchlab.runner.plan.schema import Node, RunConfig

FINITE = ("optimizer", "lr_schedule", "batch_schedule", "model")
"""Axes whose numbers are finite: a data set's reader may mean a missing value by nan, a measure no bound by inf."""


def check_finite(config: RunConfig) -> None:
    """Refuse nan and inf, which few constructors look for: comparisons with nan hold nowhere, refusals among them.

    Raises:
        ConfigError: naming the override.
    """
    for axis in FINITE:
        for key, value in arguments(getattr(config, axis)).items():
            if not all(math.isfinite(leaf) for leaf in leaves(value) if isinstance(leaf, float)):
                raise ConfigError(f"{axis}.{key}={value}: must be finite")


def check_rates(optimizer: Optimizer, node: Node) -> None:
    """See that an optimizer keeps its learning rate where torch's do, for the schedule to set.

    Args:
        optimizer: as it was made.
        node: the choice it was made from.

    Raises:
        ConfigError: a group of parameters without a rate.
    """
    for group in optimizer.param_groups:
        if "lr" not in group:
            raise ConfigError(
                f"optimizer={node['name']}: {node['_target_']} has no lr in its param_groups, which lr_schedule sets "
                'at every step: pass {"lr": lr} as the defaults to Optimizer.__init__'
            )
        if not isinstance(group["lr"], Real | Tensor):
            raise ConfigError(f"optimizer={node['name']}: lr={group['lr']!r} must be a number: set optimizer.lr")
