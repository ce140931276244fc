"""The optimizers of stacked models: as few steps as their scope allows, each replica with its own learning rate."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from batchlab.optimizers.scope import scope_of
from batchlab.runner.plan.build import build
from batchlab.runner.train.session import Session
from batchlab.runner.train.together.stack import ApartError, Stack


class Section(ABC):
    """Some replicas, neighbours in the stack, that one optimizer moves.

    Args:
        sessions: of all replicas of the stack.
        places: of those that are this section's.
    """

    def __init__(self, sessions: Sequence[Session], places: range) -> None:
        self.places = places
        self.sessions = [sessions[i] for i in places]
        self.optimizer: Optimizer

    @abstractmethod
    def take(self, gradients: Mapping[str, Tensor | None]) -> None:
        """Put the gradients of the stack, (R, ...) by name, where the optimizer looks for them."""

    def set_rates(self, rates: Sequence[Sequence[float]]) -> None:
        """Set the learning rates of the coming step.

        Args:
            rates: of each replica of this section, of each of its parameter groups.
        """
        for session, own in zip(self.sessions, rates, strict=True):
            for group, rate in zip(session.optimizer.param_groups, own, strict=True):
                group["lr"] = rate

    def lend(self) -> None:  # noqa: B027
        """Let each replica's own optimizer have its state, to be saved or looked at."""


class Alone(Section):
    """One replica and its own optimizer, which looks at the whole model."""

    def __init__(self, sessions: Sequence[Session], places: range) -> None:
        super().__init__(sessions, places)
        self.optimizer = self.sessions[0].optimizer
        self.named = dict(self.sessions[0].model.named_parameters())

    @override
    def take(self, gradients: Mapping[str, Tensor | None]) -> None:
        for name, gradient in gradients.items():
            self.named[name].grad = None if gradient is None else gradient[self.places[0]]


class Listed(Section):
    """Replicas whose optimizer looks at one tensor at a time: it is given the tensors of all of them."""

    def __init__(self, sessions: Sequence[Session], places: range) -> None:
        super().__init__(sessions, places)
        self.named = [dict(session.model.named_parameters()) for session in self.sessions]
        self.merged = _merged(self.sessions)
        self.optimizer = made(self.sessions[0], [group for group, _ in self.merged])
        for session in self.sessions:
            self.optimizer.state.update(session.optimizer.state)

    @override
    def take(self, gradients: Mapping[str, Tensor | None]) -> None:
        for name, gradient in gradients.items():
            rows = [None] * len(self.places) if gradient is None else gradient[self.places[0] :].unbind()
            for named, row in zip(self.named, rows, strict=False):
                named[name].grad = row

    @override
    def set_rates(self, rates: Sequence[Sequence[float]]) -> None:
        super().set_rates(rates)
        flat = [rate for own in rates for rate in own]
        for group, (_, first) in zip(self.optimizer.param_groups, self.merged, strict=True):
            group["lr"] = flat[first]

    @override
    def lend(self) -> None:
        for session in self.sessions:
            for group in session.optimizer.param_groups:
                for p in group["params"]:
                    if p in self.optimizer.state:
                        session.optimizer.state[p] = self.optimizer.state[p]


class Sliced(Section):
    """Replicas whose optimizer looks at one coordinate at a time: it is given slices of the stack."""

    def __init__(self, sessions: Sequence[Session], places: range, stack: Stack) -> None:
        super().__init__(sessions, places)
        self.slices: list[tuple[str, slice, nn.Parameter]] = []
        groups: list[dict[str, Any]] = []
        self.firsts: list[tuple[int, int]] = []
        """Of each group of the optimizer a replica that it moves, by its place in the section, and that one's group."""
        start = 0
        for _, alike in groupby(self.sessions, rates_key):
            count = len(list(alike))
            first = self.sessions[start]
            names = {p: name for name, p in first.model.named_parameters()}
            where = slice(places[0] + start, places[0] + start + count)
            for number, group in enumerate(first.optimizer.param_groups):
                own = [(names[p], nn.Parameter(stack.parameters[names[p]].detach()[where])) for p in group["params"]]
                self.slices += [(name, where, p) for name, p in own]
                options = {key: value for key, value in group.items() if key not in ("params", "param_names")}
                groups.append(options | {"params": [p for _, p in own]})
                self.firsts.append((start, number))
            start += count
        self.optimizer = made(self.sessions[0], groups)
        self._borrow()

    @override
    def take(self, gradients: Mapping[str, Tensor | None]) -> None:
        for name, where, p in self.slices:
            gradient = gradients[name]
            p.grad = None if gradient is None else gradient[where]

    @override
    def set_rates(self, rates: Sequence[Sequence[float]]) -> None:
        super().set_rates(rates)
        for group, (replica, number) in zip(self.optimizer.param_groups, self.firsts, strict=True):
            group["lr"] = rates[replica][number]

    def _own(self) -> Iterator[tuple[nn.Parameter, list[tuple[Session, nn.Parameter]]]]:
        """Each slice, with the replicas' own parameters that lie in it."""
        named = [dict(session.model.named_parameters()) for session in self.sessions]
        offset = self.places[0]
        for name, where, p in self.slices:
            inside = range(where.start - offset, where.stop - offset)
            yield p, [(self.sessions[i], named[i][name]) for i in inside]

    @override
    def lend(self) -> None:
        for p, own in self._own():
            state = self.optimizer.state.get(p)
            if state is not None:
                for place, (session, parameter) in enumerate(own):
                    session.optimizer.state[parameter] = part(state, place, p.shape)

    def _borrow(self) -> None:
        """The state that the replicas' own optimizers have, of a checkpoint or of a stack before this one."""
        for p, own in self._own():
            states = [session.optimizer.state.get(parameter) for session, parameter in own]
            if any(states):
                self.optimizer.state[p] = joined(states, p.shape[1:])


