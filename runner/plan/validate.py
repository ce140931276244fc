"""Refuse what cannot work, for all runs, before the first one starts.

Objects are built rather than described: a model on the meta device, schedules and an optimizer on one parameter. What
their constructors say is what the user reads, with the override in front. Each distinct choice is built once.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import nn

from batchlab.datasets import Dataset
from batchlab.optimizers.batch import BatchSchedule, largest_batch, total_steps
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import LRSchedule, Rates
from batchlab.runner import exits
from batchlab.runner.callbacks import check_methods
from batchlab.runner.measures import Measure, Subject, check_declarations
from batchlab.runner.plan import noise, split
from batchlab.runner.plan.batchnorm import Parts, has_batchnorm, tied
from batchlab.runner.plan.blocks import different, signature
from batchlab.runner.plan.build import blaming, build, check_arguments, checked, is_solver, locate, parts_of
from batchlab.runner.plan.columns import check_columns
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.loss import own_loss, try_loss
from batchlab.runner.plan.memory import check_memory
from batchlab.runner.plan.optimizer import stand_in, try_optimizer
from batchlab.runner.plan.ranges import check_ranges
from batchlab.runner.plan.reading import load_watched
from batchlab.runner.plan.resumed import try_resuming
from batchlab.runner.plan.schedules import make_rates, make_sizes
from batchlab.runner.plan.schema import AUTO, ConfigError, Node, RunConfig, check_seed
from batchlab.runner.plan.settings import (
    blaming_schedule,
    check_factors,
    check_finite,
    check_levels,
    check_rates,
    first_batch,
)
from batchlab.runner.plan.trial import Inputs, known_beforehand, try_model
from batchlab.runner.plan.uncompiled import uncompiled


def validate(
    plans: Sequence[Planned], *, data_at_hand: bool = True, say: Callable[[str], None] = lambda note: None
) -> list[str]:
    """Check every run.

    Args:
        plans: the runs.
        data_at_hand: the data sets can be loaded. Without them (a dry run) what depends on their size is not checked.
        say: is told, once, what a data set's reader decided for itself.

    Returns:
        Warnings, each once.

    Raises:
        ConfigError: the first thing that cannot work, and the override to change.
    """
    once, parts = _Once(), Parts()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        seen: set[tuple[Any, ...]] = set()
        for planned in plans:
            try:
                alike = (signature(planned.tree), planned.keys)
                if alike in seen:
                    check_seed(planned.tree["seed"])
                else:
                    _validate(RunConfig.of(planned.tree), once, parts, data_at_hand, planned.keys)
                    seen.add(alike)
            except (ConfigError, SystemExit) as error:
                said = exits.said(error) if isinstance(error, SystemExit) else error
                where = f" (run: {' '.join(planned.overrides)})" if planned.overrides else ""
                raise ConfigError(f"{said}{where}") from error
            finally:
                for note in [*once.notes]:
                    if once.notes[note]:
                        say(note)
                        once.notes[note] = False
        parts.warn()
        _mixed(different(planned.tree for planned in plans))
    return list(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning)))


class _Once:
    """Builds what is asked for once for each distinct question."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.notes: dict[str, bool] = {}
        """What readers decided, and whether it is still to be said."""

    def __call__(self, make: Callable[[], Any], *question: Any) -> Any:
        key = json.dumps(question, sort_keys=True, default=str)
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]


