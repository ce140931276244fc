"""A finite-sum solver as a run names it: made from its configuration, and refused where it cannot work."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from batchlab.datasets import Dataset
from batchlab.optimizers.finite_sum import ElasticNet, LinearProblem, Solver
from batchlab.optimizers.finite_sum.problem import Loss
from batchlab.optimizers.needs import FiniteSum, needs_of
from batchlab.runner.plan.build import arguments, checked, locate
from batchlab.runner.plan.checks import ConfigError, check_least
from batchlab.runner.plan.schema import TUNED, RunConfig

LOSSES: dict[str, Loss] = {"cross_entropy": "logistic", "mse": "squared", "squared_hinge": "squared_hinge"}
"""The component loss of a linear model, by `train.loss`."""
USED = {"train": ("epochs", "samples", "loss", "device", "checkpoint_seconds"), "log": ("evaluate_every",)}
"""Keys that mean something to a solver."""
KEYS_OF = {
    "pass zero_rows='keep'": "set optimizer.zero_rows=keep",
    "add an L2 term, or give strong_convexity=mu": "set optimizer.l2 or optimizer.strong_convexity",
}
"""What a solver advises whoever calls it -> the same in overrides."""
MODEL = {"bias": False, "zero_init": True}
"""What a solver's model is, whatever `model` says."""


def check(config: RunConfig) -> None:
    """Refuse the settings that no solver can have, or not this one, and warn of those that have no effect.

    No data is needed for that: the solver is made on two samples.

    Raises:
        ConfigError: naming the override to change.
    """
    name = f"optimizer={config.optimizer['name']} solves linear models"
    if config.model["name"] not in ("logistic", "linear"):
        raise ConfigError(f"{name}: set model=logistic (or model=linear for regression)")
    if config.lr_schedule["name"] != "constant" or config.batch_schedule["name"] != "constant":
        raise ConfigError(f"{name} with a constant step and batch: lr_schedule=constant batch_schedule=constant")
    if config.nproc != 1:
        raise ConfigError(f"{name} in one process: set nproc=1")
    if not isinstance(config.train.loss, str) or config.train.loss not in LOSSES:
        raise ConfigError(f"train.loss={config.train.loss}: choose {', '.join(LOSSES)}")
    step, size = config.optimizer.get("step_size"), _size(config)
    if isinstance(step, str) and step != TUNED:
        raise ConfigError(f"optimizer.step_size={step}: a positive number, null (the theory's) or {TUNED}")
    net = _make(config, np.ones((2, 1)), np.array([0.0, 1.0]), batch_size=min(size, 2)).problem.regularizer
    if step == TUNED and net.l1 == net.l2 == 0.0:
        raise ConfigError(
            f"optimizer.step_size={TUNED} needs P*, which nothing certifies without a regulariser: set optimizer.l1 "
            "or optimizer.l2, or give optimizer.step_size a number"
        )
    for block, used in USED.items():
        options = getattr(config, block)
        for field in dataclasses.fields(options):
            value = getattr(options, field.name)
            if field.name not in used and value != field.default:
                warnings.warn(f"{block}.{field.name}={value} has no effect: {name}", stacklevel=2)
    if [*config.measure] != ["scores"]:
        asked = f"measure=[{','.join(config.measure)}]"
        warnings.warn(f"{asked} has no effect: {name}, and its rows have columns of their own", stacklevel=2)
    if config.train.device == "cuda":
        warnings.warn(
            f"train.device=cuda has no effect: optimizer={config.optimizer['name']} computes on the host", stacklevel=2
        )


def check_model(config: RunConfig, keys: Sequence[str]) -> None:
    """Warn of those among the model's keys that were asked for and have no effect on a solver."""
    for key, value in config.model.items():
        if f"model.{key}" in keys and value != MODEL.get(key):
            warnings.warn(
                f"model.{key}={value} has no effect: optimizer={config.optimizer['name']} has no intercept and begins "
                "at 0",
                stacklevel=2,
            )


