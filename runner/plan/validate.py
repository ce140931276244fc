"""Refuse what cannot work, for all runs, before the first one starts.

Objects are built rather than described: a model on the meta device, schedules and an optimizer on one parameter. What
their constructors say is what the user reads, with the override in front. Each distinct choice is built once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from batchlab.datasets import Dataset, load
from batchlab.optimizers.batch import AdaptiveBatch, BatchSchedule, total_steps
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import LRSchedule
from batchlab.optimizers.moments import check_samples_apart
from batchlab.runner.plan.build import build, check_arguments, is_solver
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.schema import ConfigError, Node, RunConfig
from batchlab.runner.train.session import outputs

MOST_PARAMETERS = 64
"""Columns that `log.parameters` may add to a row."""
Built = TypeVar("Built")
CHOICES = {
    "loss": ("cross_entropy", "mse", "squared_hinge"),
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
                _validate(RunConfig.of(planned.tree), once, data_at_hand, planned.keys)
            except TypeError as error:
                raise ConfigError(f"train or log: {error}") from error
            except ConfigError as error:
                where = f" (run: {' '.join(planned.overrides)})" if planned.overrides else ""
                raise ConfigError(f"{error}{where}") from error
        _mixed([planned.tree for planned in plans])
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


def _validate(config: RunConfig, once: _Once, data_at_hand: bool, keys: Sequence[str]) -> None:
    _options(config)
    if is_solver(config.optimizer):
        blocks = (config.optimizer, config.dataset, config.model, config.batch_schedule, config.lr_schedule)
        rest = (asdict(config.train), asdict(config.log), config.nproc)
        once(lambda: _solver(config, once, data_at_hand, keys), "solver", *blocks, *rest, keys)
        return
    batches: BatchSchedule = once(
        lambda: _schedule(BatchSchedule, config.batch_schedule, "batch_schedule"), config.batch_schedule
    )
    rates: LRSchedule = once(lambda: _schedule(LRSchedule, config.lr_schedule, "lr_schedule"), config.lr_schedule)
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
    with _blaming(config.batch_schedule, "batch_schedule"):
        steps = once(lambda: total_steps(batches, dataset.n, budget), "steps", *question)
        clock = Clock(0, 0, dataset.n, budget, steps)
        first = batches.size(clock)
    with _blaming(config.lr_schedule, "lr_schedule"):
        rates.factor(clock)
    _effects(config, rates, clock, keys)
    if first > budget:
        raise ConfigError(
            f"the first batch of {first} is larger than the budget of {budget} samples: raise train.epochs"
        )
    loss_fits = (dataset.classes is None) == (config.train.loss == "mse")
    if not loss_fits:
        wanted = "mse" if dataset.classes is None else "cross_entropy"
        raise ConfigError(f"dataset={dataset.name} needs train.loss={wanted}")
    if config.train.loss == "squared_hinge":
        raise ConfigError("train.loss=squared_hinge is for finite-sum solvers (optimizer=dasvrda): cross_entropy here")
    shape, classes = dataset.shape, outputs(dataset)
    model = once(lambda: _model(config.model, shape, classes), config.model, shape, classes)
    _noise(config, model, optimizer, batches, first)
    count = sum(p.numel() for p in model.parameters())
    if config.log.parameters and count > MOST_PARAMETERS:
        raise ConfigError(
            f"log.parameters=true with model={config.model['name']}: {count:,} parameters would be as many columns; "
            f"it takes models of up to {MOST_PARAMETERS}, so log.parameters=false"
        )


def _effects(config: RunConfig, rates: LRSchedule, clock: Clock, keys: Sequence[str]) -> None:
    """Warn of what was asked for and will not happen."""
    unknown = rates.clock == "steps" and clock.total_steps is None
    if rates.warmup and not unknown and rates.warmup >= clock.total(rates.clock):
        warnings.warn(
            f"lr_schedule={config.lr_schedule['name']}: the run ends at {clock.total(rates.clock):g} {rates.clock}, "
            f"within its warm-up of {rates.warmup:g}: shorten lr_schedule.warmup or train longer",
            stacklevel=2,
        )
    if {"train.samples", "train.epochs"} <= {*keys} and config.train.samples is not None:
        unused = f"train.epochs={config.train.epochs:g} has no effect"
        warnings.warn(f"{unused}: train.samples={config.train.samples} is the budget", stacklevel=2)


@contextmanager
def _blaming(node: Node, axis: str) -> Iterator[None]:
    """What a choice says of this data set and budget, with its override in front."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{axis}={node['name']}: {error}") from error


