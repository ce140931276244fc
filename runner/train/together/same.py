"""Do runs take the same steps together as alone? Tried on copies, where code of the user's own has a part in them.

A stack is one model in the place of many. Code that reaches around that (a parameter kept in a list, `p.data = ...`,
hooks, buffers that are assigned anew) would train something else and say nothing. batchlab's and torch's own classes
are held to it by tests, all others by a few steps before each group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.state import random_states, same_states, set_random_states
from batchlab.runner.train.loop import step
from batchlab.runner.train.modes import to_train
from batchlab.runner.train.rank import Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.together.group import Group
from batchlab.runner.train.together.sections import order_key, section_key
from batchlab.runner.train.together.stack import ApartError

TESTED = ("batchlab.", "torch.optim.", "pytorch_optimizer.")
"""Where the targets are that need no trial."""
STEPS = 4
MOST = 16
"""Runs that are tried."""
RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""What rounding may make of a few steps, the second in units of a tensor's largest number."""


def check_same(sessions: Sequence[Session]) -> None:
    """See that a few steps together leave what they leave alone.

    Args:
        sessions: of the group; they are not touched.

    Raises:
        ApartError: they do not.
    """
    if all(_tested(session) for session in sessions):
        return
    ordered = sorted(sessions, key=order_key)
    firsts = {section_key(session): session for session in reversed(ordered)}  # one for each optimizer
    chosen = sorted({id(s): s for s in (*firsts.values(), ordered[0], ordered[-1])}.values(), key=order_key)
    chosen = [*[s for s in chosen if not _tested(s)], *[s for s in chosen if _tested(s)]][:MOST]
    with _random_as_before(sessions[0].probe.device):
        pairs = [(_copy(session), _copy(session)) for session in chosen]
        draws = [generator for (_, generator), _ in pairs]
        group = Group([session for (session, _), _ in pairs], draws)
        before = random_states(group.device)
        for session in group.sessions:
            session.forward.train()
            to_train(session.optimizer)
        for _ in range(STEPS):
            group.set_learning_rates()
            batch = group.lead.take(group.lead.batch_size())
            group.step(batch)
            group.lead.advance(batch.size)
        if not same_states(before, random_states(group.device)):
            raise ApartError("random numbers are drawn in a step")
        for (one, drawn), (alone, own) in pairs:
            _alone(alone, own)
            if not torch.equal(own.get_state(), drawn.get_state()):
                raise ApartError("random numbers are drawn in a step")
            if name := _other(one.model, alone.model):
                raise ApartError(f"{name} would be another than alone after {STEPS} steps")


def _alone(session: Session, draws: torch.Generator) -> None:
    """Take the steps alone; `draws` is left where torch's own generator is then."""
    torch.set_rng_state(draws.get_state())
    before = random_states(session.probe.device)
    session.forward.train()
    to_train(session.optimizer)
    meters = Meters.on(session.probe.device)
    for _ in range(STEPS):
        session.set_learning_rate()
        batch = session.take(session.batch_size())
        step(session, meters, batch)
        session.advance(batch.size)
    after = random_states(session.probe.device)
    draws.set_state(after[0])
    if not same_states([before[0], *after[1:]], [before[0], *before[1:]]):
        raise ApartError("random numbers are drawn in a step")


def _copy(session: Session) -> tuple[Session, torch.Generator]:
    """A session as it was at its beginning, and torch's random state then."""
    made = Session.build(session.config, session.probe.device, 0, 1, session.dataset)
    draws = torch.Generator()
    draws.set_state(torch.get_rng_state())
    return made, draws


def _other(one: nn.Module, other: nn.Module) -> str:
    """The first tensor of two models that differs by more than rounding; empty where none does."""
    theirs: Mapping[str, Tensor] = dict(_tensors(other))
    for name, tensor in _tensors(one):
        a, b = tensor.detach().double(), theirs[name].detach().double()
        scale = float(b[b.isfinite()].abs().max()) if b.isfinite().any() else 0.0
        if not torch.allclose(a, b, rtol=RELATIVE, atol=ABSOLUTE * scale, equal_nan=True):
            return name
    return ""


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _tested(session: Session) -> bool:
    """Whether nothing of the user's own has a part in its steps."""
    nodes = (session.config.model, session.config.optimizer, session.config.lr_schedule, session.config.batch_schedule)
    return all(str(node.get("_target_", "")).startswith(TESTED) for node in nodes)


@contextmanager
def _random_as_before(device: torch.device) -> Iterator[None]:
    before = random_states(device)
    try:
        yield
    finally:
        set_random_states(device, before)
