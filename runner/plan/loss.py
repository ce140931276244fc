"""A loss of the user's own in `train.loss`: by its dotted path, or by a block of `_target_` and its arguments.

A class is made once, with the arguments; a function is called with them each time. Either is called with outputs and
targets of n samples and gives n losses, one for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from batchlab.runner.plan.build import arguments, build, check_arguments, locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.schema import Node

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from batchlab.runner.plan.trial import Inputs

OURS = ("outputs", "targets")
"""What the first two arguments of a loss are given."""


def settled(loss: Any) -> Any:
    """`train.loss` in one spelling: a block without arguments is its path."""
    return loss["_target_"] if isinstance(loss, dict) and loss.keys() == {"_target_"} else loss


def own_loss(loss: Any) -> Node | None:
    """The node of a loss of the user's own, None for one of batchlab's."""
    if isinstance(loss, dict):
        return {"name": loss.get("_target_")} | loss
    return {"name": loss, "_target_": loss} if isinstance(loss, str) and "." in loss else None


def make_loss(node: Node, device: torch.device, dtype: torch.dtype) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss: (outputs (n, ...), targets (n, ...)) -> losses (n,).

    Args:
        node: of `own_loss`.
        device: of the outputs; where a loss that is a module goes too.
        dtype: of the outputs.

    Raises:
        ConfigError: it cannot be made, or called.
    """
    from torch import nn

    target = locate(node, "train.loss")
    made = build(node, "train.loss") if isinstance(target, type) else partial(target, **arguments(node))
    if not callable(made):
        raise ConfigError(f"train.loss={node['name']}: what it makes cannot be called with outputs and targets")
    if isinstance(made, nn.Module):
        made = made.to(device, dtype)
        if any(p.requires_grad for p in made.parameters()):
            raise ConfigError(f"train.loss={node['name']}: it has parameters, which no optimizer would train")
    called: Callable[[Tensor, Tensor], Tensor] = made
    return called


def try_loss(node: Node, inputs: Inputs, output: tuple[int, ...], dtype: torch.dtype) -> None:
    """See that a loss takes a data set's targets and gives a loss for each sample; nothing is left of the trial.

    Args:
        node: of `own_loss`.
        inputs: what is known of the data.
        output: the shape of one output of the model.
        dtype: of the outputs.

    Raises:
        ConfigError: naming the loss, the data set and what does not fit.
    """
    import torch

    who = f"train.loss={node['name']}"
    target = locate(node, "train.loss")
    given = () if isinstance(target, type) else OURS
    check_arguments(node, "train.loss", *given)
    targets = inputs.targets(dtype)
    n = len(targets)
    # neither equal nor evenly spaced, or what is taken off a whole batch could make no difference
    outputs = torch.arange(n * math.prod(output), dtype=dtype).sin().reshape(n, *output).requires_grad_()
    with torch.random.fork_rng([]):
        criterion = make_loss(node, outputs.device, dtype)
        try:
            losses, once_more = criterion(outputs, targets), criterion(outputs, targets)
        except Exception as error:
            lines = str(error).strip().splitlines()
            shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} of dataset={inputs.name}"
            raise ConfigError(
                f"{who} does not take {shapes}: {type(error).__name__}: {lines[0] if lines else 'no more is said'}"
            ) from error
    if not isinstance(losses, torch.Tensor) or losses.shape != (n,):
        got = f"shape {tuple(losses.shape)}" if isinstance(losses, torch.Tensor) else f"a {type(losses).__name__}"
        way = "torch's losses do with reduction: none"
        raise ConfigError(f"{who} gives {got} for {n} samples: it must give a loss for each, shape (n,); {way}")
    if not (losses.is_floating_point() and losses.requires_grad):
        raise ConfigError(f"{who} gives losses that no gradient leads back from")
    alone = _alone(criterion, outputs, targets)
    if alone is not None and torch.equal(losses, once_more) and not _alike(losses, alone):
        raise ConfigError(
            f"{who} gives a sample another loss alone than beside others: each loss must be of its own sample, as "
            "ranks and micro-batches part a batch; leave out what looks at the whole batch, such as a mean over it"
        )


def _alone(criterion: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor | None:
    """The losses (n,) of samples one by one; None where they cannot be had so."""
    import torch

    try:
        found = torch.cat([criterion(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(targets))])
    except Exception:  # which is no matter where no batch is of one sample
        return None
    return found if found.shape == (len(targets),) else None


def _alike(a: Tensor, b: Tensor) -> bool:
    """Up to rounding, which the size of a batch may change."""
    import torch

    return torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
