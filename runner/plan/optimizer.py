"""A run's optimizer: of whatever `_target_` names, on a model's parameters."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from batchlab.optimizers.moments.state import random_states, set_random_states
from batchlab.optimizers.needs import MovesBySeveral
from batchlab.runner.plan.build import build, checked, locate
from batchlab.runner.plan.schema import Node

AXIS = "optimizer"
CPU = torch.device("cpu")
LARGE = 2**26
"""Numbers in a model (a quarter of a gigabyte) above which none is made here only to be tried."""


def parameter_groups(model: nn.Module, decay: str) -> list[dict[str, Any]]:
    """All parameters in one group, or, with `train.decay=weights`, biases and norms apart with no weight decay."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if decay == "all":
        return [_group(named)]
    weights = [(name, p) for name, p in named if p.dim() > 1]
    others = [(name, p) for name, p in named if p.dim() <= 1]
    return [_group(weights), _group(others) | {"weight_decay": 0.0}]


def _group(named: Sequence[tuple[str, nn.Parameter]]) -> dict[str, Any]:
    """Names beside the parameters, where torch looks for them; an optimizer that knows of none carries them along."""
    return {"params": [p for _, p in named], "param_names": [name for name, _ in named]}


def make_optimizer(node: Node, model: nn.Module, decay: str) -> Optimizer:
    """The optimizer that an `optimizer` choice names, on a model's parameters.

    `model` is passed to a target that has an argument of this name, and whose YAML gives it no value.

    Args:
        node: the choice.
        model: what it is to train.
        decay: `train.decay`.

    Raises:
        ConfigError: the target refuses what it is given, or is no optimizer.
    """
    given = {"model": model} if _takes_model(node) else {}
    made = build(node, AXIS, parameter_groups(model, decay), **given)
    optimizer: Optimizer = checked(Optimizer, made, node, AXIS)
    return optimizer


def stand_in(node: Node) -> Optimizer:
    """The optimizer on a model of two small layers, to ask it for its rates and its needs.

    Raises:
        ConfigError: see `make_optimizer`.
    """
    model = nn.Sequential(nn.Module(), nn.Module())
    for layer in model:  # made by hand: a layer of torch's would draw its weights
        layer.register_parameter("weight", nn.Parameter(torch.zeros(2, 2)))
    return make_optimizer(node, model, "all")


def try_optimizer(node: Node, model: nn.Module, name: str, decay: str) -> None:
    """See that an optimizer takes a model's parameters; nothing is left of the trial, and a large model is not tried.

    Args:
        node: the choice.
        model: to look at, perhaps on the meta device.
        name: of the model, for messages.
        decay: `train.decay`.

    Raises:
        ConfigError: it does not take them.
    """
    if sum(p.numel() for p in model.parameters()) > LARGE:
        return
    try:
        model = copy.deepcopy(model)
    except Exception:  # not every module can be copied: it is tried when it trains
        return
    if any(p.is_meta for p in model.parameters()):
        _with_memory(model)
    before = random_states(CPU)
    try:
        methods = methods_of(make_optimizer(node, model, decay))
    finally:
        set_random_states(CPU, before)
    if methods and not next(iter(methods.values())):
        method, *others = methods
        rest = " and ".join(others)
        warnings.warn(
            f"optimizer={node['name']}: no parameter of model={name} is for {method}: {rest} trains all", stacklevel=2
        )


def _with_memory(model: nn.Module) -> None:
    """Give a model on the meta device memory for its numbers; who is shared stays shared.

    `Module.to_empty` would make two of a parameter that two layers share, and import sympy (0.4 s) to ask for strides.
    """
    made: dict[torch.Tensor, nn.Parameter] = {}  # by identity
    for module in model.modules():
        for name, p in [*module.named_parameters(recurse=False, remove_duplicate=False)]:
            if p not in made:
                made[p] = nn.Parameter(torch.empty(p.shape, dtype=p.dtype, device=CPU), p.requires_grad)
            setattr(module, name, made[p])
        for name, b in [*module.named_buffers(recurse=False)]:
            setattr(module, name, torch.empty(b.shape, dtype=b.dtype, device=CPU))


def methods_of(optimizer: Optimizer) -> dict[str, list[str]]:
    """Method -> names of the parameters that it moves, of an optimizer with several that says so; else nothing."""
    said: Any = optimizer.methods() if isinstance(optimizer, MovesBySeveral) else None
    return {str(method): [*map(str, names)] for method, names in said.items()} if isinstance(said, dict) else {}


def _takes_model(node: Node) -> bool:
    try:
        return "model" in inspect.signature(locate(node, AXIS)).parameters and "model" not in node
    except (ValueError, TypeError):  # one of C says nothing of its arguments
        return False
