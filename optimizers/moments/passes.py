"""One forward and backward pass in which every use of a parameter gives its samples' gradients apart."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from batchlab.optimizers.moments.flat import exact, square_sum
from batchlab.optimizers.moments.layers import Call, slices
from batchlab.optimizers.moments.units import NotSampleWise, Unit, short


@dataclass
class Learnt:
    """What was found out about a model on the way.

    Attributes:
        row_inputs: which inputs of a unit have a row per sample, by the unit's name and its uses before.
        one_by_one: names of the units that do not go through vmap.
    """

    row_inputs: dict[tuple[str, int], list[bool]] = field(default_factory=dict)
    one_by_one: set[str] = field(default_factory=set)


class Pass:
    """One forward and backward pass over some samples.

    Args:
        samples: of the batch.
        index: places of the parameters, by their ids.
        chunk_bytes: memory to work in at a time (one sample's gradient of one layer at least).
        learnt: what is known of the model, and gains what is found out.
        sums: per parameter, gain the samples' gradients.
        squares: per parameter, gain the squares of these; None where they are not wanted.
        probing: only look at inputs.
        eps: the relative rounding of the coarsest type that takes part.

    Attributes:
        norms: squared norms of the samples' gradients (n,).
        seen: which parameters had a gradient.
        replayed: places of the parameters of units that are run again.
        touched: whether any of their gradients is not zero, (), by their places.
        learning: whether uses that were not met before are taken in.
        going_back: whether the backward pass over the losses has begun.
        early: whether the model differentiates by itself, in its forward pass, and what comes of it is differentiated.
        shares: where it is a dictionary, it gains what `norms` is the sum of, by the places of the parameters.
    """

    def __init__(
        self,
        samples: int,
        index: dict[int, int],
        chunk_bytes: int,
        learnt: Learnt,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
        probing: bool = False,
        eps: float = 0.0,
    ) -> None:
        self.samples, self.index, self.chunk_bytes = samples, index, chunk_bytes
        self.sums, self.squares, self.probing = sums, squares, probing
        self.learnt, self.one_by_one, self.eps = learnt, learnt.one_by_one, eps
        self.norms = torch.zeros(0)
        self.seen = [False] * len(sums)
        self.shares: dict[tuple[int, ...], Tensor] | None = None
        self.learning = self.going_back = self.early = False
        self.replayed: set[int] = set()
        self.touched: dict[int, Tensor] = {}
        self._calls: Counter[str] = Counter()
        self._uses: Counter[int] = Counter()
        self._waiting: list[tuple[list[int], Call]] = []
        self._apart: dict[str, list[Tensor]] = {}
        if not probing:
            device = sums[0].device
            self.norms = torch.zeros(samples, dtype=exact(device), device=device)

    def rows(self, unit: Unit, inputs: Sequence[Any]) -> list[bool]:
        """Which of a unit's inputs have one row per sample: those that also had it when there were others.

        Raises:
            NotSampleWise: none of them.
        """
        key = (unit.name, self._calls[unit.name])
        self._calls[unit.name] += 1
        now = [isinstance(t, Tensor) and t.dim() > 0 and len(t) == self.samples for t in inputs]
        if self.probing:
            self.learnt.row_inputs[key] = now
        elif key not in self.learnt.row_inputs:
            if not self.learning:
                raise NotSampleWise(f"a use of {unit.name} that the first batch had not")
            self.learnt.row_inputs[key] = now
        known = self.learnt.row_inputs[key]
        rows = [a and b for a, b in zip(now, known, strict=True)] if len(known) == len(now) else now
        if not any(rows):
            raise NotSampleWise(f"{unit.name} is applied to something that has not one row per sample")
        return rows

    def go_one_by_one(self, unit: Unit, why: Exception) -> None:
        """A unit turns out not to go through vmap."""
        warnings.warn(
            f"{unit.name} ({type(unit.module).__name__}) does not go through torch.func.vmap ({short(why)}): its "
            "gradients are taken sample by sample, which is exact and slow; estimator=groups costs nothing",
            RuntimeWarning,
            stacklevel=2,
        )
        self.one_by_one.add(unit.name)

    def expect(self, unit: Unit) -> None:
        """A use of the unit's parameters whose gradient will come."""
        self._uses.update(self.index[id(p)] for p in unit.params.values())

    def in_backward(self) -> bool:
        """Whether a gradient that comes is one of the losses, not one that the model takes in its forward pass."""
        self.early |= not self.going_back and torch.is_grad_enabled()
        return self.going_back

    def arrived(self, unit: Unit, call: Call) -> None:
        """The gradient of one use: done with at once if it is the only one, else when all are there."""
        if not self.in_backward():
            return
        owners = [self.index[id(unit.params[name])] for name in call.params]
        if all(self._uses[owner] == 1 for owner in owners):
            self._settle([(owners, call)])
        else:
            self._waiting.append((owners, call))

    def later(self, unit: Unit, call: Call) -> None:
        """A use that is ready only when the backward pass is over."""
        owners = [self.index[id(unit.params[name])] for name in call.params]
        self.replayed.update(owners)
        self._waiting.append((owners, call))

    @torch.no_grad()
    def compare(self, unit: Unit, again: Tensor, output: Tensor) -> None:
        """See that samples that a unit was run again for (c, ...) give what they gave in the batch."""
        if again.shape != output.shape:
            raise NotSampleWise(f"{unit.name} gives another shape for one sample", True)
        if not output.numel():
            return
        wide = torch.promote_types(output.dtype, torch.float32)
        off = torch.linalg.vector_norm((again.to(wide) - output.to(wide)).reshape(len(output), -1), dim=1)
        norms = torch.linalg.vector_norm(output.to(wide).reshape(len(output), -1), dim=1)
        floor = norms.square().mean().sqrt()
        eps = max(self.eps, torch.finfo(output.dtype).eps)
        self._apart.setdefault(unit.name, []).append((off > min(eps**0.5, 0.1) * (norms + floor)).any())

    def finish(self) -> None:
        """Settle the uses that waited, those together that share a parameter.

        Raises:
            NotSampleWise: what was run again was not the same.
        """
        self._settle_all()
        others = [name for name, found in self._apart.items() if bool(torch.stack(found).any())]
        if others:
            raise NotSampleWise(
                f"{', '.join(others)} gives for one sample alone something else than in the batch: it reads what has a "
                "row per sample, a mask or a state, from elsewhere than its inputs",
                True,
            )

    def _settle_all(self) -> None:
        self._waiting = [(owners, call) for owners, call in self._waiting if call.ready]
        while self._waiting:
            together = [self._waiting.pop()]
            shared = set(together[0][0])
            while more := [w for w in self._waiting if shared & set(w[0])]:
                together += more
                shared |= {owner for owners, _ in more for owner in owners}
                self._waiting = [w for w in self._waiting if all(w is not m for m in more)]
            self._settle(together)

    @torch.no_grad()
    def _settle(self, uses: Sequence[tuple[list[int], Call]]) -> None:
        chunk = max(1, self.chunk_bytes // sum(call.bytes for _, call in uses))
        for owner in {owner for owners, _ in uses for owner in owners}:
            self.seen[owner] = True
        if len(uses) == 1 and self._settle_at_once(*uses[0], chunk):
            return
        for samples in slices(self.samples, chunk):
            blocks: dict[int, Tensor] = {}
            for owners, call in uses:
                for owner, block in zip(owners, call.blocks(samples), strict=True):
                    blocks[owner] = blocks[owner] + block if owner in blocks else block
            for owner, block in blocks.items():
                total = self.sums[owner]
                if owner in self.replayed:
                    self.touched[owner] = self.touched.get(owner, False) | block.any()
                self._count((owner,), samples, square_sum(block))
                total += block.sum(0, dtype=total.dtype)
                if self.squares is not None:
                    self.squares[owner].add_(block.to(total.dtype).square().sum(0))

    def _settle_at_once(self, owners: Sequence[int], call: Call, chunk: int) -> bool:
        squares = call.squares() if self.squares is not None else []
        if squares is None or (cheap := call.norms_and_sums(chunk)) is None:
            return False
        self._count(tuple(owners), slice(0, self.samples), cheap[0])
        for owner, total in zip(owners, cheap[1], strict=True):
            self.sums[owner].add_(total)
        if self.squares is not None:
            for owner, square in zip(owners, squares, strict=True):
                self.squares[owner].add_(square)
        return True

    def take(self, sample: int, gradients: Sequence[Tensor | None]) -> None:
        """One sample's gradients, aligned with `sums`; None where there is none."""
        for owner, gradient in enumerate(gradients):
            if gradient is None:
                continue
            total, row = self.sums[owner], gradient.unsqueeze(0)
            self.seen[owner] = True
            self._count((owner,), slice(sample, sample + 1), square_sum(row))
            total += gradient.to(total.dtype)
            if self.squares is not None:
                self.squares[owner].add_(gradient.to(total.dtype).square())

    def _count(self, owners: tuple[int, ...], samples: slice, norms: Tensor) -> None:
        self.norms[samples] += norms
        if self.shares is not None:
            share = self.shares.setdefault(owners, torch.zeros_like(self.norms))
            share[samples] += norms


@contextmanager
def patched(units: Sequence[Unit], run: Pass) -> Iterator[None]:
    """Let the units' modules be applied in our way, on these objects only and for this pass only."""
    before = [unit.module.__dict__.get("forward") for unit in units]
    try:
        for unit in units:
            unit.module.__dict__["forward"] = partial(unit.apply, run, unit, unit.module.forward)
        yield
    finally:
        for unit, forward in zip(units, before, strict=True):
            unit.module.__dict__.pop("forward", None)
            if forward is not None:
                unit.module.__dict__["forward"] = forward