def sections_of(sessions: Sequence[Session], stack: Stack) -> list[Section]:
    """The sections of a stack, whose replicas are in the order of `order_key`."""
    found: list[Section] = []
    start = 0
    for _, alike in groupby(sessions, section_key):
        count = len(list(alike))
        places = range(start, start + count)
        scope = scope_of(sessions[start].optimizer)
        if scope == "elements":
            found.append(Sliced(sessions, places, stack))
        elif scope == "tensors":
            found.append(Listed(sessions, places))
        else:
            found += [Alone(sessions, range(i, i + 1)) for i in places]
        start += count
    return found


def section_key(session: Session) -> str:
    """What replicas that one optimizer moves have in common: all of its options but the learning rate."""
    return json.dumps({k: v for k, v in session.config.optimizer.items() if k != "lr"}, sort_keys=True, default=str)


def rates_key(session: Session) -> str:
    """What replicas with one learning rate at every step have in common."""
    return json.dumps([session.base_lrs, session.config.lr_schedule], sort_keys=True, default=str)


def order_key(session: Session) -> tuple[str, str, int]:
    """In which order replicas are stacked."""
    return section_key(session), rates_key(session), session.config.seed


def made(session: Session, groups: list[dict[str, Any]]) -> Optimizer:
    """An optimizer as a replica's own, with other parameter groups."""
    optimizer: Optimizer = build(session.config.optimizer, "optimizer", groups)
    return optimizer


def _merged(sessions: Sequence[Session]) -> list[tuple[dict[str, Any], int]]:
    """The groups of all, those with one rate at every step as one, and the place of the first of each."""
    found: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}
    place = 0
    for session in sessions:
        for number, group in enumerate(session.optimizer.param_groups):
            options = {key: value for key, value in group.items() if key not in ("params", "param_names")}
            merged, _ = found.setdefault((rates_key(session), number), (options | {"params": []}, place))
            merged["params"].extend(group["params"])
            place += 1
    return list(found.values())


def part(state: Any, place: int, shape: torch.Size) -> Any:
    """What of an optimizer's state of a slice is one replica's; tensors are views.

    Args:
        state: of a parameter of `shape`, (k, ...): tensors of that shape are stacked, all others belong to all.
        place: of the replica in the slice.
        shape: see there.
    """
    if isinstance(state, Tensor):
        return state[place] if state.shape == shape else state
    if isinstance(state, Mapping):
        return {key: value if key == "step" else part(value, place, shape) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(part(value, place, shape) for value in state)
    return state


def joined(states: Sequence[Any], shape: torch.Size) -> Any:
    """The state of a slice, of those of its replicas; the inverse of `part`.

    Args:
        states: of each replica's parameter, of `shape`.
        shape: see there.

    Raises:
        ApartError: they do not fit together.
    """
    first = states[0]
    if isinstance(first, Mapping) and all(isinstance(s, Mapping) and s.keys() == first.keys() for s in states):
        return {
            key: _shared([s[key] for s in states]) if key == "step" else joined([s[key] for s in states], shape)
            for key in first
        }
    if isinstance(first, (list, tuple)) and all(type(s) is type(first) and len(s) == len(first) for s in states):
        return type(first)(joined(values, shape) for values in zip(*states, strict=True))
    if isinstance(first, Tensor) and all(isinstance(s, Tensor) and s.shape == shape for s in states):
        return torch.stack(list(states))
    return _shared(states)


def _shared(states: Sequence[Any]) -> Any:
    """What all have, as a copy.

    Raises:
        ApartError: they differ.
    """
    first = states[0]
    for state in states:
        same = torch.equal(state, first) if isinstance(first, Tensor) and isinstance(state, Tensor) else state == first
        if not same:
            raise ApartError("their optimizers are in different states")
    return copy.copy(first) if not isinstance(first, Tensor) else first.clone()
