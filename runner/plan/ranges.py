"""Ranges of options that torch's optimizers, and other libraries', take without a look: a momentum of 2 for one."""

from __future__ import annotations

from batchlab.runner.plan.build import arguments
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.overrides import leaves
from batchlab.runner.plan.schema import Node

THEIRS = ("torch.optim.", "pytorch_optimizer.")
"""Whose optimizers are looked at here; batchlab's own look themselves, and a user's may mean anything."""
BELOW_ONE = ("momentum", "alpha", "rho", "betas")
"""Shares that an average keeps of itself, in [0, 1)."""
UP_TO_ONE = ("dampening",)
NOT_NEGATIVE = (
    *("lr", "weight_decay", "eps", "lr_decay", "lambd", "t0", "momentum_decay", "initial_accumulator_value"),
    *("d", "d0", "d_coef", "warmup_steps"),
)
OF_ANOTHER_SENSE = {"torch.optim.ASGD": ("alpha",)}
"""`alpha` of ASGD is the power of a decay."""


def check_ranges(node: Node) -> None:
    """See that the numbers of an `optimizer` choice of torch's lie where they mean something.

    Raises:
        ConfigError: naming the override and the range.
    """
    target = str(node.get("_target_"))
    if not target.startswith(THEIRS):
        return
    for key, value in arguments(node).items():
        if key in OF_ANOTHER_SENSE.get(target, ()):
            continue
        for number in leaves(value):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            if key in BELOW_ONE and not 0 <= number < 1:
                raise ConfigError(f"optimizer.{key}={value} must be in [0, 1)")
            if key in UP_TO_ONE and not 0 <= number <= 1:
                raise ConfigError(f"optimizer.{key}={value} must be in [0, 1]")
            if key in NOT_NEGATIVE and not number >= 0:
                raise ConfigError(f"optimizer.{key}={value} must be at least 0")
