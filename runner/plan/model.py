"""A run's model: made from whatever module class or factory `_target_` names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from batchlab.runner.plan import sizes
from batchlab.runner.plan.build import build, checked, locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.schema import Node


class Unable(ConfigError):
    """A model that could not be run here in this way; in another it may."""


def make_model(
    node: Node, shape: Sequence[int], classes: int, vocabulary: int | Sequence[int] | None = None
) -> nn.Module:
    """The model that a `model` choice names, for a data set.

    `shape`, `classes` and `vocabulary` are passed to a target that has arguments of these names and whose YAML gives
    them no value; `**kwargs` are no such arguments. Lazy layers have their shapes when it returns.

    Args:
        node: the choice.
        shape: of one input.
        classes: outputs.
        vocabulary: how many ids inputs are of, one number or one for each column; None where they are no ids.

    Raises:
        ConfigError: the target refuses what it is given, is none, or makes no module.
    """
    target = locate(node, "model")
    node = sizes.filled(node, shape, classes, vocabulary)
    parameters = parameters_of(target)
    own = {"shape": tuple(shape), "classes": classes, "vocabulary": vocabulary}
    given = {key: value for key, value in own.items() if key in parameters and key not in node}
    if vocabulary is None and "vocabulary" in given and parameters["vocabulary"].default is not inspect.Parameter.empty:
        del given["vocabulary"]
    named = node | given
    places: list[Any] = []  # of what a target takes by place only, which in YAML has a name all the same
    for name, parameter in parameters.items():
        missing = name not in named and parameter.default is parameter.empty
        if parameter.kind is not parameter.POSITIONAL_ONLY or missing:
            break
        places.append(named.pop(name, parameter.default))
    try:
        made = build(named, "model", *places)
    except ConfigError as error:
        if isinstance(error.__cause__, TypeError) and vocabulary is None and "vocabulary" in given:
            raise ConfigError(
                f"model={node['name']}: it takes a `vocabulary`, and the data set's samples are no ids: set "
                "dataset.vocabulary=N where they are"
            ) from error
        if isinstance(error.__cause__, TypeError) and "missing" in str(error):
            way = f"{file_of(node)} can give it a value, also ${{shape}}, ${{classes}} or ${{vocabulary}}"
            raise ConfigError(f"{error}: {way}") from error
        raise
    model = checked(nn.Module, made, node, "model")
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        _settle(model, node, shape, torch.float32 if vocabulary is None else torch.int64)
    return model


def parameters_of(target: Any) -> Mapping[str, inspect.Parameter]:
    """What a target takes by its name, by that name."""
    try:
        every = inspect.signature(target).parameters
    except (ValueError, TypeError):  # one of C says nothing of its arguments
        return {}
    return {name: p for name, p in every.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _settle(model: nn.Module, node: Node, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Give lazy layers their shapes, by a pass in eval mode, which no statistics are taken of."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(iter((*model.parameters(), *model.buffers()))).device
    try:
        with torch.no_grad():
            model.float().eval()(torch.zeros(2, *shape, dtype=dtype, device=device))
    except Exception as error:
        lazy = f"model={node['name']}: its lazy layers do not take inputs {batch_of(shape)}"
        raise Unable(f"{lazy}: {said(error)}") from error
    finally:
        for module, training in modes:
            module.training = training


def file_of(node: Node) -> str:
    """Where a `model` choice is written, in messages."""
    return f"conf/model/{node['name']}.yaml"


def said(error: BaseException | None) -> str:
    """The first line of what was raised."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def batch_of(shape: Sequence[int]) -> str:
    """The shape of a batch, in messages, by that of one sample."""
    return f"({', '.join(map(str, ('n', *shape)))})"