def check_data(config: RunConfig, dataset: Dataset) -> None:
    """Refuse data that the solver cannot take.

    Raises:
        ConfigError: naming the override to change.
    """
    name = f"optimizer={config.optimizer['name']} solves linear models"
    if dataset.is_image:
        raise ConfigError(f"{name} on tables, such as dataset=breast_cancer: dataset={dataset.name} holds images")
    if (dataset.classes is None) != (config.train.loss == "mse"):
        wanted = "mse" if dataset.classes is None else "cross_entropy or squared_hinge"
        raise ConfigError(f"dataset={config.dataset['name']} needs train.loss={wanted}")
    if dataset.vocabulary is not None:
        raise ConfigError(f"{name} of numbers: dataset={dataset.name} holds ids")
    if dataset.target_shape:
        raise ConfigError(f"{name} of one number: dataset={dataset.name} has targets {dataset.target_shape}")
    if dataset.classes is not None and dataset.classes != 2:
        raise ConfigError(f"{name} with two classes: dataset={dataset.name} has {dataset.classes}")
    if (size := _size(config)) > dataset.n:
        raise ConfigError(
            f"batch_schedule.size={size} is more than the {dataset.n} samples of dataset={dataset.name}: lower it"
        )


def passes_of(config: RunConfig, dataset: Dataset) -> float:
    """The budget in passes over the training set."""
    samples = config.train.samples
    return config.train.epochs if samples is None else samples / dataset.n


def validate(config: RunConfig, dataset: Dataset) -> None:
    """See that the run can begin.

    Raises:
        ConfigError: what the solver or the problem refuses, or a budget that does not cover a stage.
    """
    check(config)
    check_data(config, dataset)
    first, passes = make_solver(config, dataset).first_passes, passes_of(config, dataset)
    if passes < first:
        needed = config.train.lasting(math.ceil(first * dataset.n), dataset.n)
        budget = f"train.epochs={passes:g}" if config.train.samples is None else f"train.samples={config.train.samples}"
        raise ConfigError(
            f"{budget} does not cover the first stage of optimizer={config.optimizer['name']}, which costs {first:.4g} "
            f"passes: set {needed}{_shorter_stage(config, dataset, first, passes)}"
        )


def _shorter_stage(config: RunConfig, dataset: Dataset, first: float, passes: float) -> str:
    """Advice to make a stage as short as the budget, where its inner iterations are what costs too much."""
    if "inner_iterations" not in config.optimizer:
        return ""

    def cost(inner: int) -> float:
        node = config.optimizer | {"inner_iterations": inner}
        return make_solver(dataclasses.replace(config, optimizer=node), dataset).first_passes

    one = cost(1)
    each = cost(2) - one
    if one > passes or each <= 0:
        return ""
    most = 1 + math.floor((passes - one) / each)
    return f", or optimizer.inner_iterations={most if cost(most) <= passes else most - 1}"


def make_solver(
    config: RunConfig, dataset: Dataset, step_size: float | None = None, seed: int | None = None
) -> Solver[Any, Any]:
    """The solver on its problem, at its starting point.

    Args:
        config: the run's.
        dataset: the run's.
        step_size: in place of the configuration's.
        seed: in place of the run's.

    Raises:
        ConfigError: what the solver or the problem refuses.
    """
    return _make(
        config, dataset.x_train, dataset.y_train, _size(config), step_size, config.seed if seed is None else seed
    )


def _size(config: RunConfig) -> int:
    return check_least("batch_schedule.size", config.batch_schedule.get("size"), 1)


def _make(
    config: RunConfig, A: Any, y: Any, batch_size: int, step_size: float | None = None, seed: int = 0
) -> Solver[Any, Any]:
    target = locate(config.optimizer, "optimizer")
    needs = needs_of(target)
    assert isinstance(needs, FiniteSum)
    settings = arguments(config.optimizer)
    l1, l2 = settings.pop("l1", 0.0), settings.pop("l2", 0.0)
    zero_rows = settings.pop("zero_rows", "error")
    if step_size is not None:
        settings["step_size"] = step_size
    elif settings.get("step_size") == TUNED:
        settings["step_size"] = 1.0  # while it is not known yet
    if needs.batches:
        settings |= {"batch_size": batch_size, "seed": seed}
    try:
        problem = LinearProblem(A, y, LOSSES[config.train.loss], ElasticNet(l1, l2), zero_rows=zero_rows)
        solver = target(problem, **settings)
    except (ValueError, TypeError) as error:
        text = str(error)
        for said, key in KEYS_OF.items():
            text = text.replace(said, key)
        raise ConfigError(f"optimizer={config.optimizer['name']}: {text}") from error
    kind: Any = Solver  # abstract
    made: Solver[Any, Any] = checked(kind, solver, config.optimizer, "optimizer")
    return made
