"""What can be said of a choice's values and of what they made, whoever wrote it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real

from torch import Tensor
from torch.optim import Optimizer

from batchlab.datasets.dataset import LARGEST
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import Rates, factor_of
from batchlab.runner.plan.build import arguments, blaming
from batchlab.runner.plan.checks import COUNTED, ConfigError
from batchlab.runner.plan.overrides import leaves
from batchlab.runner.plan.schema import Node, RunConfig

FINITE = ("optimizer", "lr_schedule", "batch_schedule", "model", "executor")
"""Blocks whose numbers are finite: a data set's reader may mean a missing value by nan, a measure no bound by inf."""


def check_finite(config: RunConfig) -> None:
    """Refuse nan and inf, which few constructors look for: comparisons with nan hold nowhere, refusals among them.

    Raises:
        ConfigError: naming the override.
    """
    for axis in FINITE:
        for key, value in arguments(getattr(config, axis)).items():
            for leaf in leaves(value):
                if not _finite(leaf):
                    beyond = f", within {LARGEST:.3g}: beyond, float32 is infinite" if math.isfinite(leaf) else ""
                    raise ConfigError(f"{axis}.{key}={_short(value)}: must be finite{beyond}")


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
        if not math.isfinite(group["lr"]):
            raise ConfigError(f"optimizer={node['name']}: lr={group['lr']} must be finite: set optimizer.lr")


LEVELS = ("peak", "maximum", "minimum", "warmup_from")
"""Keys of a learning-rate schedule that are multiples of the optimizer's rate."""


def check_levels(config: RunConfig, rates: Rates, optimizer: Optimizer) -> None:
    """See that no level of a schedule is a rate beyond all numbers.

    Args:
        config: of the run.
        rates: its schedule.
        optimizer: with the rates that the levels multiply.

    Raises:
        ConfigError: one is, naming the keys.
    """
    highest = max((abs(float(group["lr"])) for group in optimizer.param_groups), default=0.0)
    for key in LEVELS:
        level = getattr(rates, key, None)
        if isinstance(level, int | float) and level < 0:
            raise ConfigError(f"lr_schedule.{key}={level} must be at least 0: a rate below 0 climbs")
        if isinstance(level, int | float) and not highest * level <= LARGEST:
            raise ConfigError(
                f"lr_schedule.{key}={level} times the rate of optimizer={config.optimizer['name']}, lr={highest:g}, is "
                "beyond all numbers: lower one of them"
            )


def check_factors(rates: Rates, optimizer: Optimizer, first: Clock, batch: int) -> None:
    """See that a schedule gives a rate at the first step and at the last.

    Args:
        rates: the schedule.
        optimizer: with the rates that it multiplies.
        first: the clock at the first step.
        batch: samples of that step.

    Raises:
        ValueError: what the schedule refuses, or a rate that is no finite number; or it remembers being asked.
    """
    left = max(0, first.total_samples - batch)
    last = replace(first, samples=left, steps=(first.total_steps or left // batch + 1) - 1)
    given = [factor_of(rates, clock) for clock in (first, last, first)]
    if given[0] != given[2]:
        raise ValueError(
            f"asked twice for step 0, it gives {given[0]:g} and then {given[2]:g}: what it gives must depend on the "
            "clock alone, or a resumed run would be another"
        )
    for clock, factor in zip((first, last), given, strict=False):
        for group in optimizer.param_groups:
            if not factor * float(group["lr"]) <= LARGEST:
                said = f"{factor:g} times lr={float(group['lr']):g} at step {clock.steps}"
                raise ValueError(f"{said} is beyond all numbers: lower optimizer.lr, or what the rate grows to")


FIRST = ("size", "sizes", "initial")
"""Keys of a batch schedule that say how large the first batch is."""


def first_batch(config: RunConfig) -> str:
    """The override to change for another first batch."""
    keys = [f"batch_schedule.{key}" for key in FIRST if key in config.batch_schedule]
    return keys[0] if keys else f"that of batch_schedule={config.batch_schedule['name']}"


@contextmanager
def blaming_schedule(config: RunConfig, axis: str) -> Iterator[None]:
    """Put a schedule in front of what it refuses, and its advice in keys that have an effect in this run."""
    with blaming(getattr(config, axis), axis):
        try:
            yield
        except ConfigError:
            raise
        except ValueError as error:
            said = str(error).replace("train longer", f"train longer ({config.train.budget})")
            raise ValueError(said.replace("samples: lower it", f"samples: lower {first_batch(config)}")) from error


def _finite(value: object) -> bool:
    """Whether a value is a number that is finite in float32 too, or none."""
    return isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) <= LARGEST


def _short(value: object) -> str:
    """A value in an error: a whole number may have hundreds of digits."""
    return f"{value:.4g}" if isinstance(value, int) and abs(value) > COUNTED else str(value)
