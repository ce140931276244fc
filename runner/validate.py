"""Refuse what cannot work, for all runs, before the first one starts.

Objects are built rather than described: a model on the meta device, schedules and an optimizer on one parameter. What
their constructors say is what the user reads, with the override in front. Each distinct choice is built once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from batchlab.datasets import Dataset, load
from batchlab.optimizers.batch import BatchSchedule, total_steps
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import LRSchedule

from .build import build, check_arguments
from .config import Planned
from .schema import ConfigError, Node, RunConfig
from .session import make_moments, outputs

CHOICES = {
    "loss": ("cross_entropy", "mse"),
    "decay": ("all", "weights"),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("float32", "float64", "bfloat16"),
}


def validate(plans: Sequence[Planned], *, data_at_hand: bool = True) -> list[str]:
    """Check every run; returns warnings, each once.

    Args:
        data_at_hand: the data sets can be loaded. Without them (a dry run) what depends on their size is not checked.

    Raises:
        ConfigError: the first thing that cannot work, and the override to change.
    """
    once = _Once()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for planned in plans:
            try:
                _validate(RunConfig.of(planned.tree), once, data_at_hand)
            except TypeError as error:
                raise ConfigError(f"train or log: {error}") from error
            except ConfigError as error:
                where = f" (run: {' '.join(planned.overrides)})" if planned.overrides else ""
                raise ConfigError(f"{error}{where}") from error
    return list(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning)))


class _Once:
    """Builds what is asked for once for each distinct question."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def __call__(self, make: Callable[[], Any], *question: Any) -> Any:
        key = json.dumps(question, sort_keys=True, default=str)
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]


def _validate(config: RunConfig, once: _Once, data_at_hand: bool) -> None:
    _options(config)
    batches: BatchSchedule = once(lambda: build(config.batch_schedule, "batch_schedule"), config.batch_schedule)
    rates: LRSchedule = once(lambda: build(config.lr_schedule, "lr_schedule"), config.lr_schedule)
    optimizer = once(lambda: _optimizer(config.optimizer), config.optimizer)
    check_arguments(config.dataset, "dataset")
    check_arguments(config.model, "model", "shape", "classes")
    if not data_at_hand:
        return
    dataset: Dataset = once(lambda: load(config.dataset), config.dataset)
    budget = config.train.total_samples(dataset.n)
    if budget < 1:
        raise ConfigError(f"train.epochs={config.train.epochs} is less than one sample: raise it")
    question = (config.batch_schedule, dataset.n, budget)
    steps = once(lambda: total_steps(batches, dataset.n, budget), "steps", *question)
    clock = Clock(0, 0, dataset.n, budget, steps)
    try:
        first = batches.size(clock)
        rates.factor(clock)
    except ValueError as error:
        raise ConfigError(f"batch_schedule={config.batch_schedule['name']}: {error}") from error
    if first > budget:
        raise ConfigError(
            f"the first batch of {first} is larger than the budget of {budget} samples: raise train.epochs"
        )
    loss_fits = (dataset.classes is None) == (config.train.loss == "mse")
    if not loss_fits:
        wanted = "mse" if dataset.classes is None else "cross_entropy"
        raise ConfigError(f"dataset={dataset.name} needs train.loss={wanted}")
    shape, classes = dataset.shape, outputs(dataset)
    model = once(lambda: _model(config.model, shape, classes), config.model, shape, classes)
    make_moments(config, model, optimizer, batches)
    minimum = int(getattr(optimizer, "minimum_groups", 1))
    if max(config.train.groups, config.nproc) < minimum:
        raise ConfigError(
            f"optimizer={config.optimizer['name']} measures noise over at least {minimum} groups of a batch: "
            f"set train.groups={max(8, minimum)}"
        )


def _model(node: Node, shape: tuple[int, ...], classes: int) -> nn.Module:
    with torch.device("meta"):
        model = build(node, "model", shape=shape, classes=classes)
    assert isinstance(model, nn.Module)
    return model


def _optimizer(node: Node) -> Any:
    return build(node, "optimizer", [nn.Parameter(torch.zeros(2, 2))])


def _options(config: RunConfig) -> None:
    """The blocks that have no constructor to speak for them."""
    train, log = config.train, config.log
    for key, offered in CHOICES.items():
        if getattr(train, key) not in offered:
            raise ConfigError(f"train.{key}={getattr(train, key)}: choose {', '.join(offered[:-1])} or {offered[-1]}")
    at_least = {
        "nproc": (config.nproc, 1),
        "seed": (config.seed, 0),
        "train.micro_batch": (train.micro_batch, 1),
        "train.groups": (train.groups, 1),
        "executor.threads": (config.executor["threads"], 1),
    }
    for key, (value, least) in at_least.items():
        if value < least:
            raise ConfigError(f"{key}={value} must be at least {least}")
    if train.samples is not None and (not isinstance(train.samples, int) or train.samples < 1):
        raise ConfigError(f"train.samples={train.samples} must be a whole number of samples, at least 1")
    positive = {"train.epochs": train.epochs, "log.evaluate_every": log.evaluate_every}
    for key, number in positive.items():
        if not 0 < number < float("inf"):
            raise ConfigError(f"{key}={number} must be positive")
    if not 0 <= train.label_smoothing < 1:
        raise ConfigError(f"train.label_smoothing={train.label_smoothing} must be in [0, 1)")
    if log.gsnr and not str(config.optimizer["name"]).startswith("vr_"):
        raise ConfigError("log.gsnr=true: only the vr_ optimizers measure it; choose one, or log.gsnr=false")
