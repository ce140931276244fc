"""How far one number of an update looks: what an optimizer may be given at once without any of its numbers changing.

A class says it with the attribute `scope`:

    elements    each coordinate by itself, as SGD, Adam and the multistep integrators: copies of a model that are
                stacked in one tensor take the steps that each would take alone
    tensors     each parameter tensor by itself, as LARS and LAMB with their norms
    model       all parameters together, as AdaGrad-Norm with its one scale; what nothing is known of counts as this

An inherited word counts where a subclass has no `step` or `update` of its own.
"""

from __future__ import annotations

import inspect
from typing import Literal, TypeAlias, get_args

from torch import optim

Scope: TypeAlias = Literal["elements", "tensors", "model"]
ELEMENTWISE: frozenset[type] = frozenset(
    {
        optim.SGD,
        optim.Adam,
        optim.AdamW,
        optim.NAdam,
        optim.RAdam,
        optim.Adamax,
        optim.Adagrad,
        optim.Adadelta,
        optim.RMSprop,
        optim.Rprop,
        optim.ASGD,
    }
)
"""Of torch's own; in each of them `step` counts the same for all coordinates."""
STEPS = ("step", "take", "update", "advance", "move")
"""Methods that change what an inherited word says."""


def scope_of(optimizer: object) -> Scope:
    """How far an optimizer's numbers look.

    Args:
        optimizer: an instance or a class.

    Raises:
        ValueError: its `scope` is none of the three words.

    >>> scope_of(optim.SGD), scope_of(optim.LBFGS)
    ('elements', 'model')
    """
    kind = optimizer if isinstance(optimizer, type) else type(optimizer)
    for base in kind.__mro__:
        if base in ELEMENTWISE:
            return "elements"
        if "scope" in vars(base):
            declared: Scope = vars(base)["scope"]
            if declared not in get_args(Scope):
                raise ValueError(f"{base.__name__}.scope={declared!r}: choose one of {', '.join(get_args(Scope))}")
            return declared
        if any(_own(base, name) for name in STEPS):
            return "model"
    return "model"


def _own(kind: type, name: str) -> bool:
    """Whether a class has a method of its own; torch puts its hooks around an inherited `step` into the class."""
    found = vars(kind).get(name)
    if found is None:
        return False
    return all(
        inspect.unwrap(found) is not inspect.unwrap(vars(base)[name]) for base in kind.__mro__[1:] if name in vars(base)
    )