def _validate(config: RunConfig, once: _Once, parts: Parts, data_at_hand: bool, keys: Sequence[str]) -> None:
    check_finite(config)
    for node in config.callback.values():
        once(partial(_callback, node), "callback", node)
    if is_solver(config.optimizer):
        blocks = (config.optimizer, config.dataset, config.model, config.batch_schedule, config.lr_schedule)
        rest = (asdict(config.train), asdict(config.log), config.measure, config.nproc)
        once(lambda: _solver(config, once, data_at_hand, keys), "solver", *blocks, *rest, keys)
        return
    batches: BatchSchedule = once(lambda: make_sizes(config.batch_schedule), "sizes", config.batch_schedule)
    rates: Rates = once(lambda: _rates(config.lr_schedule), "rates", config.lr_schedule)
    optimizer = once(lambda: _optimizer(config.optimizer), config.optimizer)
    check_levels(config, rates, optimizer)
    _given(config, once, keys)
    if not data_at_hand:
        noise.needs(config, optimizer, batches)
        inputs = once(lambda: known_beforehand(config.dataset), "inputs", config.dataset)
        if inputs is not None:
            _tried(config, inputs, once)
        _measures(config, Subject(None, optimizer, None), once)
        return
    dataset = _data(config.dataset, once)
    budget = config.train.total_samples(dataset.n)
    question = (config.batch_schedule, dataset.n, budget)
    with blaming_schedule(config, "batch_schedule"):
        steps = once(lambda: total_steps(batches, dataset.n, budget), "steps", *question)
        clock = Clock(0, 0, dataset.n, budget, steps)
        first = batches.size(clock)
    with uncompiled(), blaming_schedule(config, "lr_schedule"):
        check_factors(rates, optimizer, clock, first)
    _effects(config, rates, clock, keys)
    if first > budget:
        raise ConfigError(
            f"the first batch of {first} is larger than the budget of {budget} samples: set "
            f"{config.train.lasting(first, dataset.n)}, or lower {first_batch(config)}"
        )
    loss_fits = own_loss(config.train.loss) is not None or (dataset.classes is None) == (config.train.loss == "mse")
    if not loss_fits:
        wanted = "mse" if dataset.classes is None else "cross_entropy"
        targets = "numbers" if dataset.classes is None else f"labels of {dataset.classes} classes"
        raise ConfigError(
            f"dataset={config.dataset['name']} needs train.loss={wanted}, or one of your own: its targets are {targets}"
        )
    if config.train.loss == "squared_hinge":
        raise ConfigError(
            "train.loss=squared_hinge is for finite-sum solvers such as dasvrda: set train.loss=cross_entropy"
        )
    model = _tried(config, Inputs.of(dataset), once)
    taken = ("taken", config.optimizer, config.model, config.dataset, config.train.decay, config.train.precision)
    once(lambda: _takes(config, model), *taken)
    grouped = noise.check(config, model, optimizer, batches, first)
    if config.train.micro_batch == AUTO and (why := tied(model, grouped=grouped)):
        others = " or model.norm=group" if has_batchnorm(model) and "norm" in config.model else ""
        name = f"model={config.model['name']}"
        raise ConfigError(f"train.micro_batch={AUTO} with {name}: {why}, so numbers depend on it: set one{others}")
    if has_batchnorm(model):
        largest = once(lambda: largest_batch(batches, dataset.n, budget), "largest", *question)
        parts.note(config, largest, grouped=grouped)
    _measures(config, Subject(model, optimizer, dataset), once)


def _data(node: Node, once: _Once) -> Dataset:
    """The data set, loaded once; what its reader decided for itself is noted."""

    def load() -> Dataset:
        dataset = load_watched(node)
        once.notes = dict.fromkeys(dataset.notes, True) | once.notes
        return dataset

    dataset: Dataset = once(load, node)
    return dataset


def _given(config: RunConfig, once: _Once, keys: Sequence[str]) -> None:
    """See that reader and model take what they will be given, and warn of a split's seed without a split."""
    once(lambda: _reader(config.dataset), "reader", config.dataset)
    once(lambda: check_arguments(config.model, "model", "shape", "classes", "vocabulary"), "arguments", config.model)
    if "dataset.split_seed" in keys and "validation" not in config.dataset:
        warnings.warn("dataset.split_seed has no effect without dataset.validation=0.1", stacklevel=2)


def _reader(node: Node) -> None:
    """See that a data set's reader takes what it will be given."""
    check_arguments(split.reader(node), "dataset")
    for key, block in parts_of(node).items():
        check_arguments(block, "dataset", block=f"dataset.{key}")
    taken = split.KEYS.keys() & node.keys() & inspect.signature(locate(node, "dataset")).parameters.keys()
    if taken:
        key = max(taken)
        raise ConfigError(f"dataset.{key} is what batchlab sets apart: rename that argument of {node['_target_']}")


