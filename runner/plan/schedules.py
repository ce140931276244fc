"""A run's schedules, of whatever `_target_` names: batchlab's own, anybody's with one method, a function, torch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from batchlab.optimizers.batch import BatchSchedule, PlannedByFunction, Sizes, as_schedule
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import OfFunction, OfTorch, Rates
from batchlab.runner.plan import sizes
from batchlab.runner.plan.build import arguments, blaming, build, check_arguments, locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.schema import Node

RATES = "lr_schedule"
SIZES = "batch_schedule"
CALLED = ("lr_lambda", "scale_fn")
"""Arguments of torch's schedulers that are functions: in YAML their dotted paths."""
OURS = ("optimizer", "last_epoch")
"""Arguments that torch's schedulers are given here."""


def make_rates(node: Node) -> Rates:
    """The schedule that an `lr_schedule` choice names.

    Args:
        node: of a class whose objects have `factor(clock)`, of a function `factor(clock, **keys)`, or of a scheduler of
            torch's, with the `clock` that it is stepped on.

    Raises:
        ConfigError: the target refuses what it is given, or is nothing of the kind.
    """
    target: Any = locate(node, RATES)
    if isinstance(target, type) and issubclass(target, LRScheduler):
        return _of_torch(node, target)
    named = next((name for name in ("steps", "epochs") if sizes.names(node, name)), None)
    if named is not None:
        raise ConfigError(
            f"lr_schedule={node['name']}: ${{{named}}} is for torch's schedulers: factor(clock) reads "
            f'clock.total("{named}")'
        )
    if takes_clock(target, node):
        check_arguments(node, RATES, "clock")
        return OfFunction(target, arguments(node))
    made = build(node, RATES)
    if not isinstance(made, Rates) or not callable(made.factor):
        raise ConfigError(
            f"lr_schedule={node['name']}: what {node['_target_']} makes has no factor(clock): give it one, which "
            "returns a multiple of the optimizer's lr"
        )
    return made


def make_sizes(node: Node) -> BatchSchedule:
    """The schedule that a `batch_schedule` choice names.

    Args:
        node: of a class whose objects have `planned(clock)`, or of a function `sizes(clock, **keys)`.

    Raises:
        ConfigError: the target refuses what it is given, or is nothing of the kind.
    """
    target = locate(node, SIZES)
    if takes_clock(target, node):
        check_arguments(node, SIZES, "clock")
        return as_schedule(PlannedByFunction(target, arguments(node)))
    made = build(node, SIZES)
    if not isinstance(made, Sizes) or not callable(made.planned):
        raise ConfigError(
            f"batch_schedule={node['name']}: what {node['_target_']} makes has no planned(clock): give it one, which "
            "returns the samples of the coming batch"
        )
    return as_schedule(made)


def takes_clock(target: Callable[..., Any], node: Node) -> bool:
    """Whether a target is the schedule itself: a function of a `clock` that its YAML gives no value."""
    if isinstance(target, type):
        return False
    try:
        clock = inspect.signature(target).parameters.get("clock")
    except (ValueError, TypeError):
        return False
    return clock is not None and clock.default is clock.empty and "clock" not in node


def _of_torch(node: Node, target: type[LRScheduler]) -> OfTorch:
    name = f"lr_schedule={node['name']}"
    if issubclass(target, ReduceLROnPlateau):
        raise ConfigError(
            f"{name}: ReduceLROnPlateau listens to a metric, and a rate here is a function of the clock alone (of the "
            "test set it must not be): set lr_schedule=step_decay, or another that does not listen"
        )
    own = {key: value for key, value in node.items() if key != "clock"}
    _check(own)
    if "clock" not in node:
        raise ConfigError(f"{name}: {target.__name__} is stepped: say on what, clock: epochs or clock: steps")

    def make(optimizer: Optimizer, clock: Clock) -> LRScheduler:
        known = sizes.counted(own, steps=lambda: clock.total("steps"), epochs=clock.total("epochs"))
        return _scheduler(known, optimizer)

    with blaming(node, RATES):
        made = OfTorch(make, node["clock"])
        if not any(sizes.names(node, known) for known in ("steps", "epochs")):
            made.factor(Clock(0, 0, 1, 1, 1))  # refuses its arguments, whatever the budget
    return made


def _check(node: Node) -> None:
    """See that a scheduler of torch's, and those within it, take their keys."""
    for key in OURS:
        if key in node:
            raise ConfigError(f"lr_schedule.{key} is what batchlab gives {node['_target_']}: leave it out")
    check_arguments(node, RATES, *OURS)
    for inner in _inner(node):
        _check(inner)


def _inner(node: Node) -> list[Node]:
    """The schedulers that one chains."""
    inner = node.get("schedulers")
    found: list[Node] = [{"name": node["name"]} | item for item in inner] if isinstance(inner, list) else []
    return found


def _scheduler(node: Node, optimizer: Optimizer) -> LRScheduler:
    """A scheduler of torch's on an optimizer, with its functions and the schedulers within it in their places."""
    given: dict[str, Any] = {"optimizer": optimizer}
    if "schedulers" in node:
        given["schedulers"] = [_scheduler(inner, optimizer) for inner in _inner(node)]
    for key in CALLED:
        value = node.get(key)
        if isinstance(value, dict):
            given[key] = partial(locate({"name": node["name"]} | value, RATES), **arguments(value))
        elif value is not None:
            given[key] = locate({"name": node["name"], "_target_": value}, RATES)
    made: LRScheduler = build({key: value for key, value in node.items() if key not in given}, RATES, **given)
    return made
