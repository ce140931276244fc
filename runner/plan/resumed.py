"""Try whether an optimizer goes on from its `state_dict` as if it had not been interrupted."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from batchlab.optimizers.moments.state import random_states, set_random_states
from batchlab.optimizers.needs import Modes, Nothing, needs_of
from batchlab.runner.plan.build import locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.optimizer import make_optimizer
from batchlab.runner.plan.schema import Node

STEPS = 7
"""Before the state is kept, and after it: what is done every few steps is done once at least."""
KNOWN = ("torch.", "batchlab.", "pytorch_optimizer.")
"""Whose optimizers are not tried each time: tests hold those that have a file to it."""
CPU = torch.device("cpu")


def try_resuming(node: Node) -> None:
    """See that an optimizer of the user's own, made anew and given its state, steps as the one that it continues.

    On a few numbers, with gradients and random states that are the same for both, and in the order of a run that goes
    on: made on the first weights, then given weights and state. What cannot be stepped so is not tried.

    Args:
        node: the choice.

    Raises:
        ConfigError: another step.
    """
    target: Any = locate(node, "optimizer")
    if not str(getattr(target, "__module__", "")).startswith(KNOWN) and not resumes(node):
        raise ConfigError(
            f"optimizer={node['name']}: after its state_dict is loaded its next steps are others, so a resumed run "
            "would differ: keep what it remembers in self.state or in param_groups, or give it a state_dict and a "
            "load_state_dict that hold it all"
        )


def resumes(node: Node) -> bool:
    """Whether its steps after loading its state are the same bit by bit; also where that cannot be tried."""
    before = random_states(CPU)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return goes_on(node)
    except Exception:  # what it needs more than gradients, a run gives it, and says what it does not take
        return True
    finally:
        set_random_states(CPU, before)


def goes_on(node: Node) -> bool:
    """As `resumes`, but what its own code raises is raised."""
    model, optimizer = _begun(node)
    if not isinstance(needs_of(optimizer), Nothing):
        return True
    _step(model, optimizer, 0)
    kept = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], kept)
    drawn = random_states(CPU)
    _step(model, optimizer, STEPS)
    again, continued = _begun(node)
    weights, state = torch.load(io.BytesIO(kept.getvalue()), weights_only=True)
    again.load_state_dict(weights)
    continued.load_state_dict(state)
    set_random_states(CPU, drawn)
    _step(again, continued, STEPS)
    pairs = zip(model.parameters(), again.parameters(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs)


def _begun(node: Node) -> tuple[nn.Module, Optimizer]:
    """A model of two layers with the weights that both begin with, and the optimizer on it."""
    model = nn.Sequential(nn.Module(), nn.Module())
    for n, layer in enumerate(model):
        layer.register_parameter("weight", nn.Parameter(torch.linspace(-1, 1 + n, 12).reshape(4, 3)))
    torch.manual_seed(0)
    return model, make_optimizer(node, model, "all")


def _step(model: nn.Module, optimizer: Optimizer, first: int) -> None:
    """Some steps, each with gradients of its own."""
    if isinstance(optimizer, Modes):  # as a run does it
        optimizer.train()
    for step in range(first, first + STEPS):
        for n, p in enumerate(model.parameters()):
            p.grad = torch.sin(torch.arange(12.0) * (n + 1) + 3 * step).reshape(4, 3)
        optimizer.step()
        optimizer.zero_grad()