def _measures(config: RunConfig, subject: Subject, once: _Once) -> None:
    """What is to be measured must be measurable here, and nobody may declare a column that another gives."""
    made_of: dict[str, Measure] = {
        name: once(partial(_measure, node), "measure", node) for name, node in config.measure.items()
    }
    splits = ("test",) if subject.dataset is None else subject.dataset.splits
    for name, made in made_of.items():
        others = [(other, measure) for other, measure in made_of.items() if other != name]
        given = {
            column: other
            for other, measure in others
            for column in vars(type(measure)).get("columns", ())
            if column.partition("_")[0] in (*splits, "train", "full")
        }
        check_columns(
            made.stream, f"measure={name}", made, made.quantities, given if made.stream == "metrics" else None
        )
        try:
            made.check(subject)
        except ValueError as error:
            of_model = "" if subject.model is None else f", model={config.model['name']}"
            where = f"optimizer={config.optimizer['name']}{of_model}"
            raise ConfigError(f"measure={name} with {where}: {error}") from error


def _effects(config: RunConfig, rates: Rates, clock: Clock, keys: Sequence[str]) -> None:
    """Warn of what was asked for and will not happen."""
    if isinstance(rates, LRSchedule) and not (rates.clock == "steps" and clock.total_steps is None):
        warmup = rates.warmup_length(clock)
        if warmup and warmup >= clock.total(rates.clock):
            warnings.warn(
                f"lr_schedule={config.lr_schedule['name']}: the run ends at {clock.total(rates.clock):g} {rates.clock},"
                f" within its warm-up of {warmup:g}: shorten lr_schedule.warmup or raise {config.train.budget}",
                stacklevel=2,
            )
    if {"train.samples", "train.epochs"} <= {*keys} and config.train.samples is not None:
        unused = f"train.epochs={config.train.epochs:g} has no effect"
        warnings.warn(f"{unused}: train.samples={config.train.samples} is the budget", stacklevel=2)


def _solver(config: RunConfig, once: _Once, data_at_hand: bool, keys: Sequence[str]) -> None:
    from batchlab.runner.plan import solver  # compiled loops are loaded only where they are used

    _given(config, once, keys)
    for node in config.measure.values():
        once(partial(_measure, node), "measure", node)
    if data_at_hand:
        solver.validate(config, _data(config.dataset, once))
    else:
        solver.check(config)
    solver.check_model(config, keys)


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


def _tried(config: RunConfig, inputs: Inputs, once: _Once) -> nn.Module:
    """The run's model, tried as its own loss is: once for each choice of it, its data and what it is trained in."""
    dtype = torch.float64 if config.train.precision == "float64" else torch.float32
    question = ("model", config.model, config.dataset, str(dtype))
    tried: tuple[nn.Module, tuple[int, ...]] = once(lambda: try_model(config.model, inputs, dtype), *question)
    model, output = tried
    once(lambda: check_memory(config, model), "memory", *question, config.train.device, config.executor)
    if own := own_loss(config.train.loss):
        once(lambda: try_loss(own, inputs, output, dtype), "loss", own, config.dataset, output, str(dtype))
    return model


def _rates(node: Node) -> Rates:
    with uncompiled():  # one of torch's drives an optimizer
        return make_rates(node)


def _takes(config: RunConfig, model: nn.Module) -> None:
    """See that the optimizer takes the model's parameters."""
    with uncompiled():
        try_optimizer(config.optimizer, model, str(config.model["name"]), config.train.decay)


def _optimizer(node: Node) -> Any:
    check_ranges(node)
    with uncompiled():
        optimizer = stand_in(node)
    check_rates(optimizer, node)
    try_resuming(node)
    return optimizer


def _measure(node: Node) -> Measure:
    """A measure, whose declarations make sense."""
    kind: Any = Measure  # abstract, as the schedules are
    check_arguments(node, "measure", block=f"measure.{node['name']}")
    made: Measure = checked(kind, build(node, "measure"), node, "measure")
    with blaming(node, "measure"):
        check_declarations(made)
    return made


def _callback(node: Node) -> None:
    check_arguments(node, "callback", block=f"callback.{node['name']}")
    with blaming(node, "callback"):
        check_methods(build(node, "callback"))
