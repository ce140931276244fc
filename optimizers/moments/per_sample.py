"""The gradient of every single sample of a micro-batch, in the quickest way that is exact for the model.

The first batch of a model is also put through plain autograd (truth.py), which says whether samples have gradients of
their own at all, and judges the ways (ways.py) in their order: the first that gives the same is taken from then on.
Batches 2, 4, 8, ... are judged again, for what depends on the data. All of it works on chunks of samples, in bounded
memory.
"""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.apart import check_apart, check_samples_apart
from batchlab.optimizers.moments.flat import exact
from batchlab.optimizers.moments.inside import modules_in
from batchlab.optimizers.moments.passes import Pass
from batchlab.optimizers.moments.replay import replayed
from batchlab.optimizers.moments.state import ModelState
from batchlab.optimizers.moments.truth import FEW, NOTHING, Batch, Truth, loose, norm_of, rounding
from batchlab.optimizers.moments.units import NotSampleWise, short
from batchlab.optimizers.moments.ways import SLOWER, Plan, Way, Ways

Measured = tuple[Tensor, Tensor, list[bool]]


class PerSample:
    """Adds the per-sample gradients of a model's micro-batches to running sums.

    Args:
        params: the parameters.
        chunk_bytes: memory to work in at a time (one sample's gradient of one layer at least).
    """

    def __init__(self, params: Sequence[Tensor], chunk_bytes: int | None = None) -> None:
        self.params = params
        self.ways = Ways(params, chunk_bytes)
        self._plans: weakref.WeakKeyDictionary[nn.Module, dict[Any, Plan]] = weakref.WeakKeyDictionary()

    def backward(self, batch: Batch, sums: Sequence[Tensor], squares: Sequence[Tensor] | None) -> Measured:
        """Forward and backward of one micro-batch.

        Args:
            batch: whose model's trainable parameters are those of this object.
            sums: per parameter, gain the samples' gradients.
            squares: per parameter, gain the squares of these; None where they are not wanted.

        Returns:
            The losses (n,), the samples' squared gradient norms (n,), and which parameters had a gradient.

        Raises:
            ValueError: samples have no gradients of their own, or none of the ways is exact.
        """
        model, plan = batch.model, self._plan(batch)
        plan.batches += 1
        stands = plan.stands(batch.x)
        before = ModelState(model, batch.losses_of.criterion, device=batch.x.device, parameters=not stands)
        if stands:
            written = [t._version for t in (*self.params, *batch.data())]
            try:
                return self._as_judged(batch, plan, sums, squares)
            except NotSampleWise as why:
                # Another use of the model than before: a layer that only some batches reach, a mask that hides nothing
                # at first. What the pass has done is taken back.
                late = why.after_backward and not plan.reruns
                if late or written != [t._version for t in (*self.params, *batch.data())]:
                    raise ValueError(
                        f"the model is used otherwise than in its first batch ({why}): use estimator=groups, or a new "
                        "GradientMoments for what has changed"
                    ) from why
            before.restore()
            before = ModelState(model, batch.losses_of.criterion, device=batch.x.device, parameters=True)
            plan.judged_at = 0
        check_samples_apart(model)
        self._check_given(model)
        doubt = "" if len(batch.x) > plan.judged_at else plan.doubt()
        try:
            return self._judge(batch, plan, before, sums, squares, doubt)
        except ValueError as error:
            before.restore()
            if doubt and doubt not in str(error):
                raise ValueError(f"{error}; {doubt}") from error
            raise

    def _as_judged(
        self, batch: Batch, plan: Plan, sums: Sequence[Tensor], squares: Sequence[Tensor] | None
    ) -> Measured:
        """The plan's way; what it raises has left no trace in the sums where layers are run again."""
        total, total_squares = sums, squares
        if plan.reruns:
            total, total_squares = _zeros(sums), None if squares is None else _zeros(squares)
        losses, run = self.ways.run(batch, plan, total, total_squares)
        if plan.reruns:
            _add(sums, squares, total, total_squares)
        return losses, run.norms, _seen(plan, run)

    def taken(self, model: nn.Module) -> dict[str, str]:
        """How each unit of the model, as it is now, is measured, by its name; "" is the model as a whole."""
        modes = _modes(model.modules())
        judged = [plan for key, plan in self._plans.get(model, {}).items() if key[0] == modes and plan.judged_at]
        return self.ways.taken(model, judged[-1]) if judged else {}

    def _plan(self, batch: Batch) -> Plan:
        criterion = batch.losses_of.criterion
        modes = _modes(batch.model.modules()), _modes(modules_in(criterion))
        key = modes[0], kind_of(criterion), modes[1], self._hooked()
        return self._plans.setdefault(batch.model, {}).setdefault(key, Plan())

    def _hooked(self) -> bool:
        return any(p._backward_hooks for p in self.params if p.requires_grad)

    def _judge(
        self,
        batch: Batch,
        plan: Plan,
        before: ModelState,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
        doubt: str,
    ) -> Measured:
        x, data = batch.x, batch.data()
        kept = [t.detach().clone() for t in data]
        eps, weights = rounding(self.params, x.device), _weights(x, {p.dtype for p in self.params})

        @torch.no_grad()
        def again() -> Batch:
            """The batch and the model as they were."""
            before.restore()
            for tensor, as_it_was in zip(data, kept, strict=True):
                if not torch.equal(tensor, as_it_was):
                    tensor.copy_(as_it_was)
            return batch

        def trial(way: Way) -> tuple[Tensor, Pass, list[Tensor], list[Tensor] | None, str | None]:
            """Go the way; what is wrong with it comes last."""
            plan.way = way
            total, total_squares = _zeros(sums), None if squares is None else _zeros(squares)
            weighted = None
            if distinct and truth.finite and way != "samples":
                heavier = replace(again(), losses_of=replace(batch.losses_of, weights=weights))
                in_squares = None if squares is None else _zeros(squares)
                weighted = self.ways.run(heavier, plan, _zeros(sums), in_squares, judging=True)[1]
            losses, run = self.ways.run(again(), plan, total, total_squares, judging=True)
            wrong = truth.differs(losses, total, run.shares or {}, eps) if truth.finite else None
            if wrong is None and weighted is not None and _misplaced(run, weighted, weights, eps):
                wrong = "gradients are given to other samples than theirs"
            return losses, run, total, total_squares, wrong

        truth = self._truth(again())
        distinct = len(x) > 1 and not all(
            torch.equal(t, t[:1].expand_as(t)) for t in kept if t.dim() and len(t) == len(x)
        )
        if all(g is None for g in truth.sums):
            raise ValueError(
                "no trained parameter has a gradient of this loss, by estimator=groups neither: is the model, or the "
                "loss, detached?"
            )
        if distinct and truth.finite:
            check_apart(replace(batch, x=kept[0]), self.params, before, eps)
        plan.unreached = {i for i, g in enumerate(truth.sums) if g is None}
        ways = get_args(Way)[get_args(Way).index(plan.way) :]  # a quicker one has failed for some batch before
        reasons: list[str] = []
        if self._hooked():
            ways, reasons = ("samples",), ["a parameter has a hook of its own"]
        tried = ("as it is",) if plan.judged_at else ()
        for way in (*tried, *ways):
            if way == "layers":
                again()
                self.ways.probe(batch.model, plan, kept[0])
            try:
                losses, run, total, total_squares, wrong = trial(plan.way if way == "as it is" else way)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # plain autograd can do it: a way that cannot is not for this model
                wrong = short(error)
            if wrong is None:
                break
            reasons.append(wrong)
            plan.learnt.row_inputs.clear()
        else:
            raise ValueError(
                f"per-sample gradients of this model cannot be had exactly ({reasons[0]}): use estimator=groups, which "
                "takes any model that an ordinary backward pass can train"
            )
        if reasons and distinct and truth.finite and len(x) > FEW:  # or do samples see each other, among all of them?
            check_apart(replace(batch, x=kept[0]), self.params, before, eps, everyone=True)
            losses, run, total, total_squares, _ = trial(plan.way)
        plan.reruns = bool(run.replayed)
        plan.judged(kept[0] if truth.finite else kept[0][:0])
        if doubt and way != "as it is":
            raise ValueError(
                f"the gradients of single samples are no longer had exactly as they were before ({reasons[0]}): {doubt}"
            )
        slow = "" if way == "as it is" else self._slow(batch.model, plan, reasons)
        if slow:
            warnings.warn(f"{slow}; estimator=groups costs nothing", RuntimeWarning, stacklevel=5)
        _add(sums, squares, total, total_squares)
        return losses, run.norms, _seen(plan, run)

    def _slow(self, model: nn.Module, plan: Plan, reasons: Sequence[str]) -> str:
        """Why a model is measured slowly, as a whole; empty where it is not."""
        if plan.way in SLOWER:
            return f"per-sample gradients layer by layer do not fit this model ({reasons[0]}): {SLOWER[plan.way]}"
        outermost = next((u for u in self.ways.units(model) if not u.name), None)
        if outermost is None or outermost.apply is not replayed or not model._modules:
            return ""
        own = ", ".join(name for name, _ in model.named_parameters(recurse=False))
        return (
            f"parameters of the model itself ({own}) make all of it one layer, which those in modules of their own do "
            f"not: {SLOWER['whole']}"
        )

    def _truth(self, batch: Batch) -> Truth:
        frozen = {name: p.detach() for name, p in batch.model.named_parameters() if not p.requires_grad}
        sizes = [norm_of(p) for p in frozen.values()]
        truth = Truth.of(batch, self.params)
        moved = [n for (n, p), size in zip(frozen.items(), sizes, strict=True) if not _equal(norm_of(p), size)]
        if moved:
            raise ValueError(
                f"the forward pass changes parameters that are not trained ({', '.join(moved)}): register them as "
                "buffers, which can be put back, or use estimator=groups"
            )
        return truth

    def _check_given(self, model: nn.Module) -> None:
        stepping = [n for n, p in model.named_parameters() if getattr(p, "_post_accumulate_grad_hooks", None)]
        if stepping:
            raise ValueError(
                f"{', '.join(stepping)}: hooks that run after a gradient has been accumulated do not meet the samples' "
                "gradients; remove them, or use estimator=groups"
            )
        strange = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in self.ways.index]
        if strange:
            raise ValueError(
                f"GradientMoments was not given {', '.join(strange)}, which the model trains: give it all of "
                "model.parameters(), or freeze the others with requires_grad_(False)"
            )


