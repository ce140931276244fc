"""Gradient noise: who needs to measure it, and whether it can be measured."""

from __future__ import annotations

from typing import Any

from torch import nn

from batchlab.optimizers.batch import BatchSchedule
from batchlab.optimizers.moments import check_samples_apart
from batchlab.optimizers.needs import Moments, Needs, needs_of, union
from batchlab.runner.plan.build import blaming
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.schema import RunConfig


def needs(config: RunConfig, optimizer: Any, batches: BatchSchedule) -> tuple[Needs, Moments | None]:
    """What the optimizer needs, and what is to be measured of the gradient's noise for it and the batch schedule."""
    with blaming(config.optimizer, "optimizer"):
        own = needs_of(optimizer)
    with blaming(config.batch_schedule, "batch_schedule"):
        return own, union(own, needs_of(batches))


def check(config: RunConfig, model: nn.Module, optimizer: Any, batches: BatchSchedule, first: int) -> bool:
    """What is measured of the gradient's noise must be measurable with this model, these groups, this first batch.

    Returns:
        Whether it is measured between groups of a batch.
    """
    schedule, who = f"batch_schedule={config.batch_schedule['name']}", f"optimizer={config.optimizer['name']}"
    own, wanted = needs(config, optimizer, batches)
    if wanted is None:
        return False
    minimum = wanted.groups
    if not isinstance(own, Moments) or own.groups < minimum:
        who = schedule
    if wanted.estimator == "per_sample":  # then every sample is a group
        try:
            check_samples_apart(model)
        except ValueError as error:
            raise ConfigError(
                f"batch_schedule.estimator=per_sample with model={config.model['name']}: {error}; "
                "that is batch_schedule.estimator=groups or model.norm=group"
            ) from error
    elif max(config.train.groups, config.nproc) < minimum:
        raise ConfigError(
            f"{who} measures noise between groups of a batch, {minimum} at least: set train.groups={max(minimum, 8)}"
        )
    if first < minimum:
        keys = [f"batch_schedule.{key}" for key in ("size", "sizes", "initial") if key in config.batch_schedule]
        raise ConfigError(
            f"{who} measures noise between groups of a batch, {minimum} at least: a first batch of {first} holds fewer "
            f"samples; raise {keys[0] if keys else 'that of ' + schedule}"
        )
    return wanted.estimator != "per_sample"
