"""The gradient of every single sample of a micro-batch, from one forward and one backward pass.

Each layer with parameters (a `Unit`, units.py) is applied with its parameters out of autograd's sight, and a
hook on its output takes the output's gradient: from that and the layer's input a `Call` (layers.py) gets the
per-sample gradients in place of the batch's own. Where a parameter is used several times (a layer applied
twice, tied weights) the uses wait for each other, so that the cross terms of ||sum of uses||^2 are there.
Layers that we do not know go through `torch.func.vmap`; a parameter that the model uses outside its layer, or a
layer whose input is not one row per sample, sends the whole model through it. All of it works on chunks of
samples, in bounded memory.
"""

from __future__ import annotations

import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.flat import exact, square_sum
from batchlab.optimizers.moments.layers import Call, slices
from batchlab.optimizers.moments.units import NotSampleWise, Unit, replay, units_of

CACHE_BYTES, ELSEWHERE_BYTES = 4 << 20, 256 << 20  # memory to work in: a core's cache; a GPU, to keep it busy


@dataclass
class Plan:
    """What was found out about a model."""

    whole: bool = False  # the model is one unit
    tried: bool = False
    row_inputs: dict[tuple[str, int], list[bool]] = field(default_factory=dict)  # by unit and how often before


class PerSample:
    """Adds the per-sample gradients of a model's micro-batches to running sums.

    Args:
        params: the parameters.
        chunk_bytes: memory to work in at a time (one sample's gradient of one layer at least).
    """

    def __init__(self, params: Sequence[Tensor], chunk_bytes: int | None = None) -> None:
        self.params = params
        self.index = {id(p): i for i, p in enumerate(params)}
        self.chunk_bytes = chunk_bytes or (CACHE_BYTES if params[0].device.type == "cpu" else ELSEWHERE_BYTES)
        self._plans: weakref.WeakKeyDictionary[nn.Module, Plan] = weakref.WeakKeyDictionary()

    def backward(
        self,
        model: nn.Module,
        losses_of: Callable[[Tensor], Tensor],
        x: Tensor,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
    ) -> tuple[Tensor, Tensor, list[bool]]:
        """Forward and backward of one micro-batch.

        Args:
            model: whose trainable parameters are those of this object.
            losses_of: the samples' losses (n,), of the model's output.
            x: the n samples.
            sums: per parameter, gain the samples' gradients.
            squares: per parameter, gain the squares of these; None where they are not wanted.

        Returns:
            The losses (n,), the samples' squared gradient norms (n,), and which parameters had a gradient.
        """
        model = getattr(model, "_orig_mod", model)  # the layers of a compiled model are reached only without it
        check_samples_apart(model)
        plan = self._plans.get(model)
        if plan is None:
            plan = self._plans[model] = Plan()
            self._check_known(model)
            self._probe(model, plan, x)
        run = partial(self._run, model, plan, losses_of, x, sums, squares)
        if plan.tried or plan.whole:
            return run()
        before = [t.clone() for t in (*sums, *(squares or ()))]
        try:
            result = run()
        except NotSampleWise as why:
            for tensor, copy in zip((*sums, *(squares or ())), before, strict=True):
                tensor.copy_(copy)
            _go_whole(plan, why)
            result = run()
        plan.tried = True
        return result

    def _run(
        self,
        model: nn.Module,
        plan: Plan,
        losses_of: Callable[[Tensor], Tensor],
        x: Tensor,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
    ) -> tuple[Tensor, Tensor, list[bool]]:
        for parameter in self.params:
            parameter.grad = None
        run = Pass(len(x), plan.row_inputs, self.chunk_bytes, self.index, sums, squares)
        with _patched(self._units(model, plan), run):
            losses = losses_of(model(x))
            losses.sum().backward()  # type: ignore[no-untyped-call]
            run.finish()
        leaks = [name for name, p in model.named_parameters() if p.grad is not None]
        if leaks:
            raise NotSampleWise(f"parameters {', '.join(leaks)} are used outside the layer they belong to")
        return losses.detach(), run.norms, run.seen

    def _units(self, model: nn.Module, plan: Plan) -> list[Unit]:
        wanted = {id(p) for p in model.parameters() if p.requires_grad and id(p) in self.index}
        return [replay("the model", model, wanted)] if plan.whole else list(units_of(model, wanted))

    def _check_known(self, model: nn.Module) -> None:
        strange = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in self.index]
        if strange:
            raise ValueError(
                f"GradientMoments was not given {', '.join(strange)}, which the model trains: give it all of "
                "model.parameters(), or freeze the others with requires_grad_(False)"
            )

    def _probe(self, model: nn.Module, plan: Plan, x: Tensor) -> None:
        """Look at one sample alone: an input with as many rows as samples now and then has a row per sample."""
        run = Pass(1, plan.row_inputs, self.chunk_bytes, self.index, [], None, probing=True)
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices), _patched(self._units(model, plan), run):
            try:
                model(x[:1])
            except NotSampleWise as why:
                _go_whole(plan, why)


