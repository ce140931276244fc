"""The replicas of one process: sessions of their own, whose steps are taken together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from batchlab.datasets import Batch, Lockstep
from batchlab.optimizers.lr import factor_of
from batchlab.optimizers.moments import GradientMoments
from batchlab.optimizers.needs import Closure, Moments
from batchlab.runner.plan.build import blaming
from batchlab.runner.train.gradient import autocast
from batchlab.runner.train.session import DTYPES, Session
from batchlab.runner.train.together.moments import Part
from batchlab.runner.train.together.sections import Section, order_key, sections_of
from batchlab.runner.train.together.stack import Stack, losses_of


class Group:
    """Sessions at one place of their budget, stacked.

    Args:
        sessions: with one key (`plan.fusable`) and one clock; they are put in order.
        draws: session's place in `sessions` -> the generator that stands for torch's global one in its run.

    Raises:
        ApartError: they cannot be stacked.
    """

    def __init__(self, sessions: Sequence[Session], draws: Sequence[torch.Generator]) -> None:
        order = sorted(range(len(sessions)), key=lambda i: order_key(sessions[i]))
        self.sessions = [sessions[i] for i in order]
        self.draws = [draws[i] for i in order]
        first = self.sessions[0]
        options = first.config.train
        self.device, self.dtype = first.probe.device, DTYPES[options.precision]
        seeds = [session.config.seed for session in self.sessions]
        distinct = sorted(set(seeds))
        lanes = [distinct.index(seed) for seed in seeds]
        self.lanes = None if lanes == [*range(len(seeds))] else torch.tensor(lanes, device=self.device)
        batches = Lockstep(
            first.dataset,
            distinct,
            device=self.device,
            micro_batch=options.micro_batch,
            dtype=self.dtype,
        )
        batches.seek(first.batches.epoch, first.batches.position)
        self.lead = dataclasses.replace(first, batches=batches)
        """The first replica, its batches those of all: whatever is the same for all is asked of it."""
        self.stack = Stack([session.model for session in self.sessions], self.draws)
        self.sections: list[Section] = sections_of(self.sessions, self.stack)
        self.moments = None
        if isinstance(first.needs, Moments):
            wanted = dataclasses.replace(first.needs, estimator="groups")
            self.moments = wanted.gather(list(self.stack.parameters.values()))
            names = list(self.stack.parameters)
            self.parts = [Part(self.moments, s.model, names, i) for i, s in enumerate(self.sessions)]
            for session, own in zip(self.sessions, self.parts, strict=True):
                session.probe.moments = cast(GradientMoments, own)
        nodes = [json.dumps(session.config.lr_schedule, sort_keys=True, default=str) for session in self.sessions]
        self.scheduled = [nodes.index(node) for node in nodes]
        """Of each replica the first with its schedule."""
        self.factors: dict[int, float] = {}
        self.rates: list[float] = []
        """Of each replica's first parameter group."""

    def set_learning_rates(self) -> list[float]:
        """Put the schedules' rates into the optimizers; returns those of each replica's first parameter group.

        Raises:
            ConfigError: a schedule gives none.
        """
        factors = {}
        for place in dict.fromkeys(self.scheduled):
            with blaming(self.sessions[place].config.lr_schedule, "lr_schedule"):
                factors[place] = factor_of(self.sessions[place].lr_schedule, self.lead.clock)
        if factors == self.factors:
            return self.rates
        self.factors = factors
        rates = [
            [base * factors[place] for base in session.base_lrs]
            for session, place in zip(self.sessions, self.scheduled, strict=True)
        ]
        for section in self.sections:
            section.set_rates(rates[section.places.start : section.places.stop])
        self.rates = [own[0] for own in rates]
        return self.rates

    def step(self, batch: Batch) -> tuple[Tensor, int]:
        """Update the parameters of all once.

        Args:
            batch: of the lanes.

        Returns:
            The summed losses before the update, (R,), and how many gradients a sample took.
        """
        if isinstance(self.lead.needs, Closure):
            (section,) = self.sections
            losses: list[Tensor] = []

            def closure() -> Tensor:
                losses.append(self._gradient(batch))
                section.take({name: p.grad for name, p in self.stack.parameters.items()})
                return losses[-1].sum()

            section.optimizer.step(closure)  # type: ignore[arg-type]
            return losses[0], len(losses)
        loss = self._gradient(batch)
        gradients = {name: p.grad for name, p in self.stack.parameters.items()}
        for section in self.sections:
            section.take(gradients)
            if self.moments is None:
                section.optimizer.step()
            else:
                section.optimizer.step(self.parts[section.places[0]])  # type: ignore[call-overload]
        return loss, 1

    def _gradient(self, batch: Batch) -> Tensor:
        """Leave the mean gradient of each replica in the stack's `.grad`; the summed losses, (R,)."""
        count = len(self.sessions)
        if self.moments is not None:
            self.moments.reset()
        self.stack.clear()
        total = torch.zeros(count, dtype=self.dtype, device=self.device)
        for x, y in batch.micro:
            if self.lanes is not None:
                x, y = x.index_select(0, self.lanes), y.index_select(0, self.lanes)
            with autocast(self.device, self.lead.config.train.precision):
                outputs = self.stack.forward(x, training=True)
            losses = losses_of(self.lead.probe.criterion, outputs.to(self.dtype), y).sum(1)
            size = batch.size if self.moments is None else x.shape[1]
            torch.autograd.backward(losses, torch.full_like(losses, 1 / size))
            total += losses.detach()
            if self.moments is not None:
                self.moments.observe(x.shape[1])
        if self.moments is not None:
            self.moments.reduce()
        return total

    def lend(self) -> None:
        """Let the replicas' own sessions be as after a step of their own."""
        for section in self.sections:
            section.lend()
        for session in self.sessions:
            session.clock = self.lead.clock
            session.batches.seek(self.lead.batches.epoch, self.lead.batches.position)