def _weights(x: Tensor, kinds: set[torch.dtype]) -> Tensor:
    """Powers of 2, which scale a gradient without rounding, in an order without a pattern."""
    places = torch.arange(len(x), device=x.device)
    narrow = torch.is_autocast_enabled(x.device.type) and torch.get_autocast_dtype(x.device.type) == torch.float16
    most = 2 if narrow or torch.float16 in (x.dtype, *kinds) else 8
    return torch.pow(2.0, (places * 2654435761 // 128) % (2 * most + 1) - most).to(exact(x.device))


def _misplaced(run: Pass, weighted: Pass, weights: Tensor, eps: float) -> bool:
    """Whether samples are given what is another's: each one's gradient must be as many times larger as its loss."""
    total = run.norms.sum().sqrt()
    for places, norms in (run.shares or {}).items():
        here, there = norms.sqrt() * weights, (weighted.shares or {})[places].sqrt()
        if bool(((here - there).abs() > loose(eps) * here + 10 * eps * total + NOTHING).any()):
            return True
    return False


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _zeros(like: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) for t in like]


def _add(
    sums: Sequence[Tensor],
    squares: Sequence[Tensor] | None,
    total: Sequence[Tensor],
    total_squares: Sequence[Tensor] | None,
) -> None:
    for place, part in zip((*sums, *(squares or ())), (*total, *(total_squares or ())), strict=True):
        place.add_(part)


def _seen(plan: Plan, run: Pass) -> list[bool]:
    """Which parameters had a gradient: what is run again has one of zero where it has none."""
    guessed = {place for place in run.replayed & plan.unreached if not run.touched.get(place, False)}
    return [seen and place not in guessed for place, seen in enumerate(run.seen)]


def kind_of(criterion: object) -> object:
    """What a criterion does, as far as it shows: a lambda that a loop makes anew each time is the same."""
    function = getattr(criterion, "func", criterion)  # of a partial
    return getattr(getattr(function, "__func__", function), "__code__", type(function))


def _modes(modules: Iterable[nn.Module]) -> tuple[int, ...]:
    """The modules' modes, and which of their parameters are trained."""
    modules = list(modules)
    trained = (id(p) for m in modules for p in m._parameters.values() if p is not None and p.requires_grad)
    return (*(mode_of(m) for m in modules), *trained)


def mode_of(module: nn.Module) -> int:
    """A number that changes with a module's mode, its switches and its hooks, and those of its parameters."""
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    on_parameters = tuple(
        (len(p._backward_hooks or ()), len(getattr(p, "_post_accumulate_grad_hooks", None) or ()))
        for p in module._parameters.values()
        if p is not None
    )
    switches = tuple(name for name, value in vars(module).items() if value is True)
    return hash((hooks, len(module._backward_hooks) + len(module._backward_pre_hooks), switches, on_parameters))
