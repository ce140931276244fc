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
from batchlab.runner.plan.settings import first_batch


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
            asked, ways = _per_sample(config, own)
            said = f"{asked} with model={config.model['name']}: {error}"
            raise ConfigError(f"{said}; that is {' or '.join(ways)}" if ways else said) from error
    elif max(config.train.groups, config.nproc) < minimum:
        raise ConfigError(
            f"{who} measures noise between groups of a batch, {minimum} at least: set train.groups={max(minimum, 8)}"
        )
    if first < minimum:
        raise ConfigError(
            f"{who} measures noise between groups of a batch, {minimum} at least: a first batch of {first} holds fewer "
            f"samples; raise {first_batch(config)}"
        )
    return wanted.estimator != "per_sample"


def _per_sample(config: RunConfig, own: Needs) -> tuple[str, list[str]]:
    """Who asks for the variance sample by sample, and the overrides that would end the need for it.

    An optimizer's own choice is in its code: no key of the batch schedule's can change it.
    """
    ways = ["model.norm=group"] if "norm" in config.model else []
    if isinstance(own, Moments) and own.estimator is not None:
        return f"optimizer={config.optimizer['name']} measures noise by estimator=per_sample", ways
    if "estimator" not in config.batch_schedule:
        return f"batch_schedule={config.batch_schedule['name']} measures noise by estimator=per_sample", ways
    return "batch_schedule.estimator=per_sample", ["batch_schedule.estimator=groups", *ways]