def _noise(config: RunConfig, model: nn.Module, optimizer: Any, batches: BatchSchedule, first: int) -> None:
    """What is measured of the gradient's noise must be measurable with this model, these groups, this first batch."""
    schedule = f"batch_schedule={config.batch_schedule['name']}"
    minimum, who = int(getattr(optimizer, "minimum_groups", 1)), f"optimizer={config.optimizer['name']}"
    if isinstance(batches, AdaptiveBatch) and minimum < 2:
        minimum, who = 2, schedule
    each = isinstance(batches, AdaptiveBatch) and batches.estimator == "per_sample"  # then every sample is a group
    if each:
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


def _solver(config: RunConfig, once: _Once, data_at_hand: bool, keys: Sequence[str]) -> None:
    from batchlab.runner.train import solve  # compiled loops are loaded only where they are used

    check_arguments(config.dataset, "dataset")
    check_arguments(config.model, "model", "shape", "classes")
    if data_at_hand:
        solve.validate(config, once(lambda: load(config.dataset), config.dataset))
    else:
        solve.check(config)
    solve.check_model(config, keys)


def _mixed(trees: Sequence[Node]) -> None:
    """Warn where solvers and optimizers would be compared on different objectives."""
    solvers = [tree for tree in trees if is_solver(tree["optimizer"])]
    others = [tree for tree in trees if not is_solver(tree["optimizer"])]
    if not (solvers and others):
        return
    differences = []
    if any(tree["model"].get("bias") for tree in others):
        differences.append("the solvers have no intercept (model.bias=false for the others)")
    if any(tree["optimizer"].get(key) for tree in solvers for key in ("l1", "l2")):
        differences.append("they add l1 and l2 to the loss (optimizer.l1=0.0 optimizer.l2=0.0 for the solvers)")
    if differences:
        first, second = (", ".join(dict.fromkeys(t["optimizer"]["name"] for t in part)) for part in (solvers, others))
        reasons = ", and ".join(differences)
        warnings.warn(
            f"solvers ({first}) and optimizers ({second}) minimise different objectives: {reasons}", stacklevel=2
        )


def _model(node: Node, shape: tuple[int, ...], classes: int) -> nn.Module:
    with torch.device("meta"):
        model = build(node, "model", shape=shape, classes=classes)
    return _a(nn.Module, model, node, "model")


def _optimizer(node: Node) -> Any:
    return _a(Optimizer, build(node, "optimizer", [nn.Parameter(torch.zeros(2, 2))]), node, "optimizer")


def _schedule(kind: Any, node: Node, axis: str) -> Any:
    return _a(kind, build(node, axis), node, axis)


def _a(kind: type[Built], made: object, node: Node, axis: str) -> Built:
    """What a `_target_` made, if it is what its axis needs."""
    if not isinstance(made, kind):
        raise ConfigError(f"{axis}={node['name']}: {node['_target_']} makes no {kind.__name__}")
    return made


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
    }
    for key, (value, least) in at_least.items():
        if value < least:
            raise ConfigError(f"{key}={value} must be at least {least}")
    launcher = config.executor.get("launcher", "fork")
    if launcher not in ("fork", "torchrun"):
        raise ConfigError(f"executor.launcher={launcher}: choose fork or torchrun")
    if train.samples is not None and (type(train.samples) is not int or train.samples < 1):
        raise ConfigError(f"train.samples={train.samples} must be a whole number of samples, at least 1")
    positive = {"train.epochs": train.epochs, "log.evaluate_every": log.evaluate_every}
    for key, number in positive.items():
        if not 0 < number < float("inf"):
            raise ConfigError(f"{key}={number} must be positive")
    if not 0 <= train.label_smoothing < 1:
        raise ConfigError(f"train.label_smoothing={train.label_smoothing} must be in [0, 1)")
    if log.gsnr and not str(config.optimizer["name"]).startswith("vr_"):
        raise ConfigError("log.gsnr=true: only the vr_ optimizers measure it; choose one, or log.gsnr=false")