class Pass:
    """One forward and backward pass over `samples` samples."""

    def __init__(
        self,
        samples: int,
        row_inputs: dict[tuple[str, int], list[bool]],
        chunk_bytes: int,
        index: dict[int, int],
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
        probing: bool = False,
    ) -> None:
        self.samples, self.chunk_bytes, self.index = samples, chunk_bytes, index
        self.sums, self.squares, self.probing = sums, squares, probing
        self.norms = torch.zeros(0)
        self.seen = [False] * len(sums)
        self._row_inputs = row_inputs
        self._calls: Counter[str] = Counter()
        self._uses: Counter[int] = Counter()
        self._waiting: list[tuple[list[int], Call]] = []
        if not probing:
            device = sums[0].device
            self.norms = torch.zeros(samples, dtype=exact(device), device=device)

    def rows(self, unit: Unit, inputs: Sequence[Any]) -> list[bool]:
        """Which of a unit's inputs have one row per sample: those that also had it when there was one sample.

        Raises:
            NotSampleWise: none of them.
        """
        key = (unit.name, self._calls[unit.name])
        self._calls[unit.name] += 1
        now = [isinstance(t, Tensor) and t.dim() > 0 and len(t) == self.samples for t in inputs]
        if self.probing:
            self._row_inputs[key] = now
        rows = [a and b for a, b in zip(now, self._row_inputs.get(key, now), strict=True)]
        if not any(rows):
            raise NotSampleWise(f"{unit.name} is applied to something that has not one row per sample")
        return rows

    def expect(self, unit: Unit) -> None:
        """A use of the unit's parameters whose gradient will come."""
        self._uses.update(self.index[id(p)] for p in unit.params.values())

    def arrived(self, unit: Unit, call: Call) -> None:
        """The gradient of one use: done with at once if it is the only one, else when all are there."""
        owners = [self.index[id(unit.params[name])] for name in call.params]
        if all(self._uses[owner] == 1 for owner in owners):
            self._settle([(owners, call)])
        else:
            self._waiting.append((owners, call))

    def later(self, unit: Unit, call: Call) -> None:
        """A use that is ready only when the backward pass is over."""
        self._waiting.append(([self.index[id(unit.params[name])] for name in call.params], call))

    def finish(self) -> None:
        """Settle the uses that waited, those together that share a parameter."""
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
                self.norms[samples] += square_sum(block)
                total += block.sum(0, dtype=total.dtype)
                if self.squares is not None:
                    self.squares[owner].add_(block.to(total.dtype).square().sum(0))

    def _settle_at_once(self, owners: Sequence[int], call: Call, chunk: int) -> bool:
        squares = call.squares() if self.squares is not None else []
        if squares is None or (cheap := call.norms_and_sums(chunk)) is None:
            return False
        self.norms += cheap[0]
        for owner, total in zip(owners, cheap[1], strict=True):
            self.sums[owner].add_(total)
        if self.squares is not None:
            for owner, square in zip(owners, squares, strict=True):
                self.squares[owner].add_(square)
        return True


def check_samples_apart(model: nn.Module) -> None:
    """Raise ValueError where a sample's gradient depends on the others in its batch: BatchNorm in train mode."""
    for name, module in model.named_modules():
        batch = isinstance(module, nn.modules.batchnorm._BatchNorm)
        instance = isinstance(module, nn.modules.instancenorm._InstanceNorm)
        if (batch and (module.training or module.running_mean is None)) or (
            instance and module.training and module.track_running_stats
        ):
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) mixes the samples of a batch, so that no sample "
                "has a gradient of its own: use estimator=groups, to which a group is a batch like any other, or "
                "a model with GroupNorm"
            )


def _go_whole(plan: Plan, why: NotSampleWise) -> None:
    warnings.warn(
        f"per-sample gradients layer by layer do not fit this model ({why}): the whole model goes through "
        "torch.func.vmap, which is exact but several times slower; estimator=groups costs nothing",
        RuntimeWarning,
        stacklevel=5,
    )
    plan.whole = True
    plan.row_inputs.clear()
    plan.row_inputs["the model", 0] = [True]


@contextmanager
def _patched(units: Sequence[Unit], run: Pass) -> Iterator[None]:
    """Let the units' modules be applied in our way, on these objects only and for this pass only."""
    before = [unit.module.__dict__.get("forward") for unit in units]
    try:
        for unit in units:
            unit.module.__dict__["forward"] = partial(unit.apply, run, unit, unit.module.forward)
        yield
    finally:
        for unit, forward in zip(units, before, strict=True):
            del unit.module.__dict__["forward"]
            if forward is not None:
                unit.module.__dict__["forward"] = forward
